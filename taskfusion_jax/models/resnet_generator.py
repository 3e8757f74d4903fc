"""CycleGAN's generator: an autoencoder round residual blocks that can be swapped (paper 003)."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from taskfusion_jax.errors import UserError
from taskfusion_jax.models.conv import merge_phases, reflect_convolve, upsample_convolve
from taskfusion_jax.models.layers import ReflectConv, instance_norm
from taskfusion_jax.models.winograd import reflect_winograd


class ResNetGenerator(nn.Module):
    """c7s1-w, d2w, d4w, residual blocks, u2w, uw, c7s1-3 (Zhu et al. 2017; "Resblock", paper 003).

    An instance norm without parameters and a ReLU follow each convolution but the last. With the
    default width the autoencoder has 756,739 parameters; six blocks have 7,077,888 weights and
    3,072 biases. The parameters are `encoder`, `blocks` (`block_0`, ...; absent without blocks)
    and `decoder`: tasks that share the autoencoder keep blocks each, and blocks of several tasks
    make one chain when they are numbered on.

    Ours are: nearest enlargement before the convolutions of u2w and uw, which has as many
    parameters as CycleGAN's transposed convolutions and draws no checkerboards; and no tanh after
    the last, as it saturates at black and white. A clipped image is what is shown.

    Attributes:
      width: channels of the first layer.
      blocks: number of residual blocks.
      remat: keeps for the backward pass only what lies between encoder, blocks and decoder, and
        computes the rest again: less memory, a third more computing.
      dtype: compute dtype of the convolutions; parameters and norm statistics stay float32.
    """

    width: int = 64
    blocks: int = 6
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Translates images.

        Args:
          x: [B, H, W, 3] in [0, 1]; H and W multiples of 4, at least 8.

        Returns:
          [B, H, W, 3] float32, around [0, 1] (not clipped).

        Raises:
          UserError: a side is no multiple of 4, so the output could not have the input's size, or
            less than 8, so a quarter of it has nothing to reflect.
        """
        height, width = x.shape[1:3]
        if height % 4 or width % 4 or min(height, width) < 8:
            wanted = "multiples of 4, at least 8"
            raise UserError(f"images need sides that are {wanted}, got {height}x{width}")
        keep_less = nn.remat if self.remat else lambda part: part
        h = keep_less(Encoder)(self.width, self.dtype, name="encoder")(2 * x - 1)
        h = ResidualBlocks(self.blocks, self.remat, self.dtype, name="blocks")(h)
        y = keep_less(Decoder)(self.width, self.dtype, name="decoder")(h)
        return (y + 1) / 2


class Encoder(nn.Module):
    """c7s1-w, d2w, d4w."""

    width: int = 64
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x: [B, H, W, 3] in [-1, 1] -> [B, H / 4, W / 4, 4 width]."""
        w, halve = self.width, functools.partial(reflect_convolve, stride=2)
        h = _conv_norm(x, w, 7, reflect_convolve, self.dtype, "down_0")
        h = _conv_norm(nn.relu(h), 2 * w, 3, halve, self.dtype, "down_1")
        return nn.relu(_conv_norm(nn.relu(h), 4 * w, 3, halve, self.dtype, "down_2"))


class ResidualBlocks(nn.Module):
    """A chain of residual blocks, `block_0` first."""

    blocks: int = 6
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, h: jax.Array) -> jax.Array:
        """h: [B, H, W, C] -> the same shape."""
        block = nn.remat(ResidualBlock) if self.remat else ResidualBlock
        for i in range(self.blocks):
            h = block(self.dtype, name=f"block_{i}")(h)
        return h


class ResidualBlock(nn.Module):
    """Adds to a map what two 3x3 convolutions make of it; no ReLU after the sum."""

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, h: jax.Array) -> jax.Array:
        """h: [B, H, W, C], sides at least 2 -> the same shape."""
        channels = h.shape[-1]
        residual = nn.relu(_conv_norm(h, channels, 3, reflect_winograd, self.dtype, "conv_0"))
        return h + _conv_norm(residual, channels, 3, reflect_winograd, self.dtype, "conv_1")


class Decoder(nn.Module):
    """u2w, uw, c7s1-3."""

    width: int = 64
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, h: jax.Array) -> jax.Array:
        """h: [B, H / 4, W / 4, 4 width] -> [B, H, W, 3] float32, around [-1, 1]."""
        for i, features in enumerate((2 * self.width, self.width)):
            h = _conv_norm(h, features, 3, upsample_convolve, self.dtype, f"up_{i}")
            h = merge_phases(nn.relu(h))
        return ReflectConv(3, 7, dtype=self.dtype, name="out")(h).astype(jnp.float32)


def _conv_norm(x, features, kernel, lowering, dtype, name):
    """Within a compact method: a convolution called `name`, then the norm."""
    return instance_norm(ReflectConv(features, kernel, lowering, True, dtype, name=name)(x))
