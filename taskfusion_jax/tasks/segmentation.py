"""Segmentation as an image: objects cut out, all else one colour (paper 004, task 3)."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from taskfusion_jax.metrics.iou import VOID
from taskfusion_jax.tasks.base import Stylise, Task


@dataclasses.dataclass(frozen=True)
class Segmentation(Task):
    """Keeps the objects of an image.

    Attributes:
      fill: colour of all that is no object, RGB in [0, 1]; gray, as black objects exist.
    """

    fill: tuple[float, float, float]

    needs_mask: ClassVar[bool] = True

    @property
    def cuts(self) -> bool:
        return True

    def target(self, clean: jax.Array, mask: jax.Array, stylise: Stylise) -> jax.Array:
        """[B, H, W, 3]; void pixels keep the image's colour and are ignored by every loss."""
        fill = np.array(self.fill, np.float32).reshape(1, 1, 1, 3)
        return jnp.where((mask == 0)[..., None], fill, clean)

    def uncut(self, clean: jax.Array, mask: jax.Array, stylise: Stylise) -> jax.Array:
        """[B, H, W, 3], the image itself."""
        return clean


def ignore_void(output: jax.Array, target: jax.Array, mask: jax.Array) -> jax.Array:
    """The output with the target's colours where the mask is void, so that nothing is judged there.

    output, target: [B, H, W, 3]; mask: [B, H, W].
    """
    return jnp.where((mask == VOID)[..., None], target, output)
