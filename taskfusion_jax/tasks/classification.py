"""Classification: which class an image shows."""

import dataclasses
from typing import ClassVar

import jax

from taskfusion_jax.tasks.base import Task


@dataclasses.dataclass(frozen=True)
class Classification(Task):
    """One score (logit) per class for the whole image, [B, labels].

    Attributes:
      labels: how many classes there are.
    """

    labels: int = dataclasses.field()  # else `Task`'s own would be its default

    gives: ClassVar[frozenset[str]] = frozenset({"scores of an image"})
    has_target: ClassVar[bool] = False
    makes_image: ClassVar[bool] = False

    @property
    def channels(self) -> int:
        return self.labels

    def show(self, output: jax.Array, given: jax.Array) -> jax.Array:
        """The image that was classified."""
        return given
