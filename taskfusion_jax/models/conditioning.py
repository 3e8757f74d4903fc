"""How a task vector acts on feature maps: norms and channel attention, all called `(x, c)`.

x: [B, H, W, C] or phases of it, c: [B, slots] -> as x.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from taskfusion_jax.models.layers import instance_norm, modulated_norm, pixel_mean


def _ones_then_zeros(_key: jax.Array, shape: tuple[int], dtype=jnp.float32) -> jax.Array:
    return jnp.concatenate([jnp.ones(shape[0] // 2, dtype), jnp.zeros(shape[0] // 2, dtype)])


class _Generator(nn.Module):
    """Parameters of the dense layer from a task vector to (gamma, beta): plain norm at first."""

    slots: int
    features: int

    @nn.compact
    def __call__(self) -> tuple[jax.Array, jax.Array]:
        shape = (self.slots, self.features)
        kernel = self.param("kernel", nn.initializers.normal(0.02), shape)
        return kernel, self.param("bias", _ones_then_zeros, shape[1:])


class FilmNorm(nn.Module):
    """Instance norm, then FiLM with (gamma, beta) from a dense layer on the task vector.

    The paper's generator is one dense layer for all norms; split by rows it is this layer, once
    per norm: the same function and the same parameters (paper 004, section 3.2). As it is affine
    in the task vector, strengths between 0 and 1 move (gamma, beta) along a straight line. It
    starts as plain instance norm: gamma = 1, beta = 0, and a small kernel.
    """

    @nn.compact
    def __call__(self, x: jax.Array, c: jax.Array) -> jax.Array:
        """x: [B, H, W, C] or phases, c: [B, slots] -> as x."""
        kernel, bias = _Generator(c.shape[-1], 2 * x.shape[-1], name="generator")()
        gamma, beta = jnp.split(c @ kernel + bias[None], 2, axis=-1)
        return modulated_norm(x, gamma, beta)


class ChainedFilmNorm(nn.Module):
    """Instance norm, then one affine map per task in the order of slots, each at its strength.

    With y the normed map, (gamma_0, beta_0) the generator's bias and (g_t, b_t) its row t, it
    starts from z = gamma_0 y + beta_0, and each task makes it (1 + c_t g_t) z + c_t b_t. FiLM would
    add the rows of several tasks; here each acts on what the one before made, channel by channel
    (which is not the whole network twice). Same parameters as `FilmNorm`.
    """

    @nn.compact
    def __call__(self, x: jax.Array, c: jax.Array) -> jax.Array:
        """See the module."""
        channels = x.shape[-1]
        kernel, bias = _Generator(c.shape[-1], 2 * channels, name="generator")()
        scales, shifts = jnp.split(c[..., None] * kernel[None], 2, axis=-1)  # [B, slots, C]
        start = jnp.broadcast_to(bias[None], (c.shape[0], 2 * channels))
        gamma, beta = jnp.split(start, 2, axis=-1)
        for slot in range(c.shape[-1]):
            factor = 1 + scales[:, slot]
            gamma, beta = factor * gamma, factor * beta + shifts[:, slot]
        return modulated_norm(x, gamma, beta)


class AffineNorm(nn.Module):
    """Instance norm with a scale and a shift of its own; the task vector does nothing."""

    @nn.compact
    def __call__(self, x: jax.Array, c: jax.Array) -> jax.Array:
        """See the module."""
        scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        every = jnp.ones((x.shape[0], 1))
        return modulated_norm(x, every * scale[None], every * bias[None])


class PlainNorm(nn.Module):
    """Instance norm without parameters; the task vector does nothing."""

    @nn.compact
    def __call__(self, x: jax.Array, c: jax.Array) -> jax.Array:
        """See the module."""
        return instance_norm(x)


class ChannelAttention(nn.Module):
    """Scales channels by what the image and the task vector say (CCAM of SGN, Chang et al. 2019).

    With p the global average of x: s = relu(W c + b) in R^C, h = relu(Dense([p; s])),
    y = sigmoid(Dense(h)) x; with `shift`, the last layer also makes a bias per channel.

    Attributes:
      reduction: C over the width of h.
      shift: whether a bias is added (SGN+bias of paper 004).
    """

    reduction: int = 4
    shift: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, c: jax.Array) -> jax.Array:
        """See the module."""
        channels = x.shape[-1]
        pixels = x.reshape(x.shape[0], -1, channels)
        average = pixel_mean(pixels.astype(jnp.float32))[:, 0]
        wanted = nn.relu(nn.Dense(channels, name="task")(c))
        both = jnp.concatenate([average, wanted], axis=-1)
        hidden = nn.relu(nn.Dense(channels // self.reduction, name="squeeze")(both))
        out = nn.Dense((1 + self.shift) * channels, name="excite")(hidden)[:, None]
        y = pixels * nn.sigmoid(out[..., :channels])
        if self.shift:
            y += out[..., channels:]
        return y.reshape(x.shape).astype(x.dtype)
