"""The U-Net of paper 003 on 128x128 images, to measure speed with; nothing trains it yet.

python -m taskfusion_jax.benchmark --config=configs/bench_unet.py --against=torch --batch=4
"""

from ml_collections import ConfigDict

from configs import common
from taskfusion_jax.models.unet import WIDTHS


def get_config(arg: str = ""):
    """arg: empty, or `tiny` for narrow levels and small images."""
    config = ConfigDict({"name": "bench_unet", "seed": 0, "dtype": "float32", "method": "unet"})
    config.network = ConfigDict({"classes": 21, "widths": WIDTHS})  # as in PASCAL VOC
    config.data = ConfigDict({"size": 128})
    config.optimiser = ConfigDict({"lr": 1e-4})
    if common.parse(arg, ("tiny",)):
        config.network.widths = (4, 6, 8)
        config.data.size = 16
    return config
