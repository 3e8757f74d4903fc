"""TransformNet against the same network written in PyTorch, and the paper's counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from taskfusion_jax.engine.compile import jit
from taskfusion_jax.errors import UserError
from taskfusion_jax.models.conditioning import FilmNorm
from taskfusion_jax.models.layers import instance_norm
from taskfusion_jax.models.transform_net import TransformNet
from tests.models.residuals import assert_remat_saves

SLOTS = 6
NORMED = [f"down_{i}" for i in range(3)]
NORMED += [f"block_{i}_{half}" for i in range(5) for half in "ab"]
NORMED += ["up_0", "up_1"]


def _shapes(**options):
    """Name -> shape of every parameter of the paper's size."""
    net = TransformNet(**options)
    image, c = jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, SLOTS))
    params = jax.eval_shape(net.init, jax.random.key(0), image, c)["params"]
    return {"/".join(path): leaf.shape for path, leaf in flatten_dict(params).items()}


def _random_params(net, seed=0):
    """Weights far from the start, so that no part of the network is idle."""
    rng = np.random.default_rng(seed)
    image, c = jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, SLOTS))
    shapes = flatten_dict(jax.eval_shape(net.init, jax.random.key(0), image, c)["params"])
    scale = {path: 1 / np.sqrt(np.prod(leaf.shape[:-1])) for path, leaf in shapes.items()}
    return unflatten_dict(
        {
            path: rng.normal(0, min(scale[path], 0.5), leaf.shape).astype(np.float32)
            for path, leaf in shapes.items()
        }
    )


def _inputs(batch=3, height=20, width=28):
    """An odd batch, an image that is not square, and strengths that are not one-hot."""
    rng = np.random.default_rng(1)
    image = rng.random((batch, height, width, 3), np.float32)
    return image, rng.random((batch, SLOTS), np.float32)


def _torch_forward(params, x, c, blocks):
    """The same network in plain PyTorch, from the same arrays."""
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    c = torch.from_numpy(c)

    def conv(h, name, stride=1):
        kernel = torch.from_numpy(params[name]["conv"]["kernel"].transpose(3, 2, 0, 1).copy())
        pad = kernel.shape[-1] // 2
        h = f.pad(h, (pad,) * 4, mode="reflect")
        return f.conv2d(h, kernel, torch.from_numpy(params[name]["conv"]["bias"]), stride)

    def film(h, name):
        generator = {k: torch.from_numpy(v) for k, v in params[name]["generator"].items()}
        gamma, beta = (c @ generator["kernel"] + generator["bias"]).chunk(2, dim=1)
        return gamma[:, :, None, None] * f.instance_norm(h) + beta[:, :, None, None]

    def layer(h, name, stride=1):
        return film(conv(h, name, stride), f"{name}_norm")

    def up(h, name, encoder):
        h = layer(f.interpolate(h, scale_factor=2, mode="nearest"), f"up_{name[0]}")
        return (h + film(encoder, name[1]) if name[1] in params else h).relu()

    x = 2 * torch.from_numpy(x.transpose(0, 3, 1, 2).copy()) - 1
    full = layer(x, "down_0").relu()
    half = layer(full, "down_1", 2).relu()
    h = layer(half, "down_2", 2).relu()
    for i in range(blocks):
        h = h + layer(layer(h, f"block_{i}_a").relu(), f"block_{i}_b")
    h = up(h, (0, "skip_half"), half)
    h = up(h, (1, "skip_full"), full)
    y = conv(h, "out")
    if "gate" in params:
        gate = (1 + c @ torch.from_numpy(params["gate"]["kernel"]))[:, :, None, None]
        y = y[:, :3] + (gate + y[:, 3:] if y.shape[1] == 4 else gate) * x
    return ((y + 1) / 2).numpy().transpose(0, 2, 3, 1)


