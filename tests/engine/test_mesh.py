"""However devices are laid out, they do together what one does alone, and exchange no more."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests.engine import runs

ONE = {"devices": 1, "data": 1}
LAYOUTS = {
    "data": {"devices": 8, "data": 8},
    "fsdp": {"devices": 8, "data": 1, "fsdp": 8},
    "model": {"devices": 8, "data": 2, "fsdp": 2, "model": 2},
    "accumulated": {"devices": 4, "data": 4, "remat": True, "accumulate": 2},
}

# One step in each layout, with the same batch of eight groups.
PROGRAM = """
import json, sys, jax, numpy as np
from configs import quickstart
from taskfusion_jax.data.pipeline import train_batches
from taskfusion_jax.engine import mesh as meshes, names
from taskfusion_jax.engine.program import compile_program
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.stage_rows import stage_rows

batch = None
for layout in json.loads(sys.argv[1]):
    config = quickstart.get_config("tiny")
    config.groups = 8
    for stage in config.stages.values():
        stage.rows = {"reconstruction": 1, "segmentation": 1, "style_1": 1,
                      "restoration+style_1": 1}
        stage.combine = "M3"
    for axis in meshes.AXES:
        config.mesh[axis] = layout.get(axis, 1)
    config.accumulate = layout.get("accumulate", 1)
    config.network.remat = layout.get("remat", False)
    if "model" in layout:
        config.sharding = ((".*/block.*/conv/kernel", ("", "", "", "model")), *config.sharding)
    experiment = Experiment(config)
    experiment.mesh = meshes.make_mesh(config.mesh, jax.devices()[:layout["devices"]])
    stage = experiment.stages[0]
    rows = stage_rows(experiment, stage)
    batch = batch or next(train_batches(rows, groups=8, seed=0, start=0))
    state = experiment.enter(experiment.init_state(), stage)
    # The tiny network starts as the identity, where most gradients are zero.
    rng = np.random.default_rng(0)
    noisy = jax.tree.map(
        lambda x: jax.device_put(x + rng.normal(0, 0.05, x.shape).astype(x.dtype), x.sharding),
        state.params)
    state = state.replace(params=noisy)
    # The pixels of one image in eight are void, and most of another's.
    batch["mask"][0, 1], batch["mask"][3, 1, :25] = 255, 255
    flat = names.flatten(state.params)
    # A norm takes the bias of the convolution before it away, so that bias has no gradient.
    idle = {n for n in flat if n.replace("/conv/bias", "_norm/generator/bias") in flat
            and n.endswith("/conv/bias")}
    trainable = sum(x.nbytes for name, x in flat.items() if name not in idle)
    on_devices = meshes.to_devices(experiment.mesh, batch)
    pieces = [shard.data.shape[0] for shard in on_devices["input"].addressable_shards]
    step = experiment.train_step(stage, state.params)
    program = compile_program(step, state, experiment.constants, on_devices)
    divided, divided_ema = (
        sum(x.nbytes for x in jax.tree.leaves(tree) if not x.is_fully_replicated)
        for tree in (state.params, state.ema)
    )
    state, metrics = program.run(state, experiment.constants, on_devices)
    adam = next(part for part in state.opt_state if hasattr(part, "mu"))
    print(json.dumps({
        "pieces": pieces,
        "bytes": trainable,
        "divided": divided,
        "by_model": sum("model" in x.sharding.spec for x in flat.values()),
        "divided_ema": divided_ema,
        "parts": sum(not x.is_fully_replicated for x in jax.tree.leaves(state.params)),
        "collectives": program.collectives,
        "peak": program.peak_bytes,
        "same_layout": all(a.sharding.is_equivalent_to(adam.mu[name].sharding, a.ndim)
                           for name, a in names.flatten(state.params).items()),
        "metrics": {k: float(v) for k, v in metrics.items()},
        "gradients": {k: np.asarray(v).ravel().tolist() for k, v in adam.mu.items()},
    }))
"""


@pytest.fixture(scope="module")
def steps():
    layouts = [ONE, *LAYOUTS.values()]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(layouts)],
        cwd=runs.ROOT,
        env=runs.environment(JAX_NUM_CPU_DEVICES="8"),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return dict(zip(("one", *LAYOUTS), lines, strict=True))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_losses_and_gradients_are_equal_up_to_rounding(steps, layout):
    one, many = steps["one"], steps[layout]
    assert many["metrics"].keys() == one["metrics"].keys()
    for name, value in one["metrics"].items():
        assert many["metrics"][name] == pytest.approx(value, rel=1e-4), name
    # A bias before a norm has no gradient but rounding: all are compared with the largest.
    scale = max(np.abs(gradient).max() for gradient in one["gradients"].values())
    for name, gradient in one["gradients"].items():
        np.testing.assert_allclose(many["gradients"][name], gradient, atol=1e-5 * scale)


def test_the_comparison_sees_every_layer(steps):
    gradients = steps["one"]["gradients"]
    moved = [name for name, gradient in gradients.items() if np.any(gradient)]
    norms = [name for name in gradients if name.endswith("_norm/generator/kernel")]
    assert len(moved) == len(gradients) - len(norms)  # biases before norms have no gradient
    assert steps["model"]["by_model"] == 2


def test_one_device_exchanges_nothing(steps):
    assert steps["one"]["collectives"] == {}


@pytest.mark.parametrize("layout", ["data", "accumulated"])
def test_data_parallelism_has_one_sum_of_the_gradients_and_nothing_else(steps, layout):
    step = steps[layout]
    assert step["pieces"] == [8 // LAYOUTS[layout]["data"]] * LAYOUTS[layout]["data"]
    assert step["divided"] == 0
    metrics = 4 * (len(step["metrics"]) - 1)  # param_norm needs no exchange
    assert step["collectives"] == {"all-reduce": step["bytes"] + metrics}


def test_fsdp_has_its_gathers_and_scatters_and_no_more(steps):
    step = steps["fsdp"]
    assert step["divided"] > 0.7 * step["bytes"]  # what eight devices can divide
    assert step["same_layout"]
    found = dict(step["collectives"])
    # The average is the teacher of this stage's combined task.
    assert found.pop("all-gather") == step["divided"] + step["divided_ema"]
    assert found.pop("reduce-scatter") == step["divided"] / 8
    scalars = 4 * (len(step["metrics"]) - 1 + step["parts"])  # param_norm needs each one's norm
    assert found.pop("all-reduce") == step["bytes"] - step["divided"] + scalars
    assert not found
