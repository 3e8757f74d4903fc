"""Numbers of several seeds as cells of a table: mean and spread."""

import math
from collections.abc import Mapping

from taskfusion_jax.report import table
from taskfusion_jax.report.table import Cell


def spread_cells(runs: Mapping[str, Mapping], key: str) -> list[Cell]:
    """One metric of every run, the best mean marked.

    Args:
      runs: as in `table.json`.
      key: of the metric; a run without it gets a dash.
    """
    shown = table.metric(key.split("/")[-1])
    values = [run["metrics"].get(key) for run in runs.values()]
    means = [value["mean"] for value in values if value and not math.isnan(value["mean"])]
    best = (max(means) if shown.best else min(means)) if len(set(means)) > 1 else None
    cells = []
    for value, run in zip(values, runs.values(), strict=True):
        text = shown.format(value["mean"] if value else None)
        if value and len(run["seeds"]) > 1:
            text += f" ± {shown.format(value['std'])}"
        cells.append(Cell(text, best=bool(value) and value["mean"] == best))
    return cells
