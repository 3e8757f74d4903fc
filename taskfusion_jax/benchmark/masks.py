"""What continual learning by masks costs: a step beside a plain one, switching tasks, bytes."""

import functools
import itertools
from collections.abc import Callable, Mapping

import jax
import numpy as np
from ml_collections import ConfigDict

from taskfusion_jax.benchmark.classify import unet_flops
from taskfusion_jax.benchmark.own_step import (
    choose_stage,
    noise_batch,
    stage_program,
    with_rows,
)
from taskfusion_jax.benchmark.own_tasks import own_tasks
from taskfusion_jax.benchmark.programs import Called
from taskfusion_jax.benchmark.work import Work
from taskfusion_jax.engine import names
from taskfusion_jax.errors import UserError
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.stages import Stage, turns
from taskfusion_jax.stored import StoredTasks


class Masks:
    """Works of a run whose later tasks are masks on a U-Net. See `workloads.Workload`.

    `config.plain` is what differs in the run whose step a masked one is compared with: that of the
    stage of the same name, so of the same task, rows and loss.
    """

    def __init__(self, config: ConfigDict, batch: int, stage: str | None):
        """batch: images of the forward pass, and a task's rows in each group of a step; stage: one
        that trains masks, None = the first.

        Raises:
          UserError: the config does not make sense, has no plain run, or no such stage.
        """
        if "plain" not in config or config.backbone != "unet":
            raise UserError(
                f"config {config.name}: masks are measured on a U-Net beside the run that "
                "config.plain describes, as in configs/bench_masks.py"
            )
        self.batch = batch
        self.experiment = with_rows(config, {}, batch)
        self.dtype = self.experiment.method.dtype
        self._plain = with_rows(config, config.plain, batch)
        self._masked = _masked_tasks(self.experiment)
        self.stage = self._choose(stage)
        self.task, *_ = self._turns = turns(self.stage, self.experiment.tasks)
        size = config.data.size
        gray = np.random.default_rng(config.seed).random((batch, size, size, 1), np.float32)
        self._x = np.repeat(gray, 3, axis=-1)  # as colourisation takes it too

    def _choose(self, name: str | None) -> Stage:
        """The stage whose steps are measured."""
        stages = [s for s in self.experiment.stages if set(s.options.rows) <= set(self._masked)]
        if not stages:
            raise UserError("config.schedule: no stage trains masks; there is nothing to measure")
        stage = choose_stage(self.experiment.stages, name or stages[0].name)
        if stage not in stages:
            raise UserError(f"--stage={name} trains no masks, but {stages[0].name} does")
        return stage

    def pipeline(self) -> None:
        """There is none: batches are noise."""

    def works(self) -> Mapping[str, Callable[[], Work]]:
        """Name -> what makes the work."""
        return {
            "plain_step": lambda: self._step("plain_step", self._plain),
            "masked_step": lambda: self._step("masked_step", self.experiment, "plain_step"),
            "forward": self._forward,
            "switch": self._switch,
            "open": self._open,
        }

    def _step(self, name: str, experiment: Experiment, beside: str = "") -> Work:
        stage = choose_stage(experiment.stages, self.stage.name)
        batch = noise_batch(experiment, len(self._turns), max(2, self.task.classes))

        images = experiment.groups * len(self._turns)
        return Work(
            name,
            images,
            3 * self._flops(images),
            stage_program(experiment, stage, batch),
            note=f"stage '{stage.name}' of method {experiment.config.method}, all losses and Adam",
            beside=beside,
        )

    def _flops(self, images: int) -> float:
        options = {"widths": self.experiment.config.unet.widths, "classes": self.task.channels}
        return unet_flops(ConfigDict(options), (images, *self._x.shape[1:]))

    @functools.cached_property
    def _stored(self) -> StoredTasks:
        """Fresh parameters in files, their masks such that half of the weights count."""
        rng, options = np.random.default_rng(self.experiment.config.seed), self.experiment.config
        flat = names.flatten(self.experiment.init_state().params["net"])
        for name in flat:
            if "/mask/" in name:
                noise = rng.standard_normal(flat[name].shape, np.float32)
                flat[name] = options.piggyback.threshold + noise
        return own_tasks(self.experiment, names.unflatten(flat))

    def _forward(self) -> Work:
        def program():
            stored, x = self._stored, jax.device_put(self._x)
            stored.switch(self.task.name)
            return Called(lambda: stored(x))

        return Work(
            "forward",
            self.batch,
            self._flops(self.batch),
            program,
            note=f"task '{self.task.name}' from its file",
        )

    def _switch(self) -> Work:
        def program():
            stored, tasks = self._stored, itertools.cycle(self._masked)

            def switch():
                stored.switch(next(tasks))
                return stored.params

            # The very first switch is a program of its own: there is no memory to take over yet.
            return Called(switch, first=len(self._masked) + 1)

        note = f"between {', '.join(self._masked)}, which are open"
        return Work("switch", 0, 0, program, note=note, numbers=self._compilations)

    def _compilations(self) -> dict[str, int]:
        """How many programs that run images come with switching to every task."""
        stored, x = self._stored, jax.device_put(self._x)
        stored(x)
        before = stored.programs
        for name in stored.tasks:
            stored.switch(name)
            stored(x)
        return {"switch/compilations": stored.programs - before}

    def _open(self) -> Work:
        def program():
            def read():
                self._stored.opened.pop(self.task.name, None)
                self._stored.open(self.task.name)
                return self._stored.opened[self.task.name]

            return Called(read)

        note = f"reading and checking the file of '{self.task.name}', which the system has at hand"
        return Work("open", 0, 0, program, note=note, numbers=self._sizes)

    def _sizes(self) -> dict[str, int]:
        """Of the files, and of the bits in a task's."""
        stored, path = self._stored, self._stored.tasks[self.task.name]
        stored.open(self.task.name)
        bits = jax.tree.leaves(stored.opened[self.task.name]["mask"])
        return {
            "shared/bytes": (path.parent / "shared.safetensors").stat().st_size,
            "task/bytes": path.stat().st_size,
            "task/mask_bytes": sum(x.nbytes for x in bits),
        }


def _masked_tasks(experiment: Experiment) -> list[str]:
    """Names of the tasks that have masks."""
    method = experiment.method
    shapes = names.flatten(jax.eval_shape(method.init, jax.random.key(0)))
    return [
        name
        for name, task in experiment.tasks.items()
        if any(method.mask_bits(shapes, slot) for slot in task.active)
    ]
