"""Exports as ONNX: the same numbers in ONNX Runtime, for any number and size of images."""

import subprocess
import sys

import numpy as np
import onnxruntime
import pytest

from configs import matsumoto, takeda, vit_continual
from taskfusion_jax.exporting.network import networks
from taskfusion_jax.exporting.onnx_files import onnx_bytes
from taskfusion_jax.exporting.run import export
from taskfusion_jax.inference.model import load
from tests.engine import runs
from tests.exporting.test_torch import TOLD, model, slowly, told


def assert_equal(network, *shapes):
    """shapes: batch, height and width."""
    session = onnxruntime.InferenceSession(onnx_bytes(network))
    rng = np.random.default_rng(1)
    for count, height, width in shapes:
        x = rng.random((count, height, width, 3), np.float32)
        c = rng.random((count, network.slots), np.float32)
        given = {"x": np.ascontiguousarray(np.moveaxis(x, -1, 1))}
        given |= {"c": c} if network.slots else {}
        (theirs,) = session.run(None, given)
        theirs = np.moveaxis(theirs, 1, -1) if theirs.ndim == 4 else theirs
        ours = np.asarray(network(x, c))
        assert ours.shape == theirs.shape and ours.std() > 1e-3
        np.testing.assert_allclose(ours, theirs, atol=1e-5 * max(1, np.abs(ours).max()))


@pytest.mark.parametrize("method", [TOLD[-1], *slowly(*TOLD[:-1])])
def test_a_network_that_is_told_its_task(method, tmp_path):
    gates = dict.fromkeys(("input_gate", "pixel_gate", "skips"), True)
    (network,) = networks(model(told(method, **gates), tmp_path))
    assert_equal(network, (1, 16, 24), (3, 32, 16))


@pytest.mark.slow
@pytest.mark.parametrize("method", TOLD)
def test_one_task_folded_in(method, tmp_path):
    (alone,) = networks(model(told(method), tmp_path), "style_1")
    assert_equal(alone, (2, 16, 16))


@pytest.mark.parametrize("method", ["piggyback", *slowly("resblock", "resblock_piggyback")])
def test_continual_translation(method, tmp_path):
    made = networks(model(matsumoto.get_config(f"{method},tiny"), tmp_path))
    assert_equal(made[-1], (1, 32, 48), (2, 16, 16))


@pytest.mark.slow
def test_a_network_per_task(tmp_path):
    made = networks(model(takeda.get_config("single,tiny"), tmp_path))
    assert_equal(made[-1], (1, 16, 24))


PARTS = [name for name, parts in vit_continual.PARTS.items() if len(parts) == 1]


@pytest.mark.slow
def test_a_vit_whose_images_pick_prompts(tmp_path):
    config = vit_continual.get_config("l2p,embedded,tiny")
    config.vit.weights = ""
    assert_equal(networks(model(config, tmp_path))[-1], (1, 32, 32), (3, 32, 32))


@pytest.mark.slow
@pytest.mark.parametrize("parts", [*PARTS, "prefixes,rkr"])
def test_a_vit_with_each_part(parts, tmp_path):
    config = vit_continual.get_config("head,embedded,tiny")
    config.vit.weights, config.parts.use = "", tuple(parts.split(","))
    made = networks(model(config, tmp_path))
    assert_equal(made[-1], (1, 32, 32), (3, 32, 32))


def test_the_folder_checks_itself(tmp_path):
    export(load(runs.finished()[0]), "onnx", tmp_path, task="style_1")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("README.md", "check.py", "files.json", "style_1.npz", "style_1.onnx")
    ]
    line = [sys.executable, "-P", "check.py"]
    options = {"cwd": tmp_path, "env": runs.environment(), "capture_output": True, "text": True}
    done = subprocess.run(line, **options)
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "style_1.npz") as given:
        other = {**given, "y": given["y"] + 0.1}
    np.savez(tmp_path / "style_1.npz", **other)
    assert subprocess.run(line, **options).returncode == 1
