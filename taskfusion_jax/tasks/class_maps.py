"""Segmentation into classes: as scores per class, or painted in a colour per class (paper 003)."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from taskfusion_jax.metrics.iou import VOID
from taskfusion_jax.tasks.base import Stylise, Task


def palette(classes: int) -> np.ndarray:
    """PASCAL VOC's colours, float32 [classes, 3] in [0, 1]: the bits of an id, dealt to R, G, B."""
    ids = np.arange(classes)
    colours = np.zeros((classes, 3), np.int64)
    for place in range(8):
        for channel in range(3):
            bit = (ids >> (3 * place + channel)) & 1
            colours[:, channel] |= bit << (7 - place)
    return (colours / 255).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class _ClassMap(Task):
    """What both ways to tell classes have in common.

    Attributes:
      classes: how many there are, with the background.
    """

    classes: int = dataclasses.field()  # else `Task`'s own would be its default

    needs_mask: ClassVar[bool] = True
    keeps_classes: ClassVar[bool] = True

    def class_map(self, output: jax.Array) -> jax.Array:
        """The class of every pixel, int32 [B, H, W]."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class ClassScores(_ClassMap):
    """One score (logit) per class and pixel."""

    gives: ClassVar[frozenset[str]] = frozenset({"pixels", "scores of pixels"})

    @property
    def channels(self) -> int:
        return self.classes

    def target(self, clean: jax.Array, mask: jax.Array, stylise: Stylise) -> jax.Array:
        """1 for the class of the mask, else 0; [B, H, W, classes]."""
        return jax.nn.one_hot(mask, self.classes)

    def class_map(self, output: jax.Array) -> jax.Array:
        """The class of the highest score."""
        return jnp.argmax(output, axis=-1)

    def show(self, output: jax.Array, given: jax.Array) -> jax.Array:
        """Each pixel in its class's colour."""
        return jnp.asarray(palette(self.classes))[self.class_map(output)]


@dataclasses.dataclass(frozen=True)
class PaintedClasses(_ClassMap):
    """An image in which each class has a colour, for networks that make images only."""

    def target(self, clean: jax.Array, mask: jax.Array, stylise: Stylise) -> jax.Array:
        """[B, H, W, 3]; void pixels, which no loss looks at, are black."""
        inside = jnp.where(mask == VOID, 0, mask)
        return jnp.asarray(palette(self.classes))[inside]

    def class_map(self, output: jax.Array) -> jax.Array:
        """The class of the nearest colour."""
        distance = output[..., None, :] - jnp.asarray(palette(self.classes)).reshape(1, 1, 1, -1, 3)
        return jnp.argmin(jnp.sum(distance**2, axis=-1), axis=-1)
