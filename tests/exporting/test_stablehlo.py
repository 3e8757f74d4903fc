"""Exports as StableHLO: run again by JAX alone, in a process that knows nothing of this library."""

import subprocess
import sys

import jax
import numpy as np

from configs import vit_continual
from taskfusion_jax.exporting.network import networks
from taskfusion_jax.exporting.run import export
from taskfusion_jax.exporting.stablehlo_files import PLATFORMS, write_stablehlo
from taskfusion_jax.inference.model import load
from tests.engine import runs
from tests.exporting.test_torch import model
from tests.fails import fails


def run(folder, name):
    exported = jax.export.deserialize(bytearray((folder / name).read_bytes()))
    assert exported.platforms == PLATFORMS
    return exported.call


def test_any_number_of_images(tmp_path):
    output = tmp_path / "out"
    export(load(runs.finished()[0]), "stablehlo", output, side=48)
    (network,) = networks(load(runs.finished()[0]))
    call = run(output, "model.stablehlo")
    for count in (1, 5):
        x, c = network.example(count, 48)
        np.testing.assert_allclose(call(x, c), network(x, c), atol=1e-5)
    line = [sys.executable, "-P", "check.py"]
    options = {"cwd": output, "env": runs.environment(), "capture_output": True, "text": True}
    done = subprocess.run(line, **options)
    assert done.returncode == 0, done.stderr
    assert "model: largest difference" in done.stdout
    assert "import taskfusion" not in (output / "check.py").read_text()


def test_scores_of_a_vit(tmp_path):
    config = vit_continual.get_config("prefixes,embedded,tiny")
    config.vit.weights = ""
    whole = model(config, tmp_path)
    made = networks(whole, "digits")
    write_stablehlo(whole, made, tmp_path, 0)
    x, c = made[0].example(3)
    np.testing.assert_allclose(run(tmp_path, "digits.stablehlo")(x), made[0](x, c), atol=1e-5)
    fails(lambda: write_stablehlo(whole, made, tmp_path, 64), "--size=64", "sides of 32")


def test_sizes_that_do_not_suit(tmp_path):
    says = "--size=30", "a multiple of 4"
    fails(lambda: export(load(runs.finished()[0]), "stablehlo", tmp_path, side=30), *says)
