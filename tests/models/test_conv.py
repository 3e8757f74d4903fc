"""Every lowering against the plain convolution: random shapes, dtypes, vmap, gradients, devices."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from einops import repeat

from taskfusion_jax.models import conv
from taskfusion_jax.models.winograd import reflect_winograd, same_winograd, winograd


def _direct(x, kernel, stride=1):
    pad = len(kernel) // 2
    x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _enlarged(x, kernel):
    return _direct(repeat(x, "b h w c -> b (h p) (w q) c", p=2, q=2), kernel)


def _upsampled(x, kernel):
    return conv.merge_phases(conv.upsample_convolve(x, kernel))


def _in_phases(x, kernel):
    return conv.merge_phases(conv.phases_convolve(conv.split_phases(x), kernel))


def _same(x, kernel):
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


PAIRS = {
    "upsample": (_upsampled, _enlarged),
    "phases": (_in_phases, _direct),
    "winograd": (reflect_winograd, _direct),
    "zero-padded winograd": (same_winograd, _same),
}


def _case(name, seed, dtype=np.float32):
    """Random sizes, channels and values."""
    rng = np.random.default_rng(seed)
    side = rng.choice([1, 5, 9]) if name == "phases" else 3
    batch, half_height, half_width, inputs, outputs = rng.integers((1, 3, 3, 1, 1), (4, 9, 9, 9, 9))
    x = rng.normal(size=(batch, 2 * half_height, 2 * half_width, inputs))
    kernel = rng.normal(size=(side, side, inputs, outputs))
    return jnp.asarray(x, dtype), jnp.asarray(kernel, dtype)


def _assert_close(a, b, dtype=np.float32):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    assert a.shape == b.shape
    tolerance = 50 * float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * max(b.std(), 1e-3))


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("seed", range(6))
def test_values_and_gradients(name, seed):
    ours, plain = PAIRS[name]
    x, kernel = _case(name, seed)
    y, pull = jax.vjp(jax.jit(ours), x, kernel)
    expected, expected_pull = jax.vjp(jax.jit(plain), x, kernel)
    _assert_close(y, expected)
    g = jnp.asarray(np.random.default_rng(seed).normal(size=y.shape), jnp.float32)
    for leaf, expected_leaf in zip(pull(g), expected_pull(g), strict=True):
        _assert_close(leaf, expected_leaf)


@pytest.mark.parametrize("name", PAIRS)
def test_bfloat16(name):
    ours, plain = PAIRS[name]
    x, kernel = _case(name, 0, jnp.bfloat16)
    y = ours(x, kernel)
    assert y.dtype == jnp.bfloat16
    wide = plain(x.astype(jnp.float32), kernel.astype(jnp.float32))
    error = np.abs(np.asarray(y, np.float32) - wide)
    assert error.mean() < 0.01 * np.abs(wide).mean()


@pytest.mark.parametrize("name", PAIRS)
def test_vmap(name):
    """Also over kernels, with gradients: one image and one kernel per row."""
    ours, plain = PAIRS[name]
    x, kernel = _case(name, 1)
    xs, kernels = jnp.stack([x, 2 * x, x[::-1]]), jnp.stack([kernel, -kernel, kernel[::-1]])

    def loss(f):
        return jax.vmap(jax.value_and_grad(lambda x, k: jnp.sum(jnp.sin(f(x, k))), (0, 1)))

    for a, b in zip(
        jax.tree.leaves(loss(ours)(xs, kernels)),
        jax.tree.leaves(loss(plain)(xs, kernels)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3 * np.abs(b).max())


def test_phases_are_the_pixels():
    x = np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    phases = conv.split_phases(x)
    for p in (0, 1):
        for q in (0, 1):
            np.testing.assert_array_equal(phases[:, :, :, p, q], x[:, p::2, q::2])
    np.testing.assert_array_equal(conv.merge_phases(phases), x)


def test_enlarged_work_is_a_2x2_convolution_of_the_small_image():
    """XLA's count of the flops: 4 taps of 9 are left, and H + 1 rows instead of H."""
    x, kernel = jnp.zeros((1, 31, 31, 8)), jnp.zeros((3, 3, 8, 8))

    def flops(f):
        return jax.jit(f).lower(x, kernel).cost_analysis()["flops"]

    assert flops(conv.upsample_convolve) < 0.55 * flops(_enlarged)


def test_winograd_rounds_little_more_than_the_plain_sum():
    """Against float64, with as many channels as the network has."""
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 18, 18, 128)), rng.normal(size=(3, 3, 128, 32))
    with jax.enable_x64(True):
        exact = np.asarray(conv.convolve(x, kernel))
    x, kernel = np.float32(x), np.float32(kernel)
    ours, plain = (np.sqrt(np.mean((f(x, kernel) - exact) ** 2)) for f in (winograd, conv.convolve))
    assert ours < 1e-6 * exact.std() and ours < 5 * plain


def test_winograd_halves_the_products():
    x, kernel = jnp.zeros((1, 34, 34, 64)), jnp.zeros((3, 3, 64, 64))

    def flops(f):
        return jax.jit(f).lower(x, kernel).compile().cost_analysis()["flops"]

    assert flops(winograd) < 0.56 * flops(conv.convolve)


SHARDED = """
import sys, jax, jax.numpy as jnp, numpy as np
from jax.sharding import PartitionSpec as P
from taskfusion_jax.models import conv
from taskfusion_jax.models.winograd import reflect_winograd, same_winograd, winograd
from taskfusion_jax.models.layers import modulated_norm
from taskfusion_jax.models.winograd import reflect_winograd

def loss(x, kernel):
    y = conv.upsample_convolve(reflect_winograd(x, kernel), kernel)
    y = modulated_norm(y, 2 * jnp.ones((8, 4)), jnp.ones((8, 4)))
    y = conv.phases_convolve(y, jnp.pad(kernel, ((1, 1), (1, 1), (0, 0), (0, 0))))
    return jnp.sum(jnp.sin(y), axis=(1, 2, 3, 4, 5))

rng = np.random.default_rng(0)
x, kernel = (rng.normal(size=s).astype(np.float32) for s in ((8, 8, 6, 4), (3, 3, 4, 4)))
step = jax.value_and_grad(lambda x, k: jnp.sum(loss(x, k)), argnums=(0, 1))
one = jax.jit(step)(x, kernel)
mesh = jax.make_mesh((8,), ("data",), (jax.sharding.AxisType.Auto,))
placed = [jax.NamedSharding(mesh, spec) for spec in (P("data"), P())]
program = jax.jit(step, in_shardings=placed).lower(x, kernel).compile()
for a, b in zip(jax.tree.leaves(program(x, kernel)), jax.tree.leaves(one)):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())
text = program.as_text()
assert "all-gather" not in text and "all-to-all" not in text, text
assert "collective-permute" not in text and "all-reduce" in text, text
"""


def test_eight_devices_share_the_batch_and_exchange_sums_only():
    xla = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", SHARDED], env={**os.environ, **xla}, check=True)
