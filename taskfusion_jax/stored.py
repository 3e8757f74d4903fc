"""Trained tasks in files of their own, and one program that does whichever of them is asked for."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from taskfusion_jax.data.arrays import as_array, check_images, to_unit
from taskfusion_jax.engine import distributed, names
from taskfusion_jax.engine import mesh as meshes
from taskfusion_jax.engine.compile import jit
from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.methods.base import Routed
from taskfusion_jax.stages import learnt_in
from taskfusion_jax.task_files import (
    checksum,
    list_tasks,
    read_shared,
    read_task,
    write_shared,
    write_task,
)
from taskfusion_jax.tasks.base import Task
from taskfusion_jax.tasks.combined import Combined
from taskfusion_jax.workdir import Workdir


def store(experiment: Experiment, params: dict, folder: Path) -> None:
    """Writes what all tasks share and, for each that was learnt, what it alone has; see
    `task_files`.

    Methods whose tasks share all of one network have nothing to write.

    Args:
      experiment: the run's.
      params: the network's parameters, on any devices.
      folder: made if absent.
    """
    if not isinstance(experiment.method, Routed):
        return
    every = meshes.replicated(experiment.mesh)
    flat = names.flatten(jit(lambda tree: tree, out_shardings=every)(params))
    if not distributed.is_main():
        return
    shared = {name: x for name, x in flat.items() if not name.startswith("task_")}
    base, options = write_shared(folder, shared), experiment.config.piggyback
    for name in learnt_in(experiment.config):
        task = experiment.tasks[name]
        if not isinstance(task, Combined):
            mine = _own(flat, task.slot)
            write_task(folder, name, mine, base, options.threshold, options.ternary, task.slot)


def _own(flat: dict, slot: int) -> dict:
    """What a flat dict has below a task's name, without it."""
    own = f"task_{slot}/"
    return {name.removeprefix(own): x for name, x in flat.items() if name.startswith(own)}


