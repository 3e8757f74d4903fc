"""The U-Net against PyTorch with the same weights, and its size against the paper's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from taskfusion_jax.errors import UserError
from taskfusion_jax.models.unet import UNet

TINY = (4, 6, 8)


def _shapes(net, side=16):
    image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    return jax.eval_shape(net.init, jax.random.key(0), image)["params"]


def _random_params(net, seed=0):
    rng = np.random.default_rng(seed)

    def draw(leaf):
        scale = np.sqrt(2 / np.prod(leaf.shape[:-1])) if len(leaf.shape) > 1 else 0.1
        return rng.normal(0, scale, leaf.shape).astype(np.float32)

    return jax.tree.map(draw, _shapes(net))


def _torch_forward(params, x, levels):
    """The same network in plain PyTorch; `params` are tensors in PyTorch's layout."""
    torch = pytest.importorskip("torch")
    f = torch.nn.functional

    def two_convs(x, params):
        for layer in (params["conv_0"], params["conv_1"]):
            x = f.conv2d(x, layer["kernel"], layer["bias"], padding=1).relu()
        return x

    maps = []
    for i in range(levels):
        x = two_convs(f.max_pool2d(x, 2) if i else x, params["encoder"][f"level_{i}"])
        maps.append(x)
    for i in reversed(range(levels - 1)):
        up = params["decoder"][f"up_{i}"]
        x = f.conv_transpose2d(x, up["kernel"], up["bias"], stride=2)
        x = two_convs(torch.cat([x, maps[i]], dim=1), params["decoder"][f"level_{i}"])
    return f.conv2d(x, params["head"]["kernel"], params["head"]["bias"])


def _to_torch(path, leaf):
    torch = pytest.importorskip("torch")
    names = [key.key for key in path]
    axes = (2, 3, 0, 1) if names[-2].startswith("up_") else (3, 2, 0, 1)
    leaf = leaf.transpose(axes) if leaf.ndim == 4 else leaf
    return torch.from_numpy(leaf.copy()).requires_grad_()


def test_weights_are_those_of_the_paper():
    """Paper 003: 14,776,000 = 9,402,048 + 5,373,952, without biases and the head."""
    size = {}
    for path, leaf in flatten_dict(_shapes(UNet(out=81))).items():
        if path[-1] == "kernel":
            size[path[0]] = size.get(path[0], 0) + leaf.size
    assert size == {"encoder": 9_402_048, "decoder": 5_373_952, "head": 64 * 81}
    assert size["encoder"] + size["decoder"] == 14_776_000


def test_levels_are_those_of_the_paper():
    kernels = {
        "/".join(path[:-1]): leaf.shape
        for path, leaf in flatten_dict(_shapes(UNet(out=3))).items()
        if path[-1] == "kernel"
    }
    expected = {"head": (1, 1, 64, 3)}
    for i, (start, end) in enumerate(((3, 64), (64, 128), (128, 256), (256, 512), (512, 512))):
        expected[f"encoder/level_{i}/conv_0"] = (3, 3, start, end)
        expected[f"encoder/level_{i}/conv_1"] = (3, 3, end, end)
    for i, (up, start, end) in enumerate(
        ((64, 128, 64), (128, 256, 64), (256, 512, 128), (512, 1024, 256))
    ):
        expected[f"decoder/up_{i}"] = (2, 2, up, up)
        expected[f"decoder/level_{i}/conv_0"] = (3, 3, start, end)
        expected[f"decoder/level_{i}/conv_1"] = (3, 3, end, end)
    assert kernels == expected


def test_equals_pytorch():
    """Output and gradients, on an odd batch of images that are not square."""
    net = UNet(out=5, widths=TINY)
    params = _random_params(net)
    x = np.random.default_rng(1).random((3, 12, 20, 3), np.float32)
    pull = np.random.default_rng(2).normal(size=(3, 12, 20, 5)).astype(np.float32)

    @jax.jit
    def output_and_gradients(params):
        y, vjp = jax.vjp(lambda p: net.apply({"params": p}, x), params)
        return y, vjp(pull)[0]

    y, gradients = output_and_gradients(params)
    twins = jax.tree_util.tree_map_with_path(_to_torch, params)
    torch = pytest.importorskip("torch")
    expected = _torch_forward(twins, torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), len(TINY))
    expected.backward(torch.from_numpy(pull.transpose(0, 3, 1, 2).copy()))
    assert y.shape == pull.shape and y.dtype == jnp.float32
    np.testing.assert_allclose(y, expected.detach().numpy().transpose(0, 2, 3, 1), atol=1e-5)

    def same_gradient(path, ours, theirs):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        axes = (2, 3, 0, 1) if "/up_" in name else (2, 3, 1, 0)
        theirs = theirs.grad.numpy()
        theirs = theirs.transpose(axes) if theirs.ndim == 4 else theirs
        np.testing.assert_allclose(
            ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max(), err_msg=name
        )

    jax.tree_util.tree_map_with_path(same_gradient, gradients, twins)


def test_heads_can_be_exchanged_on_one_trunk():
    """A task's head decides its channels; without one the trunk's features come out."""
    trunk, narrow, wide = (UNet(out=n, widths=TINY) for n in (0, 2, 7))
    params, other = _random_params(narrow), _random_params(wide, seed=1)
    assert {**_shapes(trunk), "head": None}.keys() == params.keys()
    x = np.random.default_rng(1).random((1, 8, 8, 3), np.float32)
    shared = {name: params[name] for name in ("encoder", "decoder")}
    features = jax.jit(trunk.apply)({"params": shared}, x)
    for net, head in ((narrow, params["head"]), (wide, other["head"])):
        y = jax.jit(net.apply)({"params": {**shared, "head": head}}, x)
        expected = np.asarray(features) @ head["kernel"][0, 0] + head["bias"]
        np.testing.assert_allclose(y, expected, atol=1e-5)


def test_bfloat16_computes_nearly_the_same():
    full, half = UNet(out=3, widths=TINY), UNet(out=3, widths=TINY, dtype=jnp.bfloat16)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(_shapes(half)))
    params = {"params": _random_params(full)}
    x = np.random.default_rng(1).random((2, 8, 8, 3), np.float32)
    a, b = (jax.jit(net.apply)(params, x) for net in (full, half))
    assert b.dtype == jnp.float32
    assert 0 < np.abs(a - b).mean() < 0.02 * np.abs(a).mean()


@pytest.mark.parametrize("size", [(8, 16), (16, 24)])
def test_sides_that_cannot_be_halved_are_refused(size):
    x = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    with pytest.raises(UserError, match=f"multiples of 16, got {size[0]}x{size[1]}"):
        jax.eval_shape(UNet(out=3).init, jax.random.key(0), x)
