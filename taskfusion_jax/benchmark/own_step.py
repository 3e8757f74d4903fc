"""An experiment's own training step, on batches of noise."""

from collections.abc import Callable, Mapping

import numpy as np
from ml_collections import ConfigDict

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


def noise_batch(
    experiment: Experiment, rows: int, classes: int = 2, labels: int = 1
) -> dict[str, np.ndarray]:
    """Noise for images, masks with background, other classes in equal parts, and void, and labels.

    rows: of each group; labels: how many classes images have.
    """
    rng, size = np.random.default_rng(experiment.config.seed), experiment.config.data.size
    shape = (experiment.groups, rows, size, size)
    pair = rng.integers(0, 256, (2, *shape, 3), np.uint8)
    ids = np.array([*range(classes), VOID], np.uint8)
    mask = rng.choice(ids, shape, p=(0.6, *[0.35 / (classes - 1)] * (classes - 1), 0.05))
    label = rng.integers(0, labels, shape[:2], np.int32)
    return {
        "input": pair[0],
        "clean": pair[1],
        "mask": mask,
        "label": np.stack([label, label], axis=-1),
        "share": np.ones(shape[:2], np.float32),
    }


def with_rows(config: ConfigDict, changes: Mapping, rows: int) -> Experiment:
    """The experiment of a changed config with so many rows of every task in its stages."""
    config = config.copy_and_resolve_references()
    config.update(changes)
    for name in config.schedule:
        given = config.stages[name].rows
        given.update(dict.fromkeys(given, rows))
    return Experiment(config)


def stage_program(
    experiment: Experiment, stage: Stage, batch: Mapping[str, np.ndarray]
) -> Callable[[], Step]:
    """What makes the program of a stage's step, from the state at the stage's beginning."""

    def program():
        state = experiment.enter(experiment.init_state(), stage)
        return own_step(experiment, stage, state, batch)

    return program


def own_step(
    experiment: Experiment, stage: Stage, state: State, batch: Mapping[str, np.ndarray]
) -> Step:
    """The program of a stage's step, from a state within the stage, which it takes over."""
    step = experiment.train_step(stage, state.params)
    on_devices = meshes.to_devices(experiment.mesh, batch)
    return Step(step, experiment.config.optimiser.b1, state, experiment.constants, on_devices)
