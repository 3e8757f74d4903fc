"""From `config.parts.use` to parts."""

from ml_collections import ConfigDict

from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.methods.parts.adapters import Adapters
from taskfusion_jax.methods.parts.base import Part
from taskfusion_jax.methods.parts.lora import LoRA
from taskfusion_jax.methods.parts.mask import Mask
from taskfusion_jax.methods.parts.norm_film import NormFilm
from taskfusion_jax.methods.parts.prefixes import Prefixes
from taskfusion_jax.methods.parts.prompts import DeepPrompts, Prompts
from taskfusion_jax.methods.parts.rkr import RKR
from taskfusion_jax.models.vit import ViT

PARTS = {
    "prefixes": Prefixes,
    "deep_prompts": DeepPrompts,
    "prompts": Prompts,
    "rkr": RKR,
    "lora": LoRA,
    "adapters": Adapters,
    "norm_film": NormFilm,
    "mask": Mask,
}


def build_parts(config: ConfigDict, vit: ViT) -> dict[str, Part]:
    """Builds the parts that `config.parts.use` names, in its order.

    Raises:
      UserError: a name that is unknown or stands twice, or an option out of range.
    """
    used = tuple(config.parts.use)
    for name in used:
        if name not in PARTS:
            raise UserError(f"config.parts.use: no part '{name}'{did_you_mean(name, PARTS)}")
    if len(set(used)) < len(used):
        raise UserError(f"config.parts.use={used} names a part twice")
    return {name: PARTS[name](name, config, vit) for name in used}
