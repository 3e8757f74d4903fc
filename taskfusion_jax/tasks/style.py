"""Style transfer from one painting (paper 004, tasks 4 and 5; Johnson et al. 2016)."""

import dataclasses
from typing import ClassVar

import jax

from taskfusion_jax.tasks.base import Stylise, Task


@dataclasses.dataclass(frozen=True)
class Style(Task):
    """Paints the image in the manner of a painting.

    Attributes:
      painting: a file, or `embedded:NAME` for one that is painted in code.
      painting_size: shorter side of the painting in pixels; larger means larger strokes.
    """

    painting: str
    painting_size: int

    gives: ClassVar[frozenset[str]] = frozenset({"pixels", "a painting"})
    has_target: ClassVar[bool] = False

    def target(self, clean: jax.Array, mask: jax.Array, stylise: Stylise) -> jax.Array:
        """The teacher's own stylised image: what combined tasks build on."""
        return stylise(clean, self.vector)
