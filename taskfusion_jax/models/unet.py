"""The U-Net of continual image translation (paper 003)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from taskfusion_jax.errors import UserError
from taskfusion_jax.models.winograd import same_winograd

WIDTHS = (64, 128, 256, 512, 512)
"""Channels of each level, from the image's own size to a sixteenth of it."""
_MANY = 64
"""Channels from which Winograd's way pays; below, it takes longer to compile and to run."""


class UNet(nn.Module):
    """Encoder, decoder with skips, and a 1x1 head of as many channels as the task asks for.

    With the default widths it has 14,776,000 convolution weights without the head, 9,402,048 of
    them in the encoder and 5,373,952 in the decoder (paper 003; biases come on top). The
    parameters are `encoder`, `decoder` and `head`: tasks that share the first two keep a `head`
    each, and networks that differ in `out` only take the same trunk.

    The paper does not say how borders, up-convolutions and first weights are treated: we pad with
    zeros, put no ReLU after an up-convolution (as Ronneberger et al. 2015), and start as He.

    Attributes:
      out: channels of the head; 0 leaves it off.
      widths: channels of each level.
      dtype: compute dtype; parameters stay float32.
    """

    out: int
    widths: tuple[int, ...] = WIDTHS
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Translates images.

        Args:
          x: [B, H, W, 3]; H and W multiples of 2 ** (levels - 1), which is 16 by default.

        Returns:
          [B, H, W, out] float32, or the trunk's features [B, H, W, widths[0]] where `out` is 0.

        Raises:
          UserError: a side cannot be halved as often as there are levels.
        """
        height, width = x.shape[1:3]
        step = 2 ** (len(self.widths) - 1)
        if height % step or width % step:
            raise UserError(f"images need sides that are multiples of {step}, got {height}x{width}")
        maps = Encoder(self.widths, self.dtype, name="encoder")(x.astype(self.dtype))
        x = Decoder(self.widths, self.dtype, name="decoder")(maps)
        if self.out:
            x = nn.Conv(self.out, (1, 1), dtype=self.dtype, name="head")(x)
        return x.astype(jnp.float32)


class Encoder(nn.Module):
    """Two convolutions per level, 2x2 max-pooling between levels."""

    widths: tuple[int, ...] = WIDTHS
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> list[jax.Array]:
        """x: [B, H, W, C] -> the map of each level i, [B, H / 2^i, W / 2^i, widths[i]]."""
        maps = []
        for i, width in enumerate(self.widths):
            x = TwoConvs(width, self.dtype, name=f"level_{i}")(max_pool(x) if i else x)
            maps.append(x)
        return maps


class Decoder(nn.Module):
    """From the deepest map up: enlarge, join the encoder's map of that size, two convolutions."""

    widths: tuple[int, ...] = WIDTHS
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, maps: list[jax.Array]) -> jax.Array:
        """The maps of `Encoder` -> [B, H, W, widths[0]]."""
        x = maps[-1]
        for i in reversed(range(len(self.widths) - 1)):
            x = UpConv(self.dtype, name=f"up_{i}")(x)
            x = jnp.concatenate([x, maps[i]], axis=-1)
            x = TwoConvs(self.widths[max(i - 1, 0)], self.dtype, name=f"level_{i}")(x)
        return x


class TwoConvs(nn.Module):
    """Two 3x3 convolutions with zero padding, a ReLU after each."""

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x: [B, H, W, C] -> [B, H, W, features]."""
        for i in range(2):
            he = nn.initializers.he_normal()
            lowering = same_winograd if min(x.shape[-1], self.features) >= _MANY else None
            conv = nn.Conv(
                self.features,
                (3, 3),
                dtype=self.dtype,
                kernel_init=he,
                conv_general_dilated=lowering,
                name=f"conv_{i}",
            )
            x = nn.relu(conv(x))
        return x


class UpConv(nn.Module):
    """2x2 transposed convolution of stride 2 that keeps the channels.

    Every input pixel makes four output pixels and none overlap, so it is one matrix product and a
    reordering. Kernel [2, 2, in, out] in the order of the output pixels: PyTorch's
    `ConvTranspose2d` weight transposed by (2, 3, 0, 1), not flipped.
    """

    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x: [B, H, W, C] -> [B, 2 H, 2 W, C]."""
        channels = x.shape[-1]
        # Each output pixel sums over the channels of one input pixel, not over the 2x2 window.
        init = nn.initializers.lecun_normal(batch_axis=(0, 1))
        kernel = self.param("kernel", init, (2, 2, channels, channels)).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (channels,)).astype(self.dtype)
        x = jnp.einsum("bhwi,yxio->bhywxo", x, kernel)
        return rearrange(x, "b h y w x c -> b (h y) (w x) c") + bias.reshape(1, 1, 1, -1)


def max_pool(x: jax.Array) -> jax.Array:
    """The largest of every 2x2 pixels. x: [B, H, W, C] -> [B, H / 2, W / 2, C]."""
    return nn.max_pool(x, (2, 2), strides=(2, 2))
