"""From the config's task tables to tasks."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.named import find_class
from taskfusion_jax.tasks import losses
from taskfusion_jax.tasks.base import Task, check_name
from taskfusion_jax.tasks.class_maps import ClassScores, PaintedClasses
from taskfusion_jax.tasks.classification import Classification
from taskfusion_jax.tasks.colourisation import Colourisation
from taskfusion_jax.tasks.combined import Combined
from taskfusion_jax.tasks.completion import Completion
from taskfusion_jax.tasks.reconstruction import Reconstruction
from taskfusion_jax.tasks.restoration import Restoration
from taskfusion_jax.tasks.segmentation import Segmentation
from taskfusion_jax.tasks.style import Style

KINDS = {
    "reconstruction": Reconstruction,
    "completion": Completion,
    "restoration": Restoration,
    "segmentation": Segmentation,
    "style": Style,
    "class_scores": ClassScores,
    "painted_classes": PaintedClasses,
    "colourisation": Colourisation,
    "classification": Classification,
}


def build_tasks(config: ConfigDict) -> dict[str, Task]:
    """Builds every task of `config.tasks` (by slot) and then of `config.combined` (by name).

    Raises:
      UserError: an unknown kind, part or loss term, one that is missing, a slot used twice or out
        of range.
    """
    single = [_single(name, options, config.slots) for name, options in config.tasks.items()]
    single.sort(key=lambda task: task.active)
    tasks = {task.name: task for task in single}
    _check_slots(single, config.slots)
    for name, options in config.combined.items():
        tasks[name] = _combined(name, options, tasks, config.slots)
    return tasks


def _single(name: str, options: ConfigDict, slots: int) -> Task:
    field, options = f"config.tasks.{name}", options.to_dict()
    check_name(name)
    _check_present(field, options, ("kind", "slot", "loss"))
    kind, slot = options.pop("kind"), options.pop("slot")
    made = find_class(kind, KINDS, Task, f"{field}.kind")
    _check_terms(f"{field}.loss", options["loss"], made.gives)
    options["loss"] = {term: weight for term, weight in options["loss"].items() if weight}
    active = () if slot == 0 else (slot,)
    try:
        return made(name=name, active=active, slots=slots, **options)
    except TypeError as error:
        raise UserError(f"{field}: {str(error).split(') ')[-1]}") from error


def _combined(name: str, options: ConfigDict, tasks: dict[str, Task], slots: int) -> Task:
    field, parts = f"config.combined.{name}", name.split("+")
    for part in parts:
        if part not in tasks:
            raise UserError(f"{field}: no task '{part}'{did_you_mean(part, tasks)}")
    if len(set(parts)) < max(len(parts), 2):
        raise UserError(f"{field}: join two or more different tasks with '+'")
    for part in parts:
        if tasks[part].classes or tasks[part].channels != 3 or not tasks[part].makes_image:
            raise UserError(f"{field}: '{part}' makes no image, so it cannot be combined")
    _check_present(field, options, ("by", "loss"))
    if options.by not in ("sequential", "mask"):
        raise UserError(f"{field}.by: '{options.by}' is neither 'sequential' nor 'mask'")
    _check_terms(f"{field}.loss", options.loss, Combined.gives)
    parts = tuple(tasks[part] for part in parts)
    active = tuple(slot for part in parts for slot in part.active)
    return Combined(name, active, slots, options.loss.to_dict(), parts, options.by)


def _check_present(field: str, options: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in keys:
        if key not in options:
            raise UserError(f"{field}: '{key}' is missing")


def _check_terms(field: str, terms: Mapping[str, float], given: frozenset[str]) -> None:
    for term, weight in terms.items():
        if term not in losses.TERMS:
            raise UserError(f"{field}: no loss term '{term}'{did_you_mean(term, losses.TERMS)}")
        if not weight:  # how a run takes back what its base has
            continue
        need = losses.NEEDS[term]
        if need not in given:
            kinds = [f"'{kind}'" for kind, made in KINDS.items() if need in made.gives]
            raise UserError(
                f"{field}: '{term}' needs {need}; only tasks of kind {', '.join(kinds)} do it"
            )


def _check_slots(tasks: list[Task], slots: int) -> None:
    """Slot 0 is the zero vector (paper 004: tasks 1-5 use slots 1-5 of a 6-wide vector)."""
    seen = {}
    for task in tasks:
        slot, field = task.slot, f"config.tasks.{task.name}.slot"
        if not 0 <= slot < slots:
            raise UserError(f"{field}={slot} is outside 0..{slots - 1}; widen config.slots")
        if slot in seen:
            raise UserError(f"{field}={slot} is taken by '{seen[slot]}'; choose a free slot")
        seen[slot] = task.name
