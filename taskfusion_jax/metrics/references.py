"""What a style's Frechet distance is measured from: crops of its painting."""

import numpy as np


def painting_crops(painting: np.ndarray, size: int, count: int) -> np.ndarray:
    """Square crops at random places, always the same ones for the same arguments.

    Args:
      painting: [h, w, 3]; mirrored at its edges where it is smaller than a crop.
      size: side of a crop in pixels.
      count: how many.

    Returns:
      [count, size, size, 3], of the painting's type.
    """
    painting = np.asarray(painting)
    missing = [(0, max(0, size - side)) for side in painting.shape[:2]]
    painting = np.pad(painting, (*missing, (0, 0)), "symmetric")
    room = np.array(painting.shape[:2]) - size
    corners = np.random.default_rng(0).integers(0, room + 1, (count, 2))
    return np.stack([painting[t : t + size, s : s + size] for t, s in corners])
