"""Layers shared by the image-translation networks."""

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange

from taskfusion_jax.models.conv import reflect_convolve


class ReflectConv(nn.Module):
    """Convolution on a reflection-padded image (pad `kernel // 2`), so borders show no zeros.

    Attributes:
      features: output channels.
      kernel: side of the kernel.
      lowering: (x, kernel) -> y, how it is computed.
      normed: an instance norm follows. It takes the bias away again, so it is not added.
      dtype: of the computation.
      kernel_init: initialiser of the kernel.
    """

    features: int
    kernel: int
    lowering: Callable[[jax.Array, jax.Array], jax.Array] = reflect_convolve
    normed: bool = False
    dtype: jnp.dtype = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """x: [B, H, W, C] or phases of it -> whatever `lowering` returns."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel, bias = _ConvParams(shape, self.kernel_init, name="conv")()
        y = self.lowering(x.astype(self.dtype), kernel.astype(self.dtype))
        if not self.normed:
            y += jnp.broadcast_to(bias.astype(self.dtype), y.shape)
        return y


class _ConvParams(nn.Module):
    """The parameters of a `nn.Conv`, by its names."""

    shape: tuple[int, int, int, int]
    kernel_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self) -> tuple[jax.Array, jax.Array]:
        kernel = self.param("kernel", self.kernel_init, self.shape)
        return kernel, self.param("bias", nn.initializers.zeros, self.shape[-1:])


def instance_norm(x: jax.Array, epsilon: float = 1e-5) -> jax.Array:
    """Zero mean and unit variance per image and channel, without an affine map.

    x: [B, H, W, C] or phases. Statistics are float32 whatever the compute dtype.
    """
    ones = jnp.ones((x.shape[0], x.shape[-1]), jnp.float32)
    return modulated_norm(x, ones, jnp.zeros_like(ones), epsilon)


def modulated_norm(
    x: jax.Array, gamma: jax.Array, beta: jax.Array, epsilon: float = 1e-5
) -> jax.Array:
    """Instance norm, then FiLM: gamma * norm(x) + beta (paper 004, equation 2).

    x: [B, H, W, C] or phases; gamma, beta: [B, C].
    """
    pixels = x.reshape(x.shape[0], -1, x.shape[-1])
    return _modulated_norm(pixels, gamma, beta, epsilon).reshape(x.shape)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _modulated_norm(x, gamma, beta, epsilon):
    return _modulated_norm_forward(x, gamma, beta, epsilon)[0]


def _modulated_norm_forward(x, gamma, beta, epsilon):
    mean = pixel_mean(x.astype(jnp.float32))
    centred = x.astype(jnp.float32) - mean
    scale = jax.lax.rsqrt(pixel_mean(jnp.square(centred)) + epsilon)
    y = centred * (scale * _row(gamma)) + _row(beta)
    return y.astype(x.dtype), (x, gamma, mean, scale)


def _modulated_norm_backward(_, residuals, g):
    """The closed form needs two sums per channel; autodiff would take five."""
    x, gamma, mean, scale = residuals
    g = g.astype(jnp.float32)
    normed = (x.astype(jnp.float32) - mean) * scale
    mean_g, mean_gx = pixel_mean(g), pixel_mean(g * normed)
    dx = (scale * _row(gamma)) * (g - mean_g - normed * mean_gx)
    pixels = x.shape[1]
    return dx.astype(x.dtype), pixels * mean_gx[:, 0], pixels * mean_g[:, 0]


_modulated_norm.defvjp(_modulated_norm_forward, _modulated_norm_backward)


def _row(p: jax.Array) -> jax.Array:
    return rearrange(p.astype(jnp.float32), "b c -> b 1 c")


def pixel_mean(x: jax.Array) -> jax.Array:
    """[B, N, C] -> [B, 1, C]. As a matrix product where a sum of columns is slow (XLA on a CPU).

    The product adds up one number after another, and rounds each time: first every G-th pixel is
    added up, then these G sums, which errs as little as a sum by halves.
    """

    def product(x):
        batch, pixels, channels = x.shape
        sums = math.gcd(pixels, 1 << (pixels.bit_length() // 2))
        x = x.reshape(batch, pixels // sums, sums * channels)
        ones = jnp.full((batch, 1, pixels // sums), sums / pixels, x.dtype)
        means = jnp.einsum("bon,bnc->boc", ones, x).reshape(batch, sums, channels)
        return jnp.mean(means, axis=1, keepdims=True)

    return jax.lax.platform_dependent(
        x, cpu=product, default=lambda x: jnp.mean(x, axis=1, keepdims=True)
    )
