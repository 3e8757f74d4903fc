"""Completion: fill in what is missing (paper 004, task 1)."""

import dataclasses
from typing import ClassVar

import numpy as np

from taskfusion_jax.tasks.base import Task


@dataclasses.dataclass(frozen=True)
class Completion(Task):
    """Rectangular holes at random places.

    Attributes:
      holes: fewest and most holes per image.
      side: smallest and largest side of a hole, as a share of the image's side.
      fill: colour of the holes, RGB in [0, 1].
    """

    holes: tuple[int, int]
    side: tuple[float, float]
    fill: tuple[float, float, float]

    damages: ClassVar[bool] = True

    def corrupt(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] -> the same with holes."""
        image = image.copy()
        size = np.array(image.shape[:2])
        for _ in range(rng.integers(self.holes[0], self.holes[1] + 1)):
            hole = np.maximum(1, np.round(rng.uniform(*self.side, size=2) * size)).astype(int)
            top, left = rng.integers(0, size - np.minimum(hole, size) + 1)
            image[top : top + hole[0], left : left + hole[1]] = np.round(
                np.multiply(self.fill, 255)
            )
        return image
