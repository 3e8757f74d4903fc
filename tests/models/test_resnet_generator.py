"""The residual generator against PyTorch with the same weights, and its size in the paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from taskfusion_jax.engine.compile import jit
from taskfusion_jax.errors import UserError
from taskfusion_jax.models.resnet_generator import ResNetGenerator
from tests.models.residuals import assert_remat_saves


def _shapes(net):
    image = jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32)
    return jax.eval_shape(net.init, jax.random.key(0), image)["params"]


def _random_params(net, seed=0):
    """Weights far from the start, biases among them."""
    rng = np.random.default_rng(seed)

    def draw(leaf):
        scale = 1 / np.sqrt(np.prod(leaf.shape[:-1])) if len(leaf.shape) > 1 else 0.3
        return rng.normal(0, scale, leaf.shape).astype(np.float32)

    return jax.tree.map(draw, _shapes(net))


def _image(batch=3, height=20, width=28):
    return np.random.default_rng(1).random((batch, height, width, 3), np.float32)


def _torch_forward(encoder, blocks, decoder, x):
    """The same network in plain PyTorch; `blocks` are their parameters in order."""
    torch = pytest.importorskip("torch")
    f = torch.nn.functional

    def conv(h, layer, stride=1):
        kernel = torch.from_numpy(layer["conv"]["kernel"].transpose(3, 2, 0, 1).copy())
        h = f.pad(h, (kernel.shape[-1] // 2,) * 4, mode="reflect")
        return f.conv2d(h, kernel, torch.from_numpy(layer["conv"]["bias"]), stride)

    h = 2 * torch.from_numpy(x.transpose(0, 3, 1, 2).copy()) - 1
    for name, stride in (("down_0", 1), ("down_1", 2), ("down_2", 2)):
        h = f.instance_norm(conv(h, encoder[name], stride)).relu()
    for block in blocks:
        residual = f.instance_norm(conv(h, block["conv_0"])).relu()
        h = h + f.instance_norm(conv(residual, block["conv_1"]))
    for name in ("up_0", "up_1"):
        h = f.interpolate(h, scale_factor=2, mode="nearest")
        h = f.instance_norm(conv(h, decoder[name])).relu()
    return ((conv(h, decoder["out"]) + 1) / 2).numpy().transpose(0, 2, 3, 1)


@pytest.mark.parametrize("blocks", [0, 6])
def test_parameters_are_those_of_the_paper(blocks):
    """Paper 003: 756,739 in the autoencoder; the blocks' 7,077,888 leave biases out."""
    size = {"autoencoder": 0, "kernel": 0, "bias": 0}
    for path, leaf in flatten_dict(_shapes(ResNetGenerator(blocks=blocks))).items():
        size[path[-1] if path[0] == "blocks" else "autoencoder"] += leaf.size
    assert size == {
        "autoencoder": 756_739,
        "kernel": 7_077_888 * blocks // 6,
        "bias": 3072 * blocks // 6,
    }


def test_layers_are_those_of_cyclegan():
    kernels = {
        "/".join(path[:-2]): leaf.shape
        for path, leaf in flatten_dict(_shapes(ResNetGenerator(blocks=2))).items()
        if path[-1] == "kernel"
    }
    block = {f"blocks/block_{i}/conv_{j}": (3, 3, 256, 256) for i in range(2) for j in range(2)}
    assert kernels == {
        "encoder/down_0": (7, 7, 3, 64),
        "encoder/down_1": (3, 3, 64, 128),
        "encoder/down_2": (3, 3, 128, 256),
        **block,
        "decoder/up_0": (3, 3, 256, 128),
        "decoder/up_1": (3, 3, 128, 64),
        "decoder/out": (7, 7, 64, 3),
    }


@pytest.mark.parametrize("size", [(20, 28), (8, 12)])
@pytest.mark.parametrize("blocks", [0, 2])
def test_equals_pytorch(blocks, size):
    """On an odd batch of images that are not square, and on the least height."""
    net = ResNetGenerator(width=6, blocks=blocks)
    params, x = _random_params(net), _image(3, *size)
    assert ("blocks" in params) == bool(blocks)
    y = jax.jit(net.apply)({"params": params}, x)
    assert y.shape == x.shape and y.dtype == jnp.float32
    chain = [params["blocks"][f"block_{i}"] for i in range(blocks)]
    expected = _torch_forward(params["encoder"], chain, params["decoder"], x)
    np.testing.assert_allclose(y, expected, atol=1e-4)


def test_blocks_of_two_trees_make_one_chain():
    """Two tasks' blocks, numbered on: the second's get what the first's return."""
    two, four = (ResNetGenerator(width=6, blocks=n) for n in (2, 4))
    first, second, x = _random_params(two), _random_params(two, seed=1), _image()

    def chained(*trees):
        chain = [tree["blocks"][f"block_{i}"] for tree in trees for i in range(2)]
        blocks = {f"block_{i}": block for i, block in enumerate(chain)}
        y = jit(four.apply)({"params": {**first, "blocks": blocks}}, x)
        return y, _torch_forward(first["encoder"], chain, first["decoder"], x)

    y, expected = chained(first, second)
    np.testing.assert_allclose(y, expected, atol=1e-4)
    turned, expected = chained(second, first)
    np.testing.assert_allclose(turned, expected, atol=1e-4)
    assert np.abs(turned - y).mean() > 0.01


def test_bfloat16_computes_nearly_the_same():
    full = ResNetGenerator(width=8, blocks=2)
    half = full.clone(dtype=jnp.bfloat16)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(_shapes(half)))
    params, x = {"params": _random_params(full)}, _image(2, 16, 20)
    a, b = jit(full.apply)(params, x), jit(half.apply)(params, x)
    assert b.dtype == jnp.float32
    assert 0 < np.abs(a - b).mean() < 0.03 * np.std(a)


@pytest.mark.parametrize("size", [(30, 32), (32, 30), (4, 16), (16, 4)])
def test_sides_that_do_not_fit_are_refused(size):
    x = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    with pytest.raises(UserError, match=f"multiples of 4, at least 8, got {size[0]}x{size[1]}"):
        jax.eval_shape(ResNetGenerator(width=4, blocks=1).init, jax.random.key(0), x)


@pytest.mark.slow  # as of tests/models/test_transform_net.py
def test_rematerialised_it_keeps_less_and_has_the_same_gradients(capsys):
    net = ResNetGenerator(width=4, blocks=3)
    x, params = _image(), _random_params(net)
    assert_remat_saves(capsys, net, params, x)
