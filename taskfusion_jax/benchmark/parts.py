"""What a task's own few parameters cost: a step beside full fine-tuning, mixed batches, bytes."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from taskfusion_jax.benchmark.classify import vit_flops
from taskfusion_jax.benchmark.own_step import choose_stage, noise_batch, stage_program, with_rows
from taskfusion_jax.benchmark.own_tasks import own_tasks
from taskfusion_jax.benchmark.programs import Called
from taskfusion_jax.benchmark.work import Work
from taskfusion_jax.engine import names
from taskfusion_jax.errors import UserError
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.stored import StoredTasks
from taskfusion_jax.task_files import checksum, read_shared, write_task


class Parts:
    """Works of a run that adapts a frozen ViT to each task. See `workloads.Workload`.

    `config.plain` is what differs in the run whose step is compared with: full fine-tuning.
    """

    def __init__(self, config: ConfigDict, batch: int, stage: str | None):
        """batch: images per call; stage: whose step is measured, None = the first.

        Raises:
          UserError: the config does not make sense, has no plain run, or no such stage.
        """
        if "plain" not in config:
            raise UserError(
                f"config {config.name}: parts are measured beside the run that config.plain "
                "describes, as in configs/bench_vit_parts.py"
            )
        self.batch = batch
        self.experiment = with_rows(config, {}, batch)
        self.dtype = self.experiment.method.dtype
        self._plain = with_rows(config, config.plain, batch)
        self.stage = choose_stage(self.experiment.stages, stage)
        self.task = self.experiment.tasks[self.stage.name]
        size = config.data.size
        self._x = np.random.default_rng(config.seed).random((batch, size, size, 3), np.float32)

    def pipeline(self) -> None:
        """There is none: batches are noise."""

    def works(self) -> Mapping[str, Callable[[], Work]]:
        """Name -> what makes the work."""
        return {
            "full_step": lambda: self._step("full_step", self._plain, 3),
            # Frozen weights get no gradients, a third of the work.
            "part_step": lambda: self._step("part_step", self.experiment, 2, "full_step"),
            "forward": self._forward,
            "mixed": self._mixed,
            "add": self._add,
        }

    @functools.cached_property
    def _flops(self) -> float:
        return vit_flops(self.experiment.method.backbone.net, self._x.shape)

    def _step(self, name: str, experiment: Experiment, passes: int, beside: str = "") -> Work:
        stage = choose_stage(experiment.stages, self.stage.name)
        batch = noise_batch(experiment, self.batch, labels=self.task.labels)

        def numbers():
            params = experiment.shapes.params
            moving, _ = names.split(params, stage.options.trainable, f"{stage.field}.trainable")
            return {f"{name}/gradient_and_optimiser_bytes": 3 * 4 * names.size(moving)}

        return Work(
            name,
            experiment.groups * self.batch,
            passes * self._flops,
            stage_program(experiment, stage, batch),
            note=f"moves {stage.options.trainable}",
            beside=beside,
            numbers=numbers,
        )

    @functools.cached_property
    def _stored(self) -> StoredTasks:
        """Fresh parameters in files."""
        return own_tasks(self.experiment, self.experiment.init_state().params["net"])

    @property
    def _folder(self) -> Path:
        return self._stored.tasks[self.task.name].parent

    def _forward(self) -> Work:
        def program():
            stored, x = self._stored, jax.device_put(self._x)
            stored.switch(self.task.name)
            return Called(lambda: stored(x))

        note = f"all rows of task '{self.task.name}'"
        return Work("forward", self.batch, self._flops, program, note=note)

    def _mixed(self) -> Work:
        def program():
            stored, x = self._stored, jax.device_put(self._x)
            tasks = [list(stored.tasks)[row % len(stored.tasks)] for row in range(self.batch)]
            return Called(lambda: stored.mixed(x, tasks))

        note = f"rows of {min(self.batch, len(self.experiment.stages))} tasks in turn, one pass"
        return Work("mixed", self.batch, self._flops, program, note=note, beside="forward")

    def _add(self) -> Work:
        """One more task beside all others: its file written, then opened."""

        def program():
            stored, folder = self._stored, self._folder
            stored.open(self.task.name)
            own = {
                k: np.asarray(x) for k, x in names.flatten(stored.opened[self.task.name]).items()
            }
            base = checksum(read_shared(folder))

            def add():
                write_task(folder, self.task.name, own, base, slot=self.task.slot)
                stored.opened.pop(self.task.name)
                stored.open(self.task.name)
                return stored.opened[self.task.name]

            return Called(add)

        note = f"beside {len(self.experiment.stages) - 1} others: written and opened"
        return Work("add", 0, 0, program, note=note, numbers=self._sizes)

    def _sizes(self) -> dict[str, int]:
        stored = self._stored
        files = [path.stat().st_size for path in stored.tasks.values()]
        return {
            "shared/bytes": (self._folder / "shared.safetensors").stat().st_size,
            "task/bytes": stored.tasks[self.task.name].stat().st_size,
            "tasks/bytes": sum(files),
        }
