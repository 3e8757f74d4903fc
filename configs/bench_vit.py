"""ViT-S/16 on 224x224 images and 1000 classes, to measure speed with; nothing trains it yet.

python -m taskfusion_jax.benchmark --config=configs/bench_vit.py[:b16] --against=torch --batch=8
"""

from ml_collections import ConfigDict

from configs import common

VARIANTS = {"s16": "S/16", "b16": "B/16"}


def get_config(arg: str = "s16"):
    """arg: `s16` or `b16`; with `,tiny` a network of one thin block on small images."""
    options = common.parse(arg, (*VARIANTS, "tiny"))
    chosen = [VARIANTS[option] for option in VARIANTS if option in options] or ["S/16"]
    if len(chosen) > 1:
        raise ValueError("s16 and b16 are two networks: choose one")
    config = ConfigDict({"name": "bench_vit", "seed": 0, "dtype": "float32", "method": "vit"})
    config.network = ConfigDict({"variant": chosen[0], "classes": 1000})
    config.data = ConfigDict({"size": 224})
    config.optimiser = ConfigDict({"lr": 1e-4})
    if "tiny" in options:
        config.network.update({"variant": "Ti/16", "classes": 10})
        config.data.size = 32
    return config
