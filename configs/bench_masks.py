"""What continual learning by masks costs: steps, switching, bytes; U-Net of paper 003, 128x128.

python -m taskfusion_jax.benchmark --config=configs/bench_masks.py --batch=4

The runs `piggyback` and, to compare with, `scratch` of matsumoto.py, without its styles, which
would need VGG16. Images and labels are noise: no data is read.
"""

from ml_collections import ConfigDict

from configs import common, matsumoto

TASKS = ("segmentation_1", "segmentation_2", "colourisation")


def get_config(arg: str = ""):
    """arg: empty, or `tiny` for narrow levels and small images."""
    config = matsumoto.base(common.parse(arg, ("tiny",)))
    config.name = "bench_masks"
    for style in set(config.tasks) - set(TASKS):
        del config.tasks[style], config.stages[style]
    config.update(matsumoto.run(config, "piggyback", TASKS))
    config.plain = ConfigDict(matsumoto.run(config, "scratch", TASKS))
    return config
