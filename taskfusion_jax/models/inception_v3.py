"""The InceptionV3 whose features the Frechet Inception distance (FID) compares."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

FEATURES = 2048
"""Length of the feature vectors."""

_SIDE = 299

_shrink = functools.partial(nn.max_pool, window_shape=(3, 3), strides=(2, 2))
_around = functools.partial(nn.max_pool, window_shape=(3, 3), strides=(1, 1), padding="SAME")
_mean_around = functools.partial(
    nn.avg_pool, window_shape=(3, 3), strides=(1, 1), padding="SAME", count_include_pad=False
)


class InceptionV3(nn.Module):
    """InceptionV3 up to its last pooling (Szegedy et al. 2016), the graph of TensorFlow's FID.

    That graph of 2015-12-05 differs from other InceptionV3: average pools leave the padding out,
    and the last block has a max pool in the place of one. Modules are named as in its PyTorch
    port, pytorch-fid. Batch norms are folded into the convolutions before them, so the parameters
    are a `kernel` `[h, w, in, out]` and a `bias` `[out]` each, for inference only.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Returns the features of each image ("pool3").

        Args:
          x: `[B, H, W, 3]` RGB in [0, 1], of any size; resized to 299x299 here as pytorch-fid
            does, bilinearly and without low-pass, also where that makes images smaller.

        Returns:
          `[B, 2048]` float32, >= 0.
        """
        x = jnp.asarray(x, jnp.float32)
        shape = (x.shape[0], _SIDE, _SIDE, x.shape[3])
        x = 2 * jax.image.resize(x, shape, "bilinear", antialias=False) - 1
        x = _conv(x, "Conv2d_1a_3x3", 32, (3, 3), 2)
        x = _conv(x, "Conv2d_2a_3x3", 32, (3, 3), padding="VALID")
        x = _conv(x, "Conv2d_2b_3x3", 64, (3, 3))
        x = _shrink(x)
        x = _conv(x, "Conv2d_3b_1x1", 80)
        x = _conv(x, "Conv2d_4a_3x3", 192, (3, 3), padding="VALID")
        x = _shrink(x)
        for name, width in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
            x = _A(width, name=name)(x)
        x = _B(name="Mixed_6a")(x)
        for name, width in (
            ("Mixed_6b", 128),
            ("Mixed_6c", 160),
            ("Mixed_6d", 160),
            ("Mixed_6e", 192),
        ):
            x = _C(width, name=name)(x)
        x = _D(name="Mixed_7a")(x)
        x = _E(_mean_around, name="Mixed_7b")(x)
        x = _E(_around, name="Mixed_7c")(x)
        return jnp.mean(x, axis=(1, 2))


def _conv(
    x: jax.Array,
    name: str,
    width: int,
    kernel: tuple[int, int] = (1, 1),
    strides: int = 1,
    padding: str | None = None,
) -> jax.Array:
    """Convolution and ReLU inside the module that calls; padded unless it strides."""
    padding = padding or ("SAME" if strides == 1 else "VALID")
    return nn.relu(nn.Conv(width, kernel, strides, padding, name=name)(x))


class _A(nn.Module):
    """35x35: 1x1, 5x5, twice 3x3, and a pool reduced to `pooled` channels."""

    pooled: int

    @nn.compact
    def __call__(self, x):
        one = _conv(x, "branch1x1", 64)
        five = _conv(x, "branch5x5_1", 48)
        five = _conv(five, "branch5x5_2", 64, (5, 5))
        three = _conv(x, "branch3x3dbl_1", 64)
        three = _conv(three, "branch3x3dbl_2", 96, (3, 3))
        three = _conv(three, "branch3x3dbl_3", 96, (3, 3))
        pool = _conv(_mean_around(x), "branch_pool", self.pooled)
        return jnp.concatenate([one, five, three, pool], axis=-1)


class _B(nn.Module):
    """35x35 to 17x17."""

    @nn.compact
    def __call__(self, x):
        once = _conv(x, "branch3x3", 384, (3, 3), 2)
        twice = _conv(x, "branch3x3dbl_1", 64)
        twice = _conv(twice, "branch3x3dbl_2", 96, (3, 3))
        twice = _conv(twice, "branch3x3dbl_3", 96, (3, 3), 2)
        return jnp.concatenate([once, twice, _shrink(x)], axis=-1)


class _C(nn.Module):
    """17x17: 1x1, 7x7 as a row and a column, that twice, and a pool."""

    width: int

    @nn.compact
    def __call__(self, x):
        one = _conv(x, "branch1x1", 192)
        once = _conv(x, "branch7x7_1", self.width)
        once = _conv(once, "branch7x7_2", self.width, (1, 7))
        once = _conv(once, "branch7x7_3", 192, (7, 1))
        twice = _conv(x, "branch7x7dbl_1", self.width)
        twice = _conv(twice, "branch7x7dbl_2", self.width, (7, 1))
        twice = _conv(twice, "branch7x7dbl_3", self.width, (1, 7))
        twice = _conv(twice, "branch7x7dbl_4", self.width, (7, 1))
        twice = _conv(twice, "branch7x7dbl_5", 192, (1, 7))
        pool = _conv(_mean_around(x), "branch_pool", 192)
        return jnp.concatenate([one, once, twice, pool], axis=-1)


class _D(nn.Module):
    """17x17 to 8x8."""

    @nn.compact
    def __call__(self, x):
        three = _conv(x, "branch3x3_1", 192)
        three = _conv(three, "branch3x3_2", 320, (3, 3), 2)
        seven = _conv(x, "branch7x7x3_1", 192)
        seven = _conv(seven, "branch7x7x3_2", 192, (1, 7))
        seven = _conv(seven, "branch7x7x3_3", 192, (7, 1))
        seven = _conv(seven, "branch7x7x3_4", 192, (3, 3), 2)
        return jnp.concatenate([three, seven, _shrink(x)], axis=-1)


class _E(nn.Module):
    """8x8: 1x1, 3x3 as a row beside a column, a 3x3 before such a pair, and a pool."""

    pool: Callable[[jax.Array], jax.Array]

    @nn.compact
    def __call__(self, x):
        one = _conv(x, "branch1x1", 320)
        three = _conv(x, "branch3x3_1", 384)
        row = _conv(three, "branch3x3_2a", 384, (1, 3))
        column = _conv(three, "branch3x3_2b", 384, (3, 1))
        deeper = _conv(x, "branch3x3dbl_1", 448)
        deeper = _conv(deeper, "branch3x3dbl_2", 384, (3, 3))
        deeper_row = _conv(deeper, "branch3x3dbl_3a", 384, (1, 3))
        deeper_column = _conv(deeper, "branch3x3dbl_3b", 384, (3, 1))
        pool = _conv(self.pool(x), "branch_pool", 192)
        return jnp.concatenate([one, row, column, deeper_row, deeper_column, pool], axis=-1)
