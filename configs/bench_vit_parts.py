"""What adapting a frozen ViT costs beside full fine-tuning; ViT-B/16, 224x224, ten tasks.

python -m taskfusion_jax.benchmark --config=configs/bench_vit_parts.py[:PART] --batch=8

A hundred tasks on a small network: configs/bench_vit_parts.py:hundred. Images and labels are noise:
no data is read.
"""

from ml_collections import ConfigDict

from configs import common, vit_continual


def get_config(arg: str = "prefixes"):
    """arg: one of `vit_continual.PARTS`; `hundred` tasks on a small ViT; `tiny`."""
    options = common.parse(arg, (*vit_continual.PARTS, "hundred", "tiny"))
    small = bool(options & {"hundred", "tiny"})
    config = vit_continual.base("hundred" if "hundred" in options else "cifar100", small)
    config.name = "bench_vit_parts"
    config.vit.weights = ""
    part = next((name for name in vit_continual.PARTS if name in options), "prefixes")
    config.update(vit_continual.run(config, part))
    config.plain = ConfigDict(vit_continual.run(config, "finetune"))
    if "tiny" in options:
        common.tiny(config)
    return config
