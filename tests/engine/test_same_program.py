"""Every process makes the same program, so that one of the compilation cache serves them all."""

import subprocess
import sys

import pytest

from tests.engine import runs

# A shape stands for what a batch is; nothing is compiled or run.
PROGRAM = """
import hashlib, sys, jax, numpy as np
from configs import matsumoto, quickstart
from taskfusion_jax.experiment import Experiment

config = {"film": quickstart, "masks": matsumoto}[sys.argv[1]].get_config(sys.argv[2])
experiment, size = Experiment(config), config.data.size
for stage in experiment.stages[:2]:
    shape = experiment.groups, sum(stage.options.rows.values())
    batch = {key: jax.ShapeDtypeStruct((*shape, size, size, 3), np.uint8)
             for key in ("input", "clean")}
    batch["mask"] = jax.ShapeDtypeStruct((*shape, size, size), np.uint8)
    batch["label"] = jax.ShapeDtypeStruct((*shape, 2), np.int32)
    batch["share"] = jax.ShapeDtypeStruct(shape, np.float32)
    state = experiment.abstract_state(stage)
    step = experiment.train_step(stage, state.params)
    text = step.lower(state, experiment.constants, batch).as_text()
    print(stage.name, hashlib.sha256(text.encode()).hexdigest())
"""


@pytest.mark.parametrize(
    "arg",
    [
        ("film", "tiny"),
        *(
            pytest.param(("masks", f"{name},tiny"), marks=pytest.mark.slow)
            for name in ("piggyback", "resblock")
        ),
    ],
)
def test_the_order_of_sets_does_not_matter(arg):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arg],
            cwd=runs.ROOT,
            env=runs.environment(PYTHONHASHSEED=seed),
            **pipes,
        )
        for seed in ("1", "2")
    ]
    (first, error), (second, _) = (process.communicate(timeout=300) for process in processes)
    assert first.count("\n") == 2, error
    assert first == second
