"""A run is a row of stages: which tasks train, which parameters may move, for how long."""

import dataclasses

from ml_collections import ConfigDict

from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.tasks.base import Task
from taskfusion_jax.tasks.combined import Combined

COMBINE = ("M1", "M2", "M3", "M4")
"""How combined tasks are learnt: not at all, by added losses, by synthetic targets (paper 004), or,
ours, from the network's own outputs: see `tasks.combined`."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """One entry of `config.schedule`.

    Attributes:
      name: key in `config.stages`.
      index: place in the schedule.
      first, last: steps done when the stage begins and when it ends.
      options: `config.stages.NAME`.
    """

    name: str
    index: int
    first: int
    last: int
    options: ConfigDict

    @property
    def field(self) -> str:
        """Where its options stand, for messages."""
        return f"config.stages.{self.name}"


def build_stages(config: ConfigDict, tasks: dict[str, Task]) -> list[Stage]:
    """Reads `config.schedule` and `config.stages`.

    Raises:
      UserError: an unknown stage, task or way to combine; a stage without steps or rows; rows of a
        combined task under M1.
    """
    stages, first = [], 0
    for index, name in enumerate(config.schedule):
        if name not in config.stages:
            raise UserError(
                f"config.schedule: no stage '{name}'{did_you_mean(name, config.stages)}"
            )
        stage = Stage(name, index, first, first + config.stages[name].steps, config.stages[name])
        _check(stage, tasks)
        before = config.schedule[:index]
        if stage.options.start and stage.options.start not in before:
            raise UserError(
                f"{stage.field}.start: no stage '{stage.options.start}' before this one"
                f"{did_you_mean(stage.options.start, before)}"
            )
        stages.append(stage)
        first = stage.last
    if not stages:
        raise UserError("config.schedule is empty; name at least one of config.stages")
    if len({stage.name for stage in stages}) < len(stages):
        raise UserError("config.schedule names a stage twice; copy it under a second name")
    return stages


def _check(stage: Stage, tasks: dict[str, Task]) -> None:
    options, field = stage.options, stage.field
    if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in options.copy):
        raise UserError(f"{field}.copy={options.copy} must be pairs such as (('net/a', 'net/b'),)")
    if options.replay < 0:
        raise UserError(f"{field}.replay={options.replay} must be images, 0 for all")
    if options.steps < 1:
        raise UserError(f"{field}.steps={options.steps} must be at least 1")
    if options.combine not in COMBINE:
        raise UserError(f"{field}.combine: '{options.combine}' is none of {', '.join(COMBINE)}")
    for name, count in options.rows.items():
        if name not in tasks:
            raise UserError(f"{field}.rows: no task '{name}'{did_you_mean(name, tasks)}")
        if count < 0:
            raise UserError(f"{field}.rows.{name}={count} is negative")
        if count and isinstance(tasks[name], Combined) and options.combine == "M1":
            raise UserError(
                f"{field}.rows.{name}={count}, but M1 trains single tasks only; "
                f"set it to 0, or {field}.combine to M2, M3 or M4"
            )
    if not sum(options.rows.values()):
        raise UserError(f"{field}.rows gives no task any rows")


def turns(stage: Stage, tasks: dict[str, Task]) -> list[Task]:
    """The task of each row of a group, in the order of the tasks."""
    rows = stage.options.rows
    return [task for name, task in tasks.items() for _ in range(rows.get(name, 0))]


def learnt_in(config: ConfigDict) -> dict[str, str]:
    """Task -> the last stage of a run's schedule that trains it otherwise than by replay."""
    found: dict[str, str] = {}
    for stage in config.schedule:
        options = config.stages[stage]
        for name, count in options.rows.items():
            if count and not (options.replay and name in found):
                found[name] = stage
    return found
