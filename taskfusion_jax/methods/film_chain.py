"""FiLM whose tasks act one after another, so that untrained combinations have a meaning (ours)."""

from typing import ClassVar

from taskfusion_jax.methods.base import Told
from taskfusion_jax.models.conditioning import ChainedFilmNorm


class FilmChain(Told):
    """As `film`, but a vector of several tasks applies their affine maps in turn, by slot."""

    parts: ClassVar = {"norm": ChainedFilmNorm}
