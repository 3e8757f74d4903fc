"""An experiment's tasks in files of their own, for as long as they are measured."""

import shutil
import tempfile
import weakref
from pathlib import Path

from taskfusion_jax.experiment import Experiment
from taskfusion_jax.stored import StoredTasks, store


def own_tasks(experiment: Experiment, params: dict) -> StoredTasks:
    """Writes a network's parameters as files into a folder that goes with what is returned."""
    folder = Path(tempfile.mkdtemp(prefix="taskfusion_benchmark_"))
    store(experiment, params, folder)
    stored = StoredTasks.of(experiment.config, folder)
    weakref.finalize(stored, shutil.rmtree, folder)
    return stored
