"""ViT weights: networks of others, saved, loaded here, have the same outputs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskfusion_jax.engine.names import flatten, unflatten
from taskfusion_jax.models.vit import ViT
from taskfusion_jax.porting.vit import load_vit, stored_shapes, vit_state_dict
from taskfusion_jax.task_files import write_shared
from tests.fails import fails
from tests.porting.flax_vit import FlaxViT, as_tree, random_arrays

torch = pytest.importorskip("torch")

from safetensors.torch import save_file as save_torch_file  # noqa: E402

from tests.porting.torch_vit import HuggingFaceClassifier, TimmViT  # noqa: E402
from tests.porting.vits import (  # noqa: E402
    BARE,
    NET,
    SIZE,
    SIZES,
    arrays_of,
    flax,
    hugging_face,
    save,
    timm,
)

X = np.random.default_rng(1).normal(size=(3, SIZE, SIZE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def params():
    shapes = jax.eval_shape(NET.init, jax.random.key(0), X)["params"]
    return unflatten(random_arrays(shapes, 0))


@functools.cache
def _apply(net):
    return jax.jit(net.apply)


def _torch_outputs(network):
    return network(torch.from_numpy(X.transpose(0, 3, 1, 2).copy())).numpy()


def _assert_outputs(path, net, expected):
    params = load_vit(path, net, SIZE)
    for leaf in jax.tree.leaves(params):
        assert type(leaf) is np.ndarray and leaf.dtype == np.float32 and leaf.flags.c_contiguous
    y = _apply(net)({"params": params}, X)
    assert y.shape == expected.shape
    # The images are told apart by far more than the tolerance.
    assert np.abs(expected[0] - expected[1]).mean() > 0.01
    np.testing.assert_allclose(y, expected, atol=1e-5)


def _assert_equal(loaded, params):
    loaded, params = flatten(loaded), flatten(params)
    assert set(loaded) == set(params)
    for name, array in params.items():
        assert loaded[name].dtype == np.float32
        np.testing.assert_array_equal(loaded[name], array, err_msg=name)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_state_dict_of_timm(suffix, tmp_path):
    path = save(arrays_of(timm()), tmp_path / f"vit.{suffix}")
    _assert_outputs(path, NET, _torch_outputs(timm()))


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_state_dict_of_hugging_face(suffix, tmp_path):
    path = save(arrays_of(hugging_face()), tmp_path / f"model.{suffix}")
    _assert_outputs(path, NET, _torch_outputs(hugging_face()))
    _assert_outputs(path, BARE, _torch_outputs(hugging_face().vit))


def test_state_dict_of_hugging_face_without_a_head(tmp_path):
    arrays = arrays_of(hugging_face().vit)
    assert {"embeddings.cls_token", "pooler.dense.bias"} < set(arrays)
    path = save(arrays, tmp_path / "model.safetensors")
    _assert_outputs(path, BARE, _torch_outputs(hugging_face().vit))


def test_npz_of_flax(tmp_path):
    net, arrays = flax()
    assert arrays["Transformer/encoderblock_1/MultiHeadDotProductAttention_1/out/kernel"].shape == (
        3, 8, 24,
    )  # fmt: skip
    path = save(arrays, tmp_path / "S_16-i21k.npz")
    _assert_outputs(path, NET, np.asarray(_apply(net)(as_tree(arrays), X)))


def test_npz_of_flax_with_pre_logits(tmp_path):
    net, arrays = flax()
    layer = {"pre_logits/kernel": np.ones((24, 24), np.float32), "pre_logits/bias": np.ones(24)}
    path = save(arrays | layer, tmp_path / "B_16.npz")
    bare = arrays | {"head/kernel": np.eye(24), "head/bias": np.zeros(24)}
    token = _apply(net.clone(classes=24))(as_tree(bare), X)
    _assert_outputs(path, BARE, np.asarray(token))
    fails(lambda: load_vit(path, NET, SIZE), path, "extra pre_logits/bias", "0 classes pass over")


def test_our_own_names(params, tmp_path):
    path = save(flatten(params), tmp_path / "vit.safetensors")
    _assert_equal(load_vit(str(path), NET, SIZE), params)
    bare = {name: leaf for name, leaf in params.items() if name != "head"}
    _assert_equal(load_vit(path, BARE, SIZE), bare)


def test_a_runs_shared_parameters(params, tmp_path):
    write_shared(tmp_path / "tasks", flatten({"base": params}))
    _assert_equal(load_vit(tmp_path / "tasks/shared.safetensors", NET, SIZE), params)
    _assert_equal(load_vit(tmp_path, NET, SIZE), params)
    file = tmp_path / "tasks/shared.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    fails(lambda: load_vit(tmp_path, NET, SIZE), file, "checksum differs")


def test_half_precision_files(params, tmp_path):
    half = {name: leaf.astype(jnp.float16) for name, leaf in flatten(params).items()}
    _assert_equal(load_vit(save(half, tmp_path / "a.safetensors"), NET, SIZE), unflatten(half))
    state = {k: torch.from_numpy(v).bfloat16() for k, v in vit_state_dict(params).items()}
    torch.save(state, tmp_path / "b.pth")
    save_torch_file(state, tmp_path / "b.safetensors")
    expected = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16).astype(np.float32), params)
    for name in ("b.pth", "b.safetensors"):
        _assert_equal(load_vit(tmp_path / name, NET, SIZE), expected)


def test_the_way_to_timm_and_back(params, tmp_path):
    state = vit_state_dict(jax.tree.map(jnp.asarray, params))
    for array in state.values():
        assert array.dtype == np.float32 and array.flags.c_contiguous
    _assert_equal(load_vit(save(state, tmp_path / "vit.safetensors"), NET, SIZE), params)
    network = TimmViT(**SIZES, size=SIZE, classes=5)
    network.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()}, strict=True)
    expected = _torch_outputs(network.requires_grad_(False))
    np.testing.assert_allclose(_apply(NET)({"params": params}, X), expected, atol=1e-5)


@pytest.mark.parametrize(("name", "heads"), [("B/16", 12), ("S/32", 6)])
def test_published_sizes(name, heads):
    """Names and shapes of all layouts at 224x224, from networks that hold no numbers."""
    net = ViT.variant(name)
    sizes = {"width": net.width, "depth": net.depth, "heads": heads, "patch": net.patch}
    with torch.device("meta"):
        networks = {
            "timm": TimmViT(**sizes, size=224, classes=1000),
            "transformers": HuggingFaceClassifier(**sizes, size=224, classes=1000),
        }
    for layout, network in networks.items():
        shapes = {k: tuple(v.shape) for k, v in network.state_dict().items() if "pooler" not in k}
        assert stored_shapes(net, 224, layout) == shapes
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    published = jax.eval_shape(FlaxViT(**sizes, classes=1000).init, jax.random.key(0), image)
    shapes = {k: v.shape for k, v in flatten(published["params"]).items()}
    assert stored_shapes(net, 224, "flax") == shapes


def test_published_names():
    """Some of `B_16.npz` and of timm's vit_base_patch16_224."""
    net = ViT.variant("B/16")
    flax, timm = (stored_shapes(net, 224, layout) for layout in ("flax", "timm"))
    block = "Transformer/encoderblock_11"
    assert flax["embedding/kernel"] == (16, 16, 3, 768)
    assert flax["Transformer/posembed_input/pos_embedding"] == (1, 197, 768)
    assert flax[f"{block}/MultiHeadDotProductAttention_1/query/kernel"] == (768, 12, 64)
    assert flax[f"{block}/MultiHeadDotProductAttention_1/value/bias"] == (12, 64)
    assert flax[f"{block}/MultiHeadDotProductAttention_1/out/kernel"] == (12, 64, 768)
    assert flax[f"{block}/MlpBlock_3/Dense_1/kernel"] == (3072, 768)
    assert timm["patch_embed.proj.weight"] == (768, 3, 16, 16)
    assert timm["blocks.11.attn.qkv.weight"] == (2304, 768)
    assert timm["blocks.11.mlp.fc1.weight"] == (3072, 768)
    assert len(timm) == 152
    assert sum(map(np.prod, timm.values())) == 86_567_656


