"""A small ViT trained from nothing on any labelled images, to be the base of other tasks.

    python -m taskfusion_jax.main --config=configs/vit_pretrain.py --workdir=runs/vit_base

With random augmentation, mixing of images, a cosine schedule and an average of the weights. The
default, twenty kinds of embedded shapes in 32x32 pixels, takes about fifteen minutes on two CPU
cores. Images of one's own, a subfolder per class:

    --config.data.source=image_folder --config.data.image_folder.dir=DIR \
    --config.data.image_folder.labels=True --config.tasks.classes.labels=NUMBER

What it leaves is the base of others: `--config.base.vit.weights=runs/vit_base` with
configs/vit_continual.py, as long as `vit.variant` is the same.
"""

from configs import common
from taskfusion_jax.data.shapes import SHAPES


def get_config(arg: str = ""):
    """arg: `tiny` for one step on tiny images."""
    options = common.parse(arg, ("tiny",))
    config = common.get_config()
    config.name = "vit_pretrain"
    config.method, config.backbone = "vit_parts", "vit"
    config.vit.variant = "mini/4"
    config.combined = {}
    del config.tasks
    config.tasks = {
        "classes": {
            "kind": "classification",
            "slot": 1,
            "labels": len(SHAPES),
            "loss": {"label_cross_entropy": 1.0},
        }
    }
    config.parts.update({"use": (), "base": ("classes",)})
    config.data.update({"source": "shapes", "size": 32})
    config.data.update({"augment": 2, "augment_strength": 9, "mixup": 0.2})
    config.ema = 0.999
    config.optimiser.clip_norm = 1.0
    config.optimiser.decay_rules = ((".*/kernel", 0.05),)
    options_of = {"schedule": "cosine", "warmup": 200}
    config.stages.classes = common.stage(3000, {"classes": 64}, "M1", 1e-3, **options_of)
    config.schedule = ("classes",)
    config.evaluate.update({"frechet_layers": (), "images": 1000})
    if "tiny" in options:
        common.tiny(config)
        config.evaluate.frechet_layers = ()  # of what is no image they mean nothing
    return config
