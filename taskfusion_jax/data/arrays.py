"""Images as arrays that callers give, rather than as files: what they may be, and their units."""

import math
import os
from typing import Any

import numpy as np

from taskfusion_jax.data.limits import MOST_PIXELS
from taskfusion_jax.errors import UserError

_SEEN = 0.25
_WANTED = "images must be [B, H, W, 3], uint8 or floats in [0, 1]"


def as_array(images: Any) -> np.ndarray:
    """`images` as an array. Raises UserError where they cannot be one."""
    if images is None or isinstance(images, str | bytes | os.PathLike):
        raise UserError(
            f"{_WANTED}, but are {images!r}: give an array, as `np.asarray(PIL.Image.open(...))` is"
        )
    try:
        return np.asarray(images)
    except Exception as error:  # whatever a foreign type raises
        raise UserError(
            f"{_WANTED}, but are no array ({error}): give images of one size"
        ) from error


def check_images(images: Any) -> None:
    """Checks what callers give: images [B, H, W, 3], uint8 in 0..255 or floats in [0, 1].

    The range of what lies on a device is not looked at, as that would wait for it.

    Args:
      images: a NumPy or JAX array.

    Raises:
      UserError: they are something else, or larger than an image file may be.
    """
    if not images.size:
        raise UserError(f"{_WANTED}, but are {list(images.shape)}: give at least one pixel")
    if images.ndim != 4 or images.shape[-1] != 3:
        raise UserError(
            f"{_WANTED}, but are {list(images.shape)}: add the missing axes, put the channels "
            "last, and repeat gray three times"
        )
    if math.prod(images.shape[1:3]) > MOST_PIXELS:
        raise UserError(
            f"{_WANTED}, but one is {images.shape[1]} x {images.shape[2]}: cut images of more than "
            f"{MOST_PIXELS / 1e6:.0f} million pixels into parts"
        )
    if images.dtype == np.uint8:
        return
    if not np.issubdtype(images.dtype, np.floating):
        raise UserError(f"{_WANTED}, but are {images.dtype}: convert them to one of the two")
    if isinstance(images, np.ndarray):
        _check_range(float(images.min()), float(images.max()))


def _check_range(least: float, most: float) -> None:
    if least >= -1e-3 and most <= 1 + 1e-3:
        return
    way = "divide by 255" if least >= -1e-3 else "convert them to that range"
    way = way if math.isfinite(most - least) else "replace NaN and infinity"
    raise UserError(f"{_WANTED}, but reach from {least:g} to {most:g}: {way}")


def to_unit(image):
    """NumPy or JAX array, uint8 or float -> float32 in [0, 1]."""
    unit = image.astype(np.float32, copy=False)
    return unit / 255 if image.dtype == np.uint8 else unit


def to_bytes(image: np.ndarray) -> np.ndarray:
    """uint8, or float in [0, 1] -> uint8."""
    if image.dtype == np.uint8:
        return image
    levels = np.empty(image.shape, np.uint8)
    for i in range(0, len(image), 64):  # rather than whole copies of a large image
        levels[i : i + 64] = np.rint(np.clip(image[i : i + 64], 0, 1) * 255)
    return levels


def to_rgba(made: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Takes the white away on which a transparent image was laid before it was changed.

    Args:
      made: float [H, W, 3] in [0, 1], what became of the image laid on white.
      given: uint8 [H, W, 4], the image as it was.

    Returns:
      uint8 [H, W, 4], as transparent as `given`. Laid on white it is `made`, as far as colours can
      do that, where it is at least a quarter opaque. Below, where a level more or less on white is
      another colour, less and less of the change is kept; what cannot be seen stays as it was.
    """
    result = given.copy()
    for row, values, before in zip(result, made, given, strict=True):
        colours, cover = to_unit(before[:, :3]), to_unit(before[:, 3:])
        change = values - (colours * cover + 1 - cover)
        row[:, :3] = to_bytes(colours + change * cover / np.maximum(cover, _SEEN) ** 2)
    return result
