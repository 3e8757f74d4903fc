"""Johnson's image-transform network, told by a task vector what to do (paper 004, figure 1)."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from taskfusion_jax.errors import UserError
from taskfusion_jax.models.conditioning import FilmNorm
from taskfusion_jax.models.conv import (
    merge_phases,
    phases_convolve,
    reflect_convolve,
    split_phases,
    upsample_convolve,
)
from taskfusion_jax.models.layers import ReflectConv
from taskfusion_jax.models.winograd import reflect_winograd

_ZEROS = nn.initializers.zeros


class TransformNet(nn.Module):
    """c9s1-w, c3s2-2w, c3s2-4w, residual blocks, up-2w, up-w, c9s1-3, with a norm after each.

    The last convolution has none. With width 32 and 5 blocks the convolutions have 1,676,035
    parameters; with FiLM norms and a 6-wide task vector the network has 1,698,435 (paper 004,
    table 2). Methods choose norms and attention among `models.conditioning`.

    Attributes:
      norm: makes the norm after a convolution, given its name.
      encoder_norm: the same for the first three; None = as `norm`.
      attention: makes what follows each layer and each block; None = nothing.
      width: channels of the first layer.
      blocks: number of residual blocks.
      input_gate: adds the input, times a gate per task and channel, to the output. Instance norm
        erases an image's colour statistics; the gate hands them over. It is 1 for the zero vector
        and linear in c, at 3 parameters per task (our extension, off in the paper).
      pixel_gate: a fourth output adds to that gate at every pixel, so that a task can keep, drop or
        replace the input where it must (our extension, off in the paper; needs `input_gate`).
      skips: adds the encoder's first two feature maps, each through a FiLM of its own, to the
        decoder's maps of the same size (our extension, off in the paper).
      remat: keeps for the backward pass only what lies between encoder, blocks and decoder, and
        computes the rest again: less memory, a third more computing.
      dtype: compute dtype of the convolutions; parameters and norm statistics stay float32.
    """

    norm: Callable[..., nn.Module] = FilmNorm
    encoder_norm: Callable[..., nn.Module] | None = None
    attention: Callable[..., nn.Module] | None = None
    width: int = 32
    blocks: int = 5
    input_gate: bool = False
    pixel_gate: bool = False
    skips: bool = False
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, c: jax.Array) -> jax.Array:
        """Translates images.

        Args:
          x: [B, H, W, 3] in [0, 1]; H and W multiples of 4, at least 8.
          c: [B, slots], the strength of each task in [0, 1]; zeros ask for the input itself.

        Returns:
          [B, H, W, 3] float32, around [0, 1] (not clipped).

        Raises:
          UserError: a side is no multiple of 4, so the output could not have the input's size, or
            less than 8, so there is nothing to reflect; or there is a pixel gate and no input gate
            to add it to.
        """
        if self.pixel_gate and not self.input_gate:
            raise UserError("config.network.pixel_gate needs config.network.input_gate=True")
        height, width = x.shape[1:3]
        if height % 4 or width % 4 or min(height, width) < 8:
            wanted = "multiples of 4, at least 8"
            raise UserError(f"images need sides that are {wanted}, got {height}x{width}")
        x = 2 * x - 1
        keep_less = nn.remat if self.remat else lambda part: part
        full, half, h = keep_less(TransformNet._encode)(self, x, c)
        for i in range(self.blocks):
            h = keep_less(functools.partial(TransformNet._block, index=i))(self, h, c)
        y = keep_less(TransformNet._decode)(self, h, half, full, c)
        if self.input_gate:
            gate = 1 + nn.Dense(3, use_bias=False, kernel_init=_ZEROS, name="gate")(c)
            gate = rearrange(gate, "b c -> b 1 1 c") + (y[..., 3:] if self.pixel_gate else 0)
            y = y[..., :3] + gate * x
        return (y + 1) / 2

    def _conv_norm(self, h, c, features, kernel, name, lowering=reflect_convolve, norm=None):
        h = ReflectConv(features, kernel, lowering, True, self.dtype, name=name)(h)
        return (norm or self.norm)(name=f"{name}_norm")(h, c)

    def _attend(self, h, c, name):
        return self.attention(name=f"{name}_attention")(h, c) if self.attention else h

    def _skip(self, h, c, name):
        return self.norm(name=name)(h, c) if self.skips else 0

    def _encode(self, x, c):
        w, halve = self.width, functools.partial(reflect_convolve, stride=2)

        def layer(h, features, kernel, name, lowering):
            h = self._conv_norm(h, c, features, kernel, name, lowering, self.encoder_norm)
            return self._attend(nn.relu(h), c, name)

        # Four times as many of the few colours make a better product.
        full = merge_phases(layer(split_phases(x), w, 9, "down_0", phases_convolve))
        half = layer(full, 2 * w, 3, "down_1", halve)
        return full, half, layer(half, 4 * w, 3, "down_2", halve)

    def _block(self, h, c, index):
        conv_norm = functools.partial(self._conv_norm, lowering=reflect_winograd)
        residual = nn.relu(conv_norm(h, c, 4 * self.width, 3, f"block_{index}_a"))
        h += conv_norm(residual, c, 4 * self.width, 3, f"block_{index}_b")
        return self._attend(h, c, f"block_{index}")

    def _decode(self, h, half, full, c):
        h = self._conv_norm(h, c, 2 * self.width, 3, "up_0", upsample_convolve)
        h = nn.relu(merge_phases(h) + self._skip(half, c, "skip_half"))
        h = self._attend(h, c, "up_0")
        # From here on the image stays in phases, as `up_1` makes and `out` wants it.
        h = self._conv_norm(h, c, self.width, 3, "up_1", upsample_convolve)
        h = nn.relu(h + self._skip(split_phases(full), c, "skip_full"))
        h = self._attend(h, c, "up_1")
        # With the gate the network begins as the identity, without it as a random image.
        init = {"kernel_init": _ZEROS} if self.input_gate else {}
        h = ReflectConv(
            3 + self.pixel_gate, 9, phases_convolve, dtype=self.dtype, name="out", **init
        )(h)
        return merge_phases(h).astype(jnp.float32)