def _positions(params, tmp_path, old, size):
    """The position embeddings [1, 1 + n^2, width] as loaded for images of this size."""
    arrays = flatten(params) | {"pos_embedding": old}
    path = save(arrays, tmp_path / "vit.safetensors")
    loaded = load_vit(path, NET, size)["pos_embedding"]
    np.testing.assert_array_equal(loaded[:, 0], old[:, 0])
    return loaded[0, 1:].reshape(size // 4, size // 4, 24)


@pytest.mark.parametrize(("old", "new"), [(7, 12), (12, 7), (14, 13), (8, 4), (2, 3), (1, 3)])
def test_resampled_positions_equal_pytorch(params, old, new, tmp_path):
    before = np.random.default_rng(2).normal(size=(1, 1 + old**2, 24)).astype(np.float32)
    grid = torch.from_numpy(before[:, 1:].reshape(1, old, old, 24)).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(
        grid, (new, new), mode="bicubic", antialias=True, align_corners=False
    )
    after = _positions(params, tmp_path, before, 4 * new)
    np.testing.assert_allclose(after, expected[0].permute(1, 2, 0), atol=1e-5)


@pytest.mark.parametrize(("old", "new"), [(8, 16), (8, 12), (16, 8)])
def test_resampled_ramps_stay_ramps(params, old, new, tmp_path):
    """But at the edge, where the kernel is cut; centres of patches lie at (i + 0.5) / n."""

    def ramp(n):
        at = (np.arange(n) + 0.5) / n
        slopes = np.linspace(-1, 1, 24)
        return (at[:, None, None] * slopes + at[None, :, None] * slopes[::-1] + 0.3).astype("f4")

    before = np.concatenate([np.ones((1, 24), "f4"), ramp(old).reshape(-1, 24)])[None]
    after = _positions(params, tmp_path, before, 4 * new)
    inside = slice(4, -4) if new > old else slice(2, -2)
    np.testing.assert_allclose(after[inside, inside], ramp(new)[inside, inside], atol=1e-5)


def test_positions_of_the_same_grid_are_untouched(params, tmp_path):
    before = params["pos_embedding"]
    after = _positions(params, tmp_path, before, SIZE)
    np.testing.assert_array_equal(after.reshape(-1, 24), before[0, 1:])


def test_resampling_in_every_layout(tmp_path):
    """Whatever the names, the parameters fit images of another size."""
    image = jax.ShapeDtypeStruct((1, 20, 20, 3), jnp.float32)
    shapes = jax.eval_shape(NET.init, jax.random.key(0), image)["params"]
    files = {"a.safetensors": arrays_of(timm()), "b.safetensors": arrays_of(hugging_face())}
    for name, arrays in (files | {"c.npz": flax()[1]}).items():
        params = load_vit(save(arrays, tmp_path / name), NET, 20)
        assert jax.tree.map(np.shape, params) == jax.tree.map(lambda x: x.shape, shapes)
