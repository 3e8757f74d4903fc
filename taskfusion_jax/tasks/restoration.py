"""Restoration: remove noise, scratches and lines (paper 004, task 2)."""

import dataclasses
from typing import ClassVar

import numpy as np
from PIL import Image, ImageDraw

from taskfusion_jax.tasks.base import Task


@dataclasses.dataclass(frozen=True)
class Restoration(Task):
    """Gaussian noise, then wandering scratches, then straight lines from edge to edge.

    Attributes:
      noise: least and most standard deviation of the noise, in units of the range [0, 1].
      scratches: fewest and most scratches per image.
      lines: fewest and most lines per image.
    """

    noise: tuple[float, float]
    scratches: tuple[int, int]
    lines: tuple[int, int]

    damages: ClassVar[bool] = True

    def corrupt(self, rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
        """uint8 [H, W, 3] -> the same, damaged."""
        sigma = 255 * rng.uniform(*self.noise)
        noisy = image + rng.normal(0, sigma, image.shape)
        canvas = Image.fromarray(np.clip(np.round(noisy), 0, 255).astype(np.uint8))
        draw = ImageDraw.Draw(canvas)
        height, width = image.shape[:2]
        thickness = max(1, round(min(height, width) / 64))
        for _ in range(rng.integers(self.scratches[0], self.scratches[1] + 1)):
            draw.line(_wander(rng, height, width), fill=_gray(rng), width=thickness)
        for _ in range(rng.integers(self.lines[0], self.lines[1] + 1)):
            x = rng.uniform(0, width, 2)
            draw.line([(x[0], 0), (x[1], height)], fill=_gray(rng), width=thickness)
        return np.asarray(canvas)


def _gray(rng: np.random.Generator) -> tuple[int, int, int]:
    """Scratches are dust-white or gouge-black."""
    value = int(rng.integers(200, 256) if rng.random() < 0.7 else rng.integers(0, 40))
    return value, value, value


def _wander(rng: np.random.Generator, height: int, width: int) -> list[tuple[float, float]]:
    """A smooth random path: a start, a heading, and small turns."""
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.4, 6))
    steps = 0.1 * min(height, width) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    path = rng.uniform(0, 1, 2) * (width, height) + np.cumsum(steps, axis=0)
    return [tuple(point) for point in path.tolist()]
