"""SGN+bias: channel attention that also shifts (paper 004)."""

import functools
from typing import ClassVar

from taskfusion_jax.methods.base import Told
from taskfusion_jax.models.conditioning import ChannelAttention, PlainNorm


class SGNBias(Told):
    """As `sgn`, with twice the hidden width and a bias per channel beside the scale."""

    parts: ClassVar = {
        "norm": PlainNorm,
        "attention": functools.partial(ChannelAttention, reduction=2, shift=True),
    }
