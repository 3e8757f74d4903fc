"""FiLM fusion: one shared network, one row of its generators per task (paper 004, the proposed)."""

from typing import ClassVar

from taskfusion_jax.methods.base import Told
from taskfusion_jax.models.conditioning import FilmNorm


class Film(Told):
    """FiLM after every instance norm."""

    parts: ClassVar = {"norm": FilmNorm}
