"""EncIN: the encoder knows nothing of the task (paper 004, first baseline)."""

from typing import ClassVar

from taskfusion_jax.methods.base import Told
from taskfusion_jax.models.conditioning import AffineNorm, FilmNorm


class EncIN(Told):
    """Plain affine instance norm in the encoder, FiLM after it."""

    parts: ClassVar = {"norm": FilmNorm, "encoder_norm": AffineNorm}