def test_parameters_are_those_of_the_paper():
    """Paper 004, table 2: 1,698,435 = 1,676,035 in convolutions + 7 x 3200 in generators."""
    shapes = _shapes()
    size = {name: int(np.prod(shape)) for name, shape in shapes.items()}
    assert sum(size.values()) == 1_698_435
    assert sum(n for name, n in size.items() if "/conv/" in name) == 1_676_035
    assert sum(n for name, n in size.items() if "/generator/" in name) == 22_400
    modulated = [shape[0] // 2 for name, shape in shapes.items() if "generator/bias" in name]
    assert (len(modulated), sum(modulated)) == (15, 1600)


def test_the_gate_costs_three_parameters_per_slot():
    shapes = _shapes(input_gate=True)
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 1_698_435 + 3 * SLOTS


@pytest.mark.parametrize(
    "options",
    [
        {"width": 32, "blocks": 5},
        {"width": 8, "blocks": 2, "input_gate": True},
        {"width": 8, "blocks": 1, "skips": True},
        {"width": 4, "blocks": 0, "input_gate": True, "pixel_gate": True, "skips": True},
    ],
)
def test_equals_pytorch(options):
    net = TransformNet(**options)
    params, (x, c) = _random_params(net), _inputs()
    y = jax.jit(net.apply)({"params": params}, x, c)
    assert y.shape == x.shape and y.dtype == jnp.float32
    expected = _torch_forward(params, x, c, options["blocks"])
    np.testing.assert_allclose(y, expected, atol=1e-5 * np.ptp(expected))


def test_split_generators_are_one_dense_layer():
    """Joined, the generators are the paper's one layer, 6 -> 3200; each norm takes its part."""
    net = TransformNet()
    params, c = _random_params(net), _inputs()[1]
    parts = [params[f"{name}_norm"]["generator"] for name in NORMED]
    kernel = np.concatenate([part["kernel"] for part in parts], axis=1)
    bias = np.concatenate([part["bias"] for part in parts])
    assert kernel.shape == (6, 3200)
    whole = np.split(c @ kernel + bias[None], np.cumsum([len(p["bias"]) for p in parts])[:-1], 1)
    for part, expected in zip(parts, whole, strict=True):
        channels = expected.shape[1] // 2
        # A map that instance norm leaves alone: +1 and -1, so the output is beta +- gamma.
        x = np.tile(np.float32([1, -1])[None, :, None, None], (len(c), 1, 1, channels))
        out = FilmNorm().apply({"params": {"generator": part}}, x, c)[:, :, 0]
        gamma, beta = (out[:, 0] - out[:, 1]) / 2, (out[:, 0] + out[:, 1]) / 2
        np.testing.assert_allclose(np.concatenate([gamma, beta], 1), expected, atol=1e-4)


def test_modulation_moves_on_a_straight_line():
    """gamma and beta are affine in c: what lies between two vectors gives what lies between."""
    net = FilmNorm()
    x = np.random.default_rng(0).normal(size=(1, 5, 7, 4)).astype(np.float32)
    a, b = np.random.default_rng(2).random((2, 1, SLOTS), np.float32)
    generator = {"kernel": np.random.default_rng(3).normal(size=(SLOTS, 8)).astype(np.float32)}
    params = {"params": {"generator": {**generator, "bias": np.ones(8, np.float32)}}}
    ends = net.apply(params, x, a), net.apply(params, x, b)
    for t in (0.0, 0.3, 1.0, 1.7):
        expected = (1 - t) * ends[0] + t * ends[1]
        np.testing.assert_allclose(
            net.apply(params, x, (1 - t) * a + t * b), expected, atol=1e-5, rtol=1e-5
        )


def test_starts_as_plain_instance_norm():
    x, c = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype(np.float32), np.eye(2, SLOTS)
    net = FilmNorm()
    params = net.init(jax.random.key(0), x, c)
    plain = instance_norm(x)
    np.testing.assert_array_equal(net.apply(params, x, 0 * c), plain)
    np.testing.assert_allclose(net.apply(params, x, c), plain, atol=0.5)
    np.testing.assert_allclose(np.mean(plain, axis=(1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(np.var(plain, axis=(1, 2)), 1, atol=1e-4)


def test_bfloat16_computes_nearly_the_same():
    x, c = _inputs(1, 16, 16)
    full = TransformNet(width=8, blocks=1, input_gate=True)
    half = TransformNet(width=8, blocks=1, input_gate=True, dtype=jnp.bfloat16)
    shapes = jax.eval_shape(half.init, jax.random.key(0), x, c)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(shapes))
    params = {"params": _random_params(full)}
    a, b = jit(full.apply)(params, x, c), jit(half.apply)(params, x, c)
    assert b.dtype == jnp.float32
    assert np.abs(a - b).mean() < 0.02 * np.abs(a - x).mean()


def test_gate_hands_the_input_over():
    """At c = 0 the gate adds the input itself, whatever its weights."""
    net = TransformNet(width=4, blocks=1, input_gate=True)
    params, (x, c) = _random_params(net), _inputs()
    ungated = {name: leaf for name, leaf in params.items() if name != "gate"}
    plain = TransformNet(width=4, blocks=1)
    for strengths in (0 * c, c):
        added = net.apply({"params": params}, x, strengths)
        added -= plain.apply({"params": ungated}, x, strengths)
        gate = 1 + strengths @ params["gate"]["kernel"]
        np.testing.assert_allclose(added, gate[:, None, None] * (x - 0.5), atol=1e-5)


@pytest.mark.parametrize("size", [(30, 32), (32, 30), (2, 4)])
def test_sides_that_are_no_multiples_of_4_are_refused(size):
    x = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    c = jax.ShapeDtypeStruct((1, SLOTS), jnp.float32)
    with pytest.raises(UserError, match=f"multiples of 4.* {size[0]}x{size[1]}"):
        jax.eval_shape(TransformNet(width=4, blocks=1).init, jax.random.key(0), x, c)


def test_a_pixel_gate_without_an_input_gate_is_refused():
    x, c = jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, SLOTS))
    with pytest.raises(UserError, match=r"pixel_gate needs .*input_gate"):
        jax.eval_shape(TransformNet(width=4, pixel_gate=True).init, jax.random.key(0), x, c)


def test_rematerialised_it_keeps_less_and_has_the_same_gradients(capsys):
    net = TransformNet(width=4, blocks=3, skips=True, input_gate=True, pixel_gate=True)
    (x, c), params = _inputs(), _random_params(net)
    assert_remat_saves(capsys, net, params, x, c)
