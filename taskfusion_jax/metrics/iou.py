"""Segmentation told as an image: which pixels of an output are foreground, and their IoU."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

BACKGROUND, FOREGROUND, VOID = 0, 1, 255
"""Values of a mask; void pixels count for nothing."""


def foreground(output: jax.Array, image: jax.Array, fill: Sequence[float]) -> jax.Array:
    """Returns where an output kept the image instead of filling it.

    A pixel is foreground where it is closer (L2 over RGB) to `image` than to the fill colour;
    a tie is background.

    Args:
      output: `[B, H, W, 3]` in [0, 1].
      image: as `output`: what the foreground should show, the input or its stylised version.
      fill: `[3]` in [0, 1].

    Returns:
      `[B, H, W]` bool.
    """
    fill = jnp.asarray(fill, output.dtype).reshape(1, 1, 1, -1)
    to_image = jnp.sum((output - image) ** 2, axis=-1)
    return to_image < jnp.sum((output - fill) ** 2, axis=-1)


def iou_counts(pred: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the pixel counts IoU is made of; sum them over a data set, divide once by `iou`.

    Args:
      pred: `[B, H, W]` bool, the predicted foreground.
      mask: `[B, H, W]` uint8: 0 background, 1 foreground, 255 void.

    Returns:
      intersection `[B]` int32 and union `[B]` int32, of foreground pixels that are not void.
    """
    target = mask == FOREGROUND
    intersection = pred & target
    union = (pred | target) & (mask != VOID)
    return jnp.sum(intersection, axis=(1, 2)), jnp.sum(union, axis=(1, 2))


def iou(intersection: np.ndarray, union: np.ndarray) -> np.ndarray:
    """Returns intersection over union: of a data set from summed counts, else of each image.

    Where the union is 0 there was nothing to find and nothing was found: 1.

    Args:
      intersection: counts of any shape.
      union: counts of the same shape.

    Returns:
      float64 in [0, 1], of the same shape.
    """
    intersection, union = np.asarray(intersection, np.int64), np.asarray(union, np.int64)
    return np.where(union == 0, 1.0, intersection / np.maximum(union, 1))


def class_counts(
    pred: jax.Array, mask: jax.Array, classes: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns the pixel counts that mean IoU and accuracy are made of; void pixels count nowhere.

    Args:
      pred: `[B, H, W]` int, a class per pixel.
      mask: `[B, H, W]` uint8, class ids and 255 void.
      classes: how many there are.

    Returns:
      intersection, union and number of pixels in the mask, `[B, classes]` int32 each.
    """
    ids = jnp.arange(classes, dtype=jnp.int32).reshape(1, 1, 1, -1)
    known = (mask != VOID)[..., None]
    found = (pred[..., None] == ids) & known
    wanted = mask.astype(jnp.int32)[..., None] == ids
    common, union = found & wanted, found | wanted
    return tuple(jnp.sum(x, axis=(1, 2), dtype=jnp.int32) for x in (common, union, wanted))


def mean_iou(intersection: np.ndarray, union: np.ndarray) -> float:
    """Returns the mean over classes that were there or were found (Everingham et al. 2010).

    Args:
      intersection: `[classes]`, summed over a data set.
      union: likewise.
    """
    seen = union > 0
    return float(np.mean(intersection[seen] / union[seen])) if seen.any() else 1.0
