"""Where the rows of a stage's batches come from: each task's data, or a replay buffer of it."""

import itertools
from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from taskfusion_jax.data.chosen import Drawn
from taskfusion_jax.data.pipeline import Rows, check_labels, check_masks
from taskfusion_jax.errors import UserError
from taskfusion_jax.stages import Stage, turns
from taskfusion_jax.tasks.base import Task
from taskfusion_jax.tasks.combined import parts_of


def section(config: ConfigDict, task: Task) -> tuple[str, ConfigDict]:
    """The field and the section of the config with a task's data.

    Raises:
      UserError: a combined task, whose parts have different data.
    """
    own = {part.name if part.name in config.data_of else "" for part in parts_of(task)}
    if len(own) > 1:
        raise UserError(
            f"config.tasks.{task.name} combines tasks with different data (config.data_of), but an "
            "image comes from one source: give all of them the same or none"
        )
    (name,) = own
    if not name:
        return "config.data", config.data
    return f"config.data_of.{name}", config.data_of[name]


def stage_rows(experiment, stage: Stage) -> list[Rows]:
    """The rows of a stage's groups, in the order of its tasks; tasks with the same data share a
    source. With `replay`, tasks that an earlier stage trained have so many images of theirs left.

    Raises:
      UserError: a source cannot be opened, or does not have what a task needs.
    """
    config = experiment.config
    replay, earlier = stage.options.replay, _trained_before(experiment.stages, stage)

    def kept(task: Task) -> str:
        return task.name if replay and task.name in earlier else ""

    asked = turns(stage, experiment.tasks)
    rows = []
    for (_, buffer), tasks in itertools.groupby(asked, lambda t: (section(config, t)[0], kept(t))):
        tasks = tuple(tasks)
        source = experiment.source("train", tasks[0])
        if buffer:
            source = Drawn(source, replay, config.seed + tasks[0].slot)
        check_masks(source, tasks)
        check_labels(source, tasks)
        rows.append(Rows(source, tasks, section(config, tasks[0])[1]))
    return rows


def _trained_before(stages: Sequence[Stage], stage: Stage) -> set[str]:
    rows: list[Mapping[str, int]] = [other.options.rows for other in stages[: stage.index]]
    return {name for names in rows for name, count in names.items() if count}
