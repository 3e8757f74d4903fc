"""ViT against PyTorch's own transformer layer, and its sizes against published ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskfusion_jax.engine.names import flatten
from taskfusion_jax.errors import UserError
from taskfusion_jax.models.vit import ViT
from tests.models.residuals import kept_shapes

TINY = ViT(width=24, depth=2, heads=3, patch=4, classes=5)


def _shapes(net, height=224, width=224):
    image = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
    return jax.eval_shape(net.init, jax.random.key(0), image)["params"]


def _size(net):
    return sum(leaf.size for leaf in jax.tree.leaves(_shapes(net)))


def _random_params(net, height, width):
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        last = path[-1].key
        scale = 1 / np.sqrt(np.prod(leaf.shape[:-1])) if last == "kernel" else 0.3
        return (rng.normal(last == "scale", scale, leaf.shape)).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, _shapes(net, height, width))


def _torch_forward(params, x):
    """TINY from PyTorch's modules, which share no code with ours."""
    torch = pytest.importorskip("torch")
    nn = torch.nn
    params = jax.tree.map(lambda leaf: torch.from_numpy(leaf.copy()), params)

    def fill(module, weights, kernel="weight", bias="bias"):
        leaf = weights.get("kernel", weights.get("scale"))
        axes = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}[leaf.ndim]
        getattr(module, kernel).data = leaf.permute(axes).contiguous()
        getattr(module, bias).data = weights["bias"]
        return module

    embed = fill(nn.Conv2d(3, 24, 4, stride=4), params["patch"]["embedding"])
    x = embed(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).flatten(2).transpose(1, 2)
    x = torch.cat([params["cls"].expand(len(x), -1, -1), x], 1) + params["pos_embedding"]
    for i in range(TINY.depth):
        block = params[f"block_{i}"]
        layer = nn.TransformerEncoderLayer(
            24, 3, 96, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True
        )
        fill(layer.self_attn, block["qkv"], "in_proj_weight", "in_proj_bias")
        fill(layer.self_attn.out_proj, block["proj"])
        names = {"norm1": "norm_1", "norm2": "norm_2", "linear1": "fc1", "linear2": "fc2"}
        for theirs, ours in names.items():
            fill(getattr(layer, theirs), block[ours])
        x = layer(x)
    x = fill(nn.LayerNorm(24, 1e-6), params["norm"])(x[:, 0])
    return fill(nn.Linear(24, 5), params["head"])(x).detach().numpy()


@pytest.mark.parametrize(
    ("name", "classes", "size"),
    [
        ("Ti/16", 1000, 5_717_416),
        ("S/16", 1000, 22_050_664),
        ("B/16", 1000, 86_567_656),
        ("L/16", 1000, 304_326_632),
        ("B/16", 0, 85_798_656),
        ("B/32", 1000, 88_224_232),
        ("S/32", 1000, 22_878_952),
    ],
)
def test_sizes_are_the_published_ones(name, classes, size):
    """At 224x224, as in timm and google-research/vision_transformer."""
    assert _size(ViT.variant(name, classes=classes)) == size


def test_names_of_parameters():
    shapes = _shapes(TINY, 8, 12)
    blocks = {f"block_{i}" for i in range(2)}
    assert set(shapes) == {"patch", "cls", "pos_embedding", "norm", "head"} | blocks
    assert set(shapes["patch"]) == {"embedding"}
    assert set(shapes["block_0"]) == {"norm_1", "qkv", "proj", "norm_2", "fc1", "fc2"}
    assert shapes["pos_embedding"].shape == (1, 1 + 2 * 3, 24)


def test_equals_pytorch():
    """An odd batch of images that are not square."""
    params = _random_params(TINY, 8, 12)
    x = np.random.default_rng(1).normal(size=(3, 8, 12, 3)).astype(np.float32)
    y = jax.jit(TINY.apply)({"params": params}, x)
    expected = _torch_forward(params, x)
    assert y.shape == (3, 5) and y.dtype == jnp.float32
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_without_a_head_the_class_token_comes_out():
    params = _random_params(TINY, 8, 8)
    x = np.random.default_rng(1).random((2, 8, 8, 3), np.float32)
    token = jax.jit(TINY.clone(classes=0).apply)({"params": params}, x)
    assert token.shape == (2, 24)
    head = params["head"]
    expected = jax.jit(TINY.apply)({"params": params}, x)
    np.testing.assert_allclose(token @ head["kernel"] + head["bias"][None], expected, atol=1e-5)


def test_bfloat16_computes_nearly_the_same():
    half = TINY.clone(dtype=jnp.bfloat16)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(_shapes(half, 8, 8)))
    params = {"params": _random_params(TINY, 8, 8)}
    x = np.random.default_rng(1).random((2, 8, 8, 3), np.float32)
    a, b = (jax.jit(net.apply)(params, x) for net in (TINY, half))
    assert b.dtype == jnp.float32
    assert 0 < np.abs(a - b).mean() < 0.03 * np.abs(a).mean()


def test_rematerialised_blocks_keep_one_array_each_and_have_the_same_gradients(capsys):
    params = _random_params(TINY, 8, 8)
    x = np.random.default_rng(1).random((2, 8, 8, 3), np.float32)

    def loss(net):
        return lambda params: (net.apply({"params": params}, x) ** 2).sum()

    less = TINY.clone(remat=True)
    tokens, more = (
        [shape for shape in kept_shapes(capsys, loss(net), params) if shape[:2] == (2, 5)]
        for net in (less, TINY)
    )
    assert len(tokens) <= 2 * TINY.depth < len(more)
    ours, theirs = (jax.jit(jax.grad(loss(net)))(params) for net in (less, TINY))
    for name, gradient in flatten(theirs).items():
        np.testing.assert_allclose(flatten(ours)[name], gradient, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("name", "message"),
    [("M/16", "no ViT of size 'M'"), ("B", "variants look like B/16"), ("B/x", "names no patch")],
)
def test_unknown_variants_are_refused(name, message):
    with pytest.raises(UserError, match=message):
        ViT.variant(name)


def test_sides_that_are_no_multiples_of_the_patch_are_refused():
    with pytest.raises(UserError, match="multiples of 16, got 30x32"):
        _shapes(ViT.variant("Ti/16"), 30, 32)
