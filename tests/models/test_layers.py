"""Norms against their definition in float64, with gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskfusion_jax.models.layers import instance_norm, modulated_norm, pixel_mean

EPSILON = 1e-5


def _definition(x, gamma, beta):
    """By autodiff, over all axes between the first and the last."""
    axes = tuple(range(1, x.ndim - 1))
    mean, variance = (f(x, axis=axes, keepdims=True) for f in (jnp.mean, jnp.var))
    gamma, beta = (p.reshape(mean.shape) for p in (gamma, beta))
    return gamma * (x - mean) / jnp.sqrt(variance + EPSILON) + beta


def _case(shape, seed=0):
    rng = np.random.default_rng(seed)
    channels = (shape[0], shape[-1])
    draw = [rng.normal(size=s).astype(np.float32) for s in (shape, channels, channels, shape)]
    return draw[:3], draw[3]


@pytest.mark.parametrize("shape", [(3, 5, 7, 4), (2, 4, 4, 2, 2, 8), (1, 1, 3, 1), (2, 31, 17, 3)])
@pytest.mark.parametrize("offset", [0, 100])
def test_norm_and_its_gradients(shape, offset):
    """An offset, as a large mean, takes digits from the values but none from the rest."""
    (x, gamma, beta), g = _case(shape)
    x = x + np.float32(offset)
    y, pull = jax.vjp(modulated_norm, x, gamma, beta)
    with jax.enable_x64(True):
        wide = [np.asarray(leaf, np.float64) for leaf in (x, gamma, beta)]
        expected, expected_pull = jax.vjp(_definition, *wide)
        expected_gradients = expected_pull(np.asarray(g, np.float64))
    tolerance = 2e-6 * (1 + offset)
    np.testing.assert_allclose(y, expected, atol=tolerance * 5)
    for leaf, expected_leaf in zip(pull(g), expected_gradients, strict=True):
        scale = np.abs(expected_leaf).max()
        np.testing.assert_allclose(leaf, expected_leaf, atol=tolerance * 5 * scale)


def test_bfloat16_keeps_its_dtype_and_float32_statistics():
    (x, gamma, beta), g = _case((2, 16, 16, 4))
    half = jnp.asarray(x + 3, jnp.bfloat16)
    y, pull = jax.vjp(modulated_norm, half, gamma, beta)
    gradients = pull(jnp.asarray(g, jnp.bfloat16))
    assert [leaf.dtype for leaf in (y, *gradients)] == [
        jnp.bfloat16,
        jnp.bfloat16,
        jnp.float32,
        jnp.float32,
    ]
    expected = _definition(half.astype(jnp.float32), gamma, beta)
    assert np.abs(np.asarray(y, np.float32) - expected).max() < 0.02 * np.abs(expected).max()


def test_vmap_and_jit():
    (x, gamma, beta), g = _case((4, 5, 6, 3))

    def pulled(x, gamma, beta, g):
        y, pull = jax.vjp(modulated_norm, x[None], gamma[None], beta[None])
        return y[0], *(leaf[0] for leaf in pull(g[None]))

    y, pull = jax.vjp(modulated_norm, x, gamma, beta)
    rows = jax.jit(jax.vmap(pulled))(x, gamma, beta, g)
    for row, whole in zip(rows, (y, *pull(g)), strict=True):
        np.testing.assert_allclose(row, whole, atol=1e-5)


@pytest.mark.parametrize("pixels", [1, 75 * 75, 96 * 100, 512 * 512])
def test_means_of_many_pixels_are_those_of_float64(pixels):
    x = np.random.default_rng(0).normal(3, 1, (1, pixels, 4)).astype(np.float32)
    exact = x.astype(np.float64).mean(axis=1, keepdims=True)
    np.testing.assert_allclose(jax.jit(pixel_mean)(x), exact, rtol=1e-5 if pixels % 2 else 5e-7)


def test_instance_norm_has_no_affine_map():
    (x, _, _), _ = _case((2, 9, 8, 5))
    y = instance_norm(x)
    np.testing.assert_allclose(np.mean(y, axis=(1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(np.var(y, axis=(1, 2)), 1, atol=1e-4)
