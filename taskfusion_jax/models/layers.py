"""Layers shared by the image-translation networks."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange, repeat


class ReflectConv(nn.Module):
    """Convolution on a reflection-padded image (pad `kernel // 2`), so borders show no zeros."""

    features: int
    kernel: int
    stride: int = 1
    dtype: jnp.dtype = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x: [B, H, W, C] -> [B, ceil(H / stride), ceil(W / stride), features]."""
        pad = self.kernel // 2
        x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")
        return nn.Conv(
            self.features,
            (self.kernel, self.kernel),
            strides=self.stride,
            padding="VALID",
            dtype=self.dtype,
            kernel_init=self.kernel_init,
            name="conv",
        )(x)


def upsample(x: jax.Array, factor: int = 2) -> jax.Array:
    """Nearest-neighbour enlargement. x: [B, H, W, C] -> [B, factor H, factor W, C]."""
    return repeat(x, "b h w c -> b (h fh) (w fw) c", fh=factor, fw=factor)


def instance_norm(x: jax.Array, epsilon: float = 1e-5) -> jax.Array:
    """Zero mean and unit variance per image and channel, without an affine map.

    x: [B, H, W, C]. Statistics are float32 whatever the compute dtype.
    """
    wide = x.astype(jnp.float32)
    mean = jnp.mean(wide, axis=(1, 2), keepdims=True)
    variance = jnp.var(wide, axis=(1, 2), keepdims=True)
    return ((wide - mean) * jax.lax.rsqrt(variance + epsilon)).astype(x.dtype)


def film(x: jax.Array, gamma: jax.Array, beta: jax.Array) -> jax.Array:
    """Feature-wise linear modulation, gamma * x + beta (paper 004, equation 2).

    x: [B, H, W, C]; gamma, beta: [B, C].
    """
    gamma, beta = (rearrange(p, "b c -> b 1 1 c").astype(x.dtype) for p in (gamma, beta))
    return gamma * x + beta


def _ones_then_zeros(_key: jax.Array, shape: tuple[int], dtype=jnp.float32) -> jax.Array:
    return jnp.concatenate([jnp.ones(shape[0] // 2, dtype), jnp.zeros(shape[0] // 2, dtype)])


class FilmNorm(nn.Module):
    """Instance norm, then FiLM with (gamma, beta) from a dense layer on the task vector.

    The paper's generator is one dense layer for all norms; split by rows it is this layer, once
    per norm: the same function and the same parameters (paper 004, section 3.2). As it is affine
    in the task vector, strengths between 0 and 1 move (gamma, beta) along a straight line. It
    starts as plain instance norm: gamma = 1, beta = 0, and a small kernel.
    """

    @nn.compact
    def __call__(self, x: jax.Array, c: jax.Array) -> jax.Array:
        """x: [B, H, W, C], c: [B, slots] -> [B, H, W, C]."""
        out = nn.Dense(
            2 * x.shape[-1],
            kernel_init=nn.initializers.normal(0.02),
            bias_init=_ones_then_zeros,
            name="generator",
        )(c)
        gamma, beta = jnp.split(out, 2, axis=-1)
        return film(instance_norm(x), gamma, beta)
