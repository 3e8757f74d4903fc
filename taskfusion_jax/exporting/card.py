"""The model card of an export: what it does, what it takes, how good it is, where it is from."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from taskfusion_jax import __version__
from taskfusion_jax.engine.files import read_json
from taskfusion_jax.exporting.network import Network
from taskfusion_jax.inference.model import Model
from taskfusion_jax.report.table import BASELINE
from taskfusion_jax.workdir import Workdir

_OUTPUT = "Pictures that come out are around [0, 1] and not clipped; classes are scores, no shares."
_LEAST = 8  # below it there is not enough to reflect


def model_card(
    model: Model, networks: Sequence[Network], use: str, size: int, licence: str, note: str
) -> str:
    """Markdown.

    Args:
      model: the run.
      networks: what was exported of it.
      use: code that runs the export.
      size: the only side of images that it takes, in pixels; 0 = any.
      licence: of the data that it was trained on, in the user's words.
      note: what else to say of this format.
    """
    results = _results(model.workdir)
    several = networks[0].task is None
    what = "one network for all tasks" if several else "a network for each task"
    side = networks[0].side
    sides = f"{size} x {size} pixels" if size else f"any sides that are multiples of {side}"
    if not size and side < _LEAST:
        sides += f", at least {_LEAST}"
    together = ", ".join(model.combinations)
    lines = [
        f"# {results.get('name') or model.config.name}: {what}",
        "",
        f"Exported by taskfusion_jax {__version__} from a run of `{model.config.method}` on "
        f"`{model.config.backbone}`, {results.get('steps', 'an unknown number of')} steps, commit "
        f"{results.get('commit') or 'unknown'}, seed {model.config.seed}.",
        "",
        "```python",
        use,
        "```",
        f"`python check.py` compares with what JAX computed. {note}",
        "",
        "## Input and output",
        f"Images RGB in [0, 1], {sides}. {_OUTPUT}",
        *([_vector(model)] if several else []),
        *([f"Learnt together, but not exported: {together}."] if together and not several else []),
        "",
        *_tasks(model, networks, several),
        "",
        "## Measured",
        f"On {results.get('data') or 'nothing'}.",
        "",
        *_measured(results, [n.task.name for n in networks if n.task] or list(model.tasks)),
        "",
        "## Data",
        f"Trained on: {_data(model)}.",
        f"Licence of the data: {licence or 'not given (--data_licence); ask whoever trained it'}.",
    ]
    return "\n".join(lines) + "\n"


def _vector(model: Model) -> str:
    return (
        f"The task vector has {model.config.slots} numbers between 0 and 1: how much of the task "
        "in each slot, counted from 0; zeros ask for the image itself. Several tasks at once are "
        "allowed."
    )


def _tasks(model: Model, networks: Sequence[Network], several: bool) -> list[str]:
    lines = [f"| task | {'slot' if several else 'file'} | output |", "|---|---|---|"]
    files = {n.task.name: n.name for n in networks if n.task}
    for name, task in model.tasks.items():
        if several or name in files:
            where = (str(task.slot) if task.active else "zeros") if several else files[name]
            lines.append(f"| {name} | {where} | {_output(model, name)} |")
    return lines


def _output(model: Model, name: str) -> str:
    task = model.tasks[name]
    if task.labels:
        return f"a score for each of {', '.join(model.classes[name])}"
    if task.channels != 3:
        return f"{task.channels} channels ({type(task).__name__})"
    return "an image"


def _measured(results: dict[str, Any], tasks: Sequence[str]) -> list[str]:
    """Metrics of these tasks and of their combinations."""
    metrics = {
        name: value
        for name, value in results.get("metrics", {}).items()
        if set(name.split("/")[0].split("+")) <= set(tasks)
    }
    if not metrics:
        return ["Nothing was measured."]
    rows = []
    for name in sorted(name for name in metrics if not name.endswith(BASELINE)):
        nothing = metrics.get(f"{name}{BASELINE}")
        rows.append(
            f"| {name} | {metrics[name]:.4g} | {'' if nothing is None else f'{nothing:.4g}'} |"
        )
    return ["| metric | value | doing nothing |", "|---|---:|---:|", *rows]


def _data(model: Model) -> str:
    """What the config says of it, for every task that has data of its own."""
    sections = {"": model.config.data, **dict(model.config.data_of.items())}
    found = {}
    for name, section in sections.items():
        options = section.get(section.source)
        words = f"{section.source} {options.to_dict() if options else ''}".strip()
        found.setdefault(words, []).append(name)
    return "; ".join(
        words + (f" ({', '.join(names)})" if all(names) else "") for words, names in found.items()
    )


def _results(workdir: Path) -> dict[str, Any]:
    path = Workdir(workdir).results
    return read_json(path) if path.exists() else {}


def tasks_json(model: Model, networks: Sequence[Network]) -> str:
    """For machines: task -> its slot, and names of its classes."""
    tasks = {
        name: {"slot": task.slot, "classes": list(model.classes.get(name, ()))}
        for name, task in model.tasks.items()
        if networks[0].task is None or any(n.task is task for n in networks)
    }
    return json.dumps(tasks, ensure_ascii=False)
