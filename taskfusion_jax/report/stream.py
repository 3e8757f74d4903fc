"""Streams of classification tasks: accuracy after every stage, and against what a task adds."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from taskfusion_jax.metrics.continual import ALL, STREAM
from taskfusion_jax.report import table
from taskfusion_jax.report.continual import look
from taskfusion_jax.report.figures import LOOK
from taskfusion_jax.report.sheet import MUTED, RULE
from taskfusion_jax.report.spread import spread_cells
from taskfusion_jax.report.table import Cell, Grid

_SHOWN = (
    *(f"{STREAM}/{name}" for name in ("as_learnt", "average_accuracy", "forgetting")),
    *(f"{ALL}/accuracy_{way}" for way in table.WAYS),
)


def stream_grid(runs: Mapping[str, Mapping]) -> Grid | None:
    """A row per run: what a task adds, and accuracies over the whole stream.

    runs: as in `table.json`. None where none is a stream of classification tasks.
    """
    runs = {name: run for name, run in runs.items() if f"{STREAM}/as_learnt" in run["metrics"]}
    keys = [key for key in _SHOWN if any(key in run["metrics"] for run in runs.values())]
    if not runs:
        return None
    columns = [spread_cells(runs, key) for key in keys]
    rows = [
        ((name,), [Cell(f"{_percent(run):.3g}"), *(column[i] for column in columns)])
        for i, (name, run) in enumerate(runs.items())
    ]
    titles = tuple(table.metric(key.split("/")[-1]).heading for key in keys)
    return Grid("The whole stream", ("run",), ("% a task adds", *titles), rows)


def _percent(run: Mapping) -> float:
    return max(run["percent_per_task"].values())


def budget_figure(path: str | Path, runs: Mapping[str, Mapping]) -> None:
    """Draws mean accuracy as learnt against the percentage of parameters that a task adds.

    Args:
      path: of the PNG file; its folder is made.
      runs: as in `table.json`, of which streams are drawn.
    """
    runs = {name: run for name, run in runs.items() if f"{STREAM}/as_learnt" in run["metrics"]}
    with matplotlib.rc_context(LOOK):
        figure = Figure(figsize=(8.4, 5.2), layout="constrained", dpi=140)
        axis = figure.subplots()
        for i, (name, run) in enumerate(runs.items()):
            value = run["metrics"][f"{STREAM}/as_learnt"]
            x, y = max(_percent(run), 1e-4), value["mean"]
            axis.errorbar(x, y, value["std"], label=name, capsize=3, **look(i))
        axis.set_xscale("log")
        axis.margins(x=0.15, y=0.12)
        axis.set_xlabel("% of the shared parameters that a task adds", fontsize=9, color=MUTED)
        axis.set_ylabel("accuracy as learnt, mean over tasks", fontsize=9, color=MUTED)
        axis.set_title("Accuracy against parameters", loc="left", fontsize=11)
        axis.grid(color=RULE, lw=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside right center", frameon=False, fontsize=9)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, facecolor="white")


def matrix_figure(path: str | Path, matrix: Mapping[str, Mapping[str, float]]) -> bool:
    """Draws every task's accuracy after every stage as a heat map.

    Args:
      path: of the PNG file; its folder is made.
      matrix: stage -> flat metrics.

    Returns:
      Whether there was anything to draw: at least two stages, and accuracies of images.
    """
    stages = list(matrix)
    tasks = [key.split("/")[0] for key in matrix[stages[-1]] if key.endswith("/nll")]
    if len(stages) < 2 or len(tasks) < 2:
        return False
    values = np.array(
        [[matrix[stage].get(f"{task}/accuracy", np.nan) for stage in stages] for task in tasks]
    )
    _heat_map(
        path,
        values,
        tasks,
        stages,
        ("task", "after the stage"),
        "Accuracy after each stage",
        "accuracy",
        top=1.0,
    )
    return True


def prompts_figure(path: str | Path, prompts: Mapping[str, list[float]]) -> None:
    """Draws which prompts of a pool each task's images pick; nothing where there is no pool.

    prompts: task -> share of the picks that each prompt gets.
    """
    if prompts:
        values = np.array(list(prompts.values()))
        columns = [str(i) for i in range(values.shape[1])]
        _heat_map(
            path,
            values,
            list(prompts),
            columns,
            ("task", "prompt"),
            "Prompts picked",
            "share of picks",
        )


def _heat_map(path, values, rows, columns, names, title, unit, top=None) -> None:
    top = float(np.nanmax(values)) if top is None else top
    with matplotlib.rc_context(LOOK):
        size = (2.4 + 0.8 * len(columns), 1.5 + 0.5 * len(rows))
        figure = Figure(figsize=size, layout="constrained", dpi=140)
        axis = figure.subplots()
        drawn = axis.imshow(values, cmap="viridis", vmin=0, vmax=top, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                ink = "white" if value < 0.6 * top else "black"
                axis.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink)
        axis.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
        axis.set_yticks(range(len(rows)), rows)
        axis.set_xlabel(names[1])
        axis.set_ylabel(names[0])
        axis.set_title(title, loc="left", fontsize=11)
        figure.colorbar(drawn, ax=axis, label=unit)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, facecolor="white")
