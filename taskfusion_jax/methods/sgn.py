"""SGN: channel attention in place of FiLM (Chang et al. 2019, as compared in paper 004)."""

from typing import ClassVar

from taskfusion_jax.methods.base import Told
from taskfusion_jax.models.conditioning import ChannelAttention, PlainNorm


class SGN(Told):
    """Norms without parameters; CCAM after each layer and each block."""

    parts: ClassVar = {"norm": PlainNorm, "attention": ChannelAttention}
