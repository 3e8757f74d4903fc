"""A run's newest checkpoint, opened to be used rather than trained."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from absl import logging

from taskfusion_jax.engine.checkpoint import Checkpoints
from taskfusion_jax.engine.state import State
from taskfusion_jax.errors import UserError
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.workdir import Workdir


def restore_run(workdir: Path, **evaluate) -> tuple[Experiment, Workdir, State, dict]:
    """Builds a run's experiment on the devices there are and restores its newest checkpoint.

    Args:
      workdir: folder of the run, in which nothing is changed.
      **evaluate: fields of `config.evaluate` to change.

    Returns:
      (experiment, folder, state, what the checkpoint says of itself).

    Raises:
      UserError: there is no run or no checkpoint, or it is damaged.
    """
    folder = Workdir(workdir)
    config = folder.config()
    config.evaluate.update(evaluate)
    # The run's mesh may be of more devices than there are here.
    config.mesh.update({"data": -1, "fsdp": 1, "model": 1})
    try:
        experiment = Experiment(config)
    except (AttributeError, KeyError) as error:  # as ml_collections says it
        raise UserError(
            f"{workdir}/config.json is of another version, or changed: no field {error}; train it "
            "again, or add the field with its value in configs/common.py"
        ) from error
    by_name = {stage.name: stage for stage in experiment.stages}
    with _without_warnings():
        checkpoints = Checkpoints(folder.path, config.checkpoint.keep, read_only=True)
        restored = checkpoints.restore(
            lambda meta: experiment.abstract_state(by_name[meta["stage"]])
        )
        checkpoints.close()
    if restored is None:
        raise UserError(f"{workdir}: no checkpoint yet; let it train until the first save")
    state, _, meta = restored
    return experiment, folder, state, meta


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Orbax warns of what was asked of it: that it changes nothing."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)
