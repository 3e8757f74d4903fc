"""The convolutions of VGG16, whose features the perceptual losses and distances compare."""

import functools
import itertools
from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from taskfusion_jax.errors import UserError, did_you_mean

CONVS = {
    f"conv{block}_{index}": width
    for block, width, depth in ((1, 64, 2), (2, 128, 2), (3, 256, 3), (4, 512, 3), (5, 512, 3))
    for index in range(1, depth + 1)
}
"""Name -> output channels of the 13 convolutions, in order."""

_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_STD = np.array([0.229, 0.224, 0.225], np.float32)


class VGG16(nn.Module):
    """VGG16 up to the deepest layer asked for (Simonyan & Zisserman 2015, configuration D).

    Parameters are `conv1_1` ... `conv5_3`, each a `kernel` `[3, 3, in, out]` and a `bias`
    `[out]`. `apply` takes those of the whole network too: what lies deeper is left unused.

    Attributes:
      layers: names among `relu1_1` ... `relu5_3`.
      remat: keeps only the features and each block's input for the backward pass.
      dtype: of the computation and of the features.
    """

    layers: tuple[str, ...]
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> dict[str, jax.Array]:
        """Returns the features of each layer asked for.

        Args:
          x: `[B, H, W, 3]` RGB in [0, 1]; normalised here as ImageNet was.

        Returns:
          layer name -> `[B, H / s, W / s, C]`, s = 1, 2, 4, 8, 16 for blocks 1 to 5.

        Raises:
          UserError: a layer has an unknown name, or the images are too small to reach it.
        """
        deepest = _deepest(self.layers)
        features = {}
        x = ((x - _MEAN.reshape(1, 1, 1, 3)) / _STD.reshape(1, 1, 1, 3)).astype(self.dtype)
        blocks = itertools.groupby(CONVS.items(), lambda conv: conv[0].removeprefix("conv")[0])
        keep_less = nn.remat if self.remat else lambda part: part
        for number, convs in blocks:
            if number != "1":
                x = nn.max_pool(x, (2, 2), strides=(2, 2))
            if 0 in x.shape[1:3]:
                raise UserError(f"the images are too small for relu{number}_1 of VGG16")
            x, found = keep_less(functools.partial(VGG16._block, convs=tuple(convs)))(self, x)
            features |= found
            if deepest in found:
                break
        return features

    def _block(self, x, convs):
        """Returns a block's output, and of its layers those asked for."""
        found = {}
        for conv, width in convs:
            x = nn.relu(nn.Conv(width, (3, 3), padding=1, dtype=self.dtype, name=conv)(x))
            relu = conv.replace("conv", "relu")
            if relu in self.layers:
                found[relu] = x
            if relu == _deepest(self.layers):
                break
        return x, found


def _deepest(layers: tuple[str, ...]) -> str:
    """Returns the layer to stop after; names that do not exist are refused."""
    known = [conv.replace("conv", "relu") for conv in CONVS]
    for layer in layers:
        if layer not in known:
            raise UserError(f"VGG16 has no layer '{layer}'{did_you_mean(layer, known)}")
    if not layers:
        raise UserError(f"VGG16 is asked for no layer (known: {', '.join(known)})")
    return max(layers, key=known.index)


def gram(features: jax.Array) -> jax.Array:
    """Returns the Gram matrices of features, divided by C*H*W (Johnson et al. 2016, eq. 3).

    Args:
      features: `[B, H, W, C]`.

    Returns:
      `[B, C, C]` float32.
    """
    _, height, width, channels = features.shape
    products = jnp.einsum("bhwi,bhwj->bij", features, features, preferred_element_type=jnp.float32)
    return products / (channels * height * width)


def pooled(features: Mapping[str, jax.Array]) -> jax.Array:
    """Returns one vector per image: the spatial mean of each layer, joined from shallow to deep.

    These are the features of a Frechet distance where Inception weights are absent.

    Args:
      features: layer name -> `[B, h, w, C]`.

    Returns:
      `[B, sum of C]` float32.
    """
    means = [
        jnp.mean(features[layer], axis=(1, 2), dtype=jnp.float32) for layer in sorted(features)
    ]
    return jnp.concatenate(means, axis=-1)