class StoredTasks:
    """The tasks of a run, opened one at a time from its folder.

    Opening another task, or going back to one, compiles nothing that runs images.

    Attributes:
      tasks: name -> file.
      opened: name -> what that task alone has, masks as bits.
      params: the network's parameters as they are now, None before the first `switch`.
    """

    def __init__(self, workdir: Path):
        """workdir: of a run that has ended. Raises UserError where it has no task files."""
        folder = Workdir(Path(workdir))
        self._start(folder.config(), folder.tasks)

    @classmethod
    def of(cls, config: ConfigDict, folder: Path) -> "StoredTasks":
        """As the class, for files that lie anywhere and a config in memory."""
        self = cls.__new__(cls)
        self._start(config, folder)
        return self

    def _start(self, config: ConfigDict, folder: Path) -> None:
        self.experiment, self.tasks = Experiment(config), list_tasks(folder)
        self.method = self.experiment.method
        shared = read_shared(folder)
        self._checksum = checksum(shared)
        self._shared = jax.device_put(names.unflatten(shared))
        self.opened: dict[str, Any] = {}
        self._run = jit(self.method.run)
        self._put = jit(self._picked, static_argnums=0)
        self._put_over = jit(
            lambda slot, shared, own, old: self._picked(slot, shared, own),
            static_argnums=0,
            donate_argnums=3,
            keep_unused=True,
        )
        self._run_mixed = jit(self._mixed)
        self._stacked: dict[tuple[str, ...], dict] = {}
        self.params: dict | None = None
        self._task: Task | None = None
        self._slot: int | None = None

    @property
    def programs(self) -> int:
        """How many programs that run images were compiled so far: one per shape of images."""
        return self._run._cache_size()

    def _picked(self, slot: int, shared: dict, own: dict) -> dict:
        vector = np.zeros(self.method.slots, np.float32)
        vector[slot] = slot > 0
        return self.method.pick({**shared, **({f"task_{slot}": own} if own else {})}, vector)

    def open(self, name: str) -> None:
        """Reads a task's file, if that was not done, and the others' not at all.

        Raises:
          UserError: no such task, or its file is damaged, belongs to other shared parameters, or
            has not the shapes that the config gives.
        """
        if name in self.opened:
            return
        if name not in self.tasks or name not in self.experiment.tasks:
            raise UserError(f"no task '{name}' is stored{did_you_mean(name, self.tasks)}")
        own = read_task(self.tasks[name], self._checksum, packed=True)
        wanted = names.flatten(self.experiment.shapes.params["net"])
        for key, x in _own(wanted, self.experiment.tasks[name].slot).items():
            if key not in own or not _fits(own[key], x.shape):
                found = own[key].shape if key in own else "nothing"
                raise UserError(
                    f"{self.tasks[name]}: {key} is {found} there, but the config wants {x.shape}; "
                    f"was it trained with other config.tasks.{name}?"
                )
        self.opened[name] = jax.device_put(names.unflatten(own))

    def switch(self, name: str) -> None:
        """Makes the network do a task from now on; opens it where that was not done."""
        self.open(name)
        own = self.opened[name]
        # One slot stands for all whose parameters have the same form, and so one program.
        slot = max(self.method.channels) if own else self.experiment.tasks[name].slot
        if slot != self._slot:  # a network of another form
            self.params, self._slot = self._put(slot, self._shared, own), slot
        else:  # into the memory of what was there: fresh pages cost more than the masks
            self.params = self._put_over(slot, self._shared, own, self.params)
        self._task = self.experiment.tasks[name]

    def mixed(self, images: jax.Array, tasks: Sequence[str]) -> jax.Array:
        """Rows of different tasks in one pass, each by its own task's parameters.

        Costs little more than one task's rows where tasks differ in prompts, prefixes or other
        small parts; masks make weights for every row.

        Args:
          images: [B, H, W, 3], floats in [0, 1] or uint8.
          tasks: the name of each row's task, opened where that was not done.

        Returns:
          Raw outputs, [B, ..., channels of the widest task]; a row's task has the first ones, the
          others are zeros, or of classifications -inf.

        Raises:
          UserError: as `open`, or not as many names as rows, or tasks of different kinds.
        """
        images = _checked(images)
        if len(tasks) != len(images):
            raise UserError(f"{len(images)} images, but {len(tasks)} names of tasks: one for each")
        every = tuple(sorted(set(tasks)))
        if every not in self._stacked:
            for name in every:
                self.open(name)
            # The last stack alone is kept: stacks are as large as all their tasks.
            self._stacked = {every: stacked([self.opened[name] for name in every], every)}
        places = np.array([every.index(name) for name in tasks])
        made = self._run_mixed(self._shared, self._stacked[every], places, images)
        single = [self.experiment.tasks[name] for name in tasks]
        if not single[0].labels:
            return made
        own = np.arange(made.shape[-1])[None] < np.array([[task.labels] for task in single])
        return jnp.where(own, made, -jnp.inf)

    def _mixed(self, shared: dict, own: dict, places: jax.Array, images: jax.Array) -> jax.Array:
        slot = max(self.method.channels)  # stands for all: they have the same form

        def one(place, image):
            picked = self._picked(slot, shared, jax.tree.map(lambda x: x[place], own))
            return self.method.run(picked, image[None], np.zeros((1, self.method.slots)))[0]

        return jax.vmap(one)(places, images)

    def __call__(self, images: jax.Array) -> jax.Array:
        """The raw output for images [B, H, W, 3], floats in [0, 1] or uint8: [B, H, W, channels of
        the task].

        Raises:
          UserError: no task was chosen, or the images are not what it takes.
        """
        if self._task is None:
            raise UserError(f"choose a task first: switch(NAME), of {', '.join(self.tasks)}")
        images = _checked(images)
        self._task.check_input(images, "an image")
        c = np.tile(self._task.vector[None], (len(images), 1))
        return self._run(self.params, images, c)[..., : self._task.channels]

    def show(self, images: jax.Array) -> jax.Array:
        """As the call, but the image that the output stands for, [B, H, W, 3] in [0, 1]."""
        made = self(images)
        return self._task.show(made, _checked(images))


def _checked(images: Any) -> jax.Array | np.ndarray:
    """Images as float32 in [0, 1]. Raises UserError unless they are what `check_images` wants."""
    images = images if isinstance(images, jax.Array) else as_array(images)
    check_images(images)
    return to_unit(images)


def _fits(stored: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether an array is of this shape, or the bits of a mask of it."""
    return stored.shape == shape or (
        stored.dtype == np.uint8 and stored.shape[-1] == -(-math.prod(shape) // 8)
    )


def stacked(trees: Sequence[dict], tasks: Sequence[str]) -> dict:
    """Trees of one form as one, a first axis longer; arrays of fewer channels are filled up with
    zeros. Raises UserError where the forms differ, naming the tasks."""
    if any(jax.tree.structure(tree) != jax.tree.structure(trees[0]) for tree in trees):
        raise UserError(f"{', '.join(tasks)} have parameters of different kinds: run them apart")

    def join(*leaves):
        shape = np.max([x.shape for x in leaves], axis=0)
        filled = [
            jnp.pad(x, [(0, n - m) for m, n in zip(x.shape, shape, strict=True)]) for x in leaves
        ]
        return jnp.stack(filled)

    return jax.tree.map(join, *trees)
