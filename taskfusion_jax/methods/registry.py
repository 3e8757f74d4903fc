"""From `config.method` to a method."""

from collections.abc import Mapping

from ml_collections import ConfigDict

from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.methods.backbone import DTYPES
from taskfusion_jax.methods.base import Method
from taskfusion_jax.methods.dualprompt import DualPrompt
from taskfusion_jax.methods.encin import EncIN
from taskfusion_jax.methods.film import Film
from taskfusion_jax.methods.film_chain import FilmChain
from taskfusion_jax.methods.film_out import FilmOut
from taskfusion_jax.methods.film_piggyback import FilmPiggyback
from taskfusion_jax.methods.l2p import L2P
from taskfusion_jax.methods.piggyback import Piggyback
from taskfusion_jax.methods.resblock import ResBlock
from taskfusion_jax.methods.resblock_piggyback import ResBlockPiggyback
from taskfusion_jax.methods.sgn import SGN
from taskfusion_jax.methods.sgn_bias import SGNBias
from taskfusion_jax.methods.shared_enc import SharedEnc
from taskfusion_jax.methods.shared_trunk import SharedTrunk
from taskfusion_jax.methods.single import Single
from taskfusion_jax.methods.vit_parts import ViTParts
from taskfusion_jax.named import find_class

METHODS = {
    "film": Film,
    "film_chain": FilmChain,
    "film_out": FilmOut,
    "encin": EncIN,
    "sgn": SGN,
    "sgn_bias": SGNBias,
    "single": Single,
    "shared_enc": SharedEnc,
    "shared_trunk": SharedTrunk,
    "piggyback": Piggyback,
    "film_piggyback": FilmPiggyback,
    "resblock": ResBlock,
    "resblock_piggyback": ResBlockPiggyback,
    "vit_parts": ViTParts,
    "l2p": L2P,
    "dualprompt": DualPrompt,
}


def build_method(config: ConfigDict, channels: Mapping[int, int] | None = None) -> Method:
    """Builds `config.method` on `config.backbone` in `config.dtype`.

    Args:
      config: the whole config.
      channels: slot -> channels of its task's output; 3 for every task without it.

    Raises:
      UserError: an unknown method or dtype.
    """
    made = find_class(config.method, METHODS, Method, "config.method")
    if config.dtype not in DTYPES:
        raise UserError(f"config.dtype: no '{config.dtype}'{did_you_mean(config.dtype, DTYPES)}")
    channels = channels or {task.slot: 3 for task in config.tasks.values()}
    return made(config, channels)
