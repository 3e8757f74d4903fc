"""What tasks that are learnt one after another do to each other: tables and a figure."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from ml_collections import ConfigDict

from taskfusion_jax.report import table
from taskfusion_jax.report.figures import COLOURS, LOOK
from taskfusion_jax.report.masks import compression_grid, similarity_grid
from taskfusion_jax.report.sheet import MUTED, RULE
from taskfusion_jax.report.table import Cell, Grid
from taskfusion_jax.stages import learnt_in

MAIN = ("miou", "iou", "total_loss", "psnr", "mse", "accuracy")
"""The measure that speaks for a task: the first of these that it has."""
NEXT, END = " after the next task", " at the end"


def main_metric(task: str, metrics: Iterable[str]) -> str | None:
    """Name of the measure that speaks for a task, None where it has none of `MAIN`."""
    given = set(metrics)
    return next((name for name in MAIN if f"{task}/{name}" in given), None)


def as_learnt(results: Mapping, config: ConfigDict) -> dict[str, float]:
    """Metrics of each task just after its own stage; beside them those after the next stage and at
    the end of the run, their names with `NEXT` or `END`, as in table 2 of paper 003.

    Args:
      results: of a run that measured after every stage.
      config: of the run.
    """
    matrix, stages = results["matrix"], list(results["matrix"])
    metrics = dict(results["metrics"])
    for task, stage in learnt_in(config).items():
        if stage not in stages:
            continue
        after = {key: x for key, x in matrix[stage].items() if key.split("/")[0] == task}
        metrics |= after
        place = stages.index(stage)
        for when, index in ((NEXT, place + 1), (END, len(stages) - 1)):
            if place < index < len(stages):
                later = matrix[stages[index]]
                kept = (k for k in after if k in later and not k.endswith(table.BASELINE))
                metrics |= {key + when: later[key] for key in kept}
    return metrics


def matrix_grid(results: Mapping) -> Grid | None:
    """A row per task, a column per stage after which it was measured; None where nothing was
    measured twice."""
    matrix = results.get("matrix") or {}
    rows = []
    for task in dict.fromkeys(key.split("/")[0] for values in matrix.values() for key in values):
        name = main_metric(task, (key for values in matrix.values() for key in values))
        if name is None or "+" in task:
            continue
        shown, key = table.metric(name), f"{task}/{name}"
        found = [values.get(key) for values in matrix.values()]
        if sum(value is not None for value in found) > 1:
            rows.append(((task, shown.heading), [Cell(shown.format(value)) for value in found]))
    titles = tuple(f"after {stage}" for stage in matrix)
    return Grid("Each task after each stage", ("task", "metric"), titles, rows) if rows else None


def more_grids(results: Mapping) -> list[Grid]:
    """What a run shows beside its metrics: how tasks fared after each stage, and its masks."""
    matrix, masks = matrix_grid(results), results.get("masks")
    studied = [similarity_grid(masks), compression_grid(masks)] if masks else []
    return [*([matrix] if matrix else []), *studied]


def quality_figure(path: str | Path, points: Mapping[str, Mapping[str, tuple]]) -> None:
    """Draws quality against bytes: a panel per task, a point per run.

    Args:
      path: of the PNG file; its folder is made.
      points: task -> run -> (MiB that the task adds, value, name of the metric).
    """
    names = list(dict.fromkeys(run for values in points.values() for run in values))
    looks = {name: look(i) for i, name in enumerate(names)}
    columns = min(3, len(points))
    lines = math.ceil(len(points) / columns)
    with matplotlib.rc_context(LOOK):
        figure = Figure(figsize=(3.9 * columns, 3.0 * lines), layout="constrained", dpi=140)
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1)
        axes = list(figure.subplots(lines, columns, squeeze=False).flat)
        for axis, (task, values) in zip(axes, points.items(), strict=False):
            metric = next(iter(values.values()))[2]
            for run, (size, value, _) in values.items():
                axis.plot(max(size, 1e-6), value, label=run, **looks[run])
            _tidy(axis)
            axis.set_title(task, loc="left", fontsize=11)
            axis.set_ylabel(table.metric(metric).heading, fontsize=9, color=MUTED)
            axis.set_xlabel("MiB that the task adds", fontsize=9, color=MUTED)
        for axis in axes[len(points) :]:
            axis.remove()
        drawn = {
            label: line
            for axis in axes[: len(points)]
            for line, label in zip(*axis.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            *(drawn.values(), drawn.keys()),
            loc="outside lower center",
            ncols=min(6, len(drawn)),
            frameon=False,
            fontsize=9,
        )
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, facecolor="white")


def look(place: int) -> dict:
    """How the point of the run in this place is drawn: colour and marker, hollow, so that points
    that lie on each other all show."""
    colour, marker = COLOURS[place % len(COLOURS)], "osD^v<>pP*Xhd"[place % 13]
    return {
        "marker": marker,
        "color": colour,
        "markerfacecolor": "none",
        "ls": "none",
        "ms": 8,
        "mew": 1.8,
        "zorder": 3,
    }


def _tidy(axis) -> None:
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.margins(x=0.2, y=0.18)
    axis.grid(color=RULE, lw=0.6)
    axis.spines[["top", "right"]].set_visible(False)
