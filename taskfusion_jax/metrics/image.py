"""How near one image is to another: MSE, PSNR, SSIM."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from taskfusion_jax.errors import UserError

MSE_FLOOR = 1e-10
"""Smallest MSE that PSNR sees: identical images score 100 dB, so that means stay finite."""

_RADIUS, _SIGMA = 5, 1.5
_GAUSSIAN = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
_WINDOW = tuple(float(weight) for weight in _GAUSSIAN / _GAUSSIAN.sum())
_C1, _C2 = 0.01**2, 0.03**2


def mse(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns the mean squared error of each image.

    Args:
      a: `[B, H, W, C]` in [0, 1].
      b: as `a`.

    Returns:
      `[B]` float32.
    """
    difference = jnp.asarray(a, jnp.float32) - jnp.asarray(b, jnp.float32)
    return jnp.mean(difference**2, axis=(1, 2, 3))


def psnr(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns the peak signal-to-noise ratio of each image: -10 log10(MSE) dB, peak 1.

    Args:
      a: `[B, H, W, C]` in [0, 1].
      b: as `a`.

    Returns:
      `[B]` float32 in dB, at most 100 (see `MSE_FLOOR`).
    """
    return -10.0 * jnp.log10(jnp.maximum(mse(a, b), MSE_FLOOR))


def ssim(a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns the structural similarity of each image, the mean over channels.

    Wang et al. 2004, equation 13: Gaussian window 11x11 of sigma 1.5, K1 = 0.01, K2 = 0.03,
    only where the window lies wholly inside the image.

    Args:
      a: `[B, H, W, C]` in [0, 1], H and W at least 11.
      b: as `a`.

    Returns:
      `[B]` float32 in [-1, 1].

    Raises:
      UserError: an image is smaller than the window.
    """
    height, width = a.shape[1:3]
    if min(height, width) < len(_WINDOW):
        size = len(_WINDOW)
        raise UserError(f"SSIM needs images of at least {size}x{size} pixels, got {height}x{width}")
    a, b = jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)
    moments = _blur(jnp.concatenate([a, b, a * a + b * b, a * b], axis=-1))
    mean_a, mean_b, squares, product = jnp.split(moments, 4, axis=-1)
    mean_product, mean_squares = mean_a * mean_b, mean_a**2 + mean_b**2
    luminance = (2 * mean_product + _C1) / (mean_squares + _C1)
    structure = (2 * (product - mean_product) + _C2) / (squares - mean_squares + _C2)
    return jnp.mean(luminance * structure, axis=(1, 2, 3))


def _blur(x: jax.Array) -> jax.Array:
    """Gaussian window over `[B, H, W, C]` -> `[B, H - 10, W - 10, C]`.

    Sums of shifted slices: on a CPU some 50 times faster than a depthwise convolution, and
    full float32 on accelerators that round the inputs of convolutions.
    """
    for axis in (1, 2):
        size = x.shape[axis] - len(_WINDOW) + 1
        x = sum(
            weight * lax.slice_in_dim(x, shift, shift + size, axis=axis)
            for shift, weight in enumerate(_WINDOW)
        )
    return x
