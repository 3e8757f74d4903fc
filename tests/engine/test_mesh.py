"""Eight virtual devices do together what one does alone."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.engine import runs

# One step on eight devices and on one of them, with the same batch of eight groups.
PROGRAM = """
import json, jax, numpy as np
from jax.sharding import AxisType
from configs import quickstart
from taskfusion_jax.data.pipeline import train_batches
from taskfusion_jax.engine import mesh as meshes
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.stages import turns

config = quickstart.get_config("tiny")
config.groups = 8
for stage in config.stages.values():
    stage.rows = {"reconstruction": 1, "segmentation": 1, "style_1": 1, "restoration+style_1": 1}
    stage.combine = "M3"
batch = None
for count in (8, 1):
    experiment = Experiment(config)
    experiment.mesh = jax.make_mesh(
        (count,), ("data",), axis_types=(AxisType.Auto,), devices=jax.devices()[:count]
    )
    stage = experiment.stages[0]
    batch = batch or next(train_batches(
        experiment.source("train"), turns(stage, experiment.tasks), config.data, groups=8, seed=0,
        start=0,
    ))
    state = experiment.enter(experiment.init_state(), stage)
    on_devices = meshes.to_devices(experiment.mesh, batch)
    pieces = [shard.data.shape[0] for shard in on_devices["input"].addressable_shards]
    step = experiment.train_step(stage, state.params)
    program = step.lower(state, experiment.constants, on_devices).compile().as_text()
    state, metrics = step(state, experiment.constants, on_devices)
    adam = next(part for part in state.opt_state if hasattr(part, "mu"))
    print(json.dumps({
        "pieces": pieces,
        "reduces": "all-reduce" in program,
        "replicated": all(x.is_fully_replicated and len(x.addressable_shards) == count
                          for x in jax.tree.leaves(state)),
        "metrics": {k: float(v) for k, v in metrics.items()},
        "gradients": {k: np.asarray(v).ravel().tolist() for k, v in adam.mu.items()},
    }))
"""


@pytest.fixture(scope="module")
def eight_and_one():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=runs.ROOT,
        env=runs.environment(XLA_FLAGS="--xla_force_host_platform_device_count=8"),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_batch_is_divided_and_the_state_is_not(eight_and_one):
    eight, one = eight_and_one
    assert (eight["pieces"], one["pieces"]) == ([1] * 8, [8])
    assert eight["reduces"]
    assert not one["reduces"]
    assert eight["replicated"]


def test_losses_and_gradients_are_equal_up_to_rounding(eight_and_one):
    eight, one = eight_and_one
    assert eight["metrics"].keys() == one["metrics"].keys()
    for name, value in one["metrics"].items():
        assert eight["metrics"][name] == pytest.approx(value, rel=1e-4), name
    # A bias before a norm has no gradient but rounding: all are compared with the largest.
    scale = max(np.abs(gradient).max() for gradient in one["gradients"].values())
    for name, gradient in one["gradients"].items():
        np.testing.assert_allclose(eight["gradients"][name], gradient, atol=1e-5 * scale)
