"""An experiment's own training step, on batches of noise."""

from collections.abc import Mapping

import numpy as np

from taskfusion_jax.benchmark.programs import Step
from taskfusion_jax.engine import mesh as meshes
from taskfusion_jax.engine.state import State
from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.metrics.iou import VOID
from taskfusion_jax.stages import Stage


def choose_stage(stages: list[Stage], name: str | None) -> Stage:
    """The stage that `--stage` names; None = the first. Raises UserError for an unknown one."""
    by_name = {stage.name: stage for stage in stages}
    if name is None:
        return stages[0]
    if name not in by_name:
        raise UserError(f"--stage: no stage '{name}'{did_you_mean(name, by_name)}")
    return by_name[name]


def noise_batch(experiment: Experiment, rows: int, classes: int = 2) -> dict[str, np.ndarray]:
    """Noise for images, and masks with background, other classes in equal parts, and void.

    rows: of each group.
    """
    rng, size = np.random.default_rng(experiment.config.seed), experiment.config.data.size
    shape = (experiment.groups, rows, size, size)
    pair = rng.integers(0, 256, (2, *shape, 3), np.uint8)
    ids = np.array([*range(classes), VOID], np.uint8)
    mask = rng.choice(ids, shape, p=(0.6, *[0.35 / (classes - 1)] * (classes - 1), 0.05))
    return {"input": pair[0], "clean": pair[1], "mask": mask}


def own_step(
    experiment: Experiment, stage: Stage, state: State, batch: Mapping[str, np.ndarray]
) -> Step:
    """The program of a stage's step, from a state within the stage, which it takes over."""
    step = experiment.train_step(stage, state.params)
    on_devices = meshes.to_devices(experiment.mesh, batch)
    return Step(step, experiment.config.optimiser.b1, state, experiment.constants, on_devices)
