"""The table and figures of a comparison, from the results of its runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console
from rich.text import Text

from taskfusion_jax.comparison import Comparison, in_order
from taskfusion_jax.engine.files import read_json, write_json, write_text
from taskfusion_jax.engine.provenance import provenance
from taskfusion_jax.errors import UserError
from taskfusion_jax.report import masks, table
from taskfusion_jax.report.comparison_figures import draw_comparison
from taskfusion_jax.report.continual import as_learnt
from taskfusion_jax.report.html import write_comparison_report
from taskfusion_jax.report.spread import spread_cells
from taskfusion_jax.report.stream import stream_grid
from taskfusion_jax.report.table import Cell, Grid

SHOWN = ("psnr", "ssim", "lpips", "iou", "frechet", "style_loss")
TO_TARGET = ("psnr", "ssim", "lpips")
"""Where a target holds a style, the network that is measured made it: these compare no methods."""
NOTHING = "doing nothing"


def write_comparison(compared: Comparison) -> None:
    """Writes `table.json`, `table.md`, `figures/` and `report.html` from the runs that are done."""
    runs = _gather(compared)
    if not runs:
        return
    config, workdir = compared.config, compared.path
    done = {"name": config.name, **provenance(), "runs": runs}
    done["tables"] = {title: list(names) for title, names in config.tables.items()}
    done["shown"] = list(config.get("shown", SHOWN))
    done["published"] = {
        title: {name: columns[name].to_dict() for name in in_order(config, columns)}
        for title, columns in config.published.items()
    }
    write_json(workdir / "table.json", done)
    shown, legend = grids(done), _legend(done)
    texts = [*map(table.markdown_table, shown), legend]
    write_text(workdir / "table.md", "\n\n".join(texts) + "\n")
    draw_comparison(compared, runs)
    done["base"] = json.loads(config.base.to_json())
    write_comparison_report(workdir, done, shown, legend)


def show_comparison(workdir: Path, console: Console) -> None:
    """Prints the tables."""
    path = workdir / "table.json"
    if not path.exists():
        console.print("No run is done yet.")
        return
    done = read_json(path)
    for grid in grids(done):
        console.print(table.rich_table(grid))
    console.print(Text(_legend(done), style="dim"))
    console.print(f"Table: {workdir / 'table.md'}", soft_wrap=True)
    console.print(f"Report: {workdir / 'report.html'}", soft_wrap=True)


def _gather(compared: Comparison) -> dict:
    """Of every run that is done: mean and spread of each metric over its seeds, and its sizes."""
    runs = {}
    for name, seeds in compared.done().items():
        results = [read_json(compared.folder(name, seed).results) for seed in seeds]
        options = compared.members[name, seeds[0]]
        in_turn = options.evaluate.only_learnt
        learnt = [as_learnt(r, options) if in_turn else r["metrics"] for r in results]
        values = [
            _final(x, options) | {"seconds": r["seconds"]}
            for x, r in zip(learnt, results, strict=True)
        ]
        common = [key for key in values[0] if all(key in other for other in values)]
        sizes = compared.sizes(name)
        runs[name] = {
            "seeds": seeds,
            "metrics": {key: _spread([other[key] for other in values]) for key in common},
            **{
                key: {str(s): r[key] for s, r in zip(seeds, results, strict=True)}
                for key in ("data", "data_of", "frechet", "hardware")
            },
            "styles": [n for n, task in options.tasks.items() if task.kind == "style"],
            "parameters": sizes["total"],
            "bits": sizes["mask_bits_per_task"],
            "bytes": sizes["bytes"],
            "bytes_per_task": sizes["bytes_per_task"],
            "percent_per_task": sizes["percent_per_task"],
            "masks": results[0].get("masks"),
        }
    _check_alike(compared, runs)
    return runs


def _check_alike(compared: Comparison, runs: Mapping[str, Mapping]) -> None:
    """Raises UserError where runs were measured on other images or by other features."""
    before: dict[tuple, str] = {}
    for name, run in runs.items():
        for seed, images in run["data_of"].items():
            # Each seed damages, or draws, images of its own.
            measured = {("images", seed, task): found for task, found in images.items()}
            measured["features"] = run["frechet"][seed]
            for key, found in measured.items():
                if before.setdefault(key, found) != found:
                    raise UserError(
                        f"{compared.folder(name, int(seed)).path} was measured otherwise than the "
                        f"runs before ({found}; not {before[key]}): evaluate with "
                        "taskfusion_jax.evaluate, perhaps --images=N, whichever is to change"
                    )


def _final(metrics: Mapping[str, float], options: ConfigDict) -> dict[str, float]:
    """A run's metrics with combined tasks as its last stage learnt them, without its name."""
    way = options.stages[options.schedule[-1]].combine
    final = {}
    for key, value in metrics.items():
        task, *middle, name = key.split("/")
        if not middle or middle == [way]:
            final[f"{task}/{name}"] = value
    return final


def _spread(values: list[float]) -> dict[str, float]:
    """Mean and sample standard deviation, which is 0 of one value."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "std": std}


def grids(done: Mapping) -> list[Grid]:
    """Every table of a parsed `table.json`: one row per task and metric, one column per run."""
    listed = {
        name: done["runs"][name]
        for names in done["tables"].values()
        for name in names
        if name in done["runs"]
    }
    made = [grid for grid in (stream_grid(listed),) if grid]
    for title, names in done["tables"].items():
        chosen = [name for name in names if name in done["runs"]]
        if chosen:
            runs = {name: done["runs"][name] for name in chosen}
            made.append(_grid(title, runs, done["shown"]))
    for name, run in done["runs"].items():
        for grid in (masks.similarity_grid, masks.compression_grid) if run["masks"] else ():
            shown = grid(run["masks"])
            made.append(replace(shown, title=f"{shown.title}: {name}"))
    return made + [_published(title, runs) for title, runs in done["published"].items()]


def _grid(title: str, runs: Mapping[str, Mapping], shown: Sequence[str]) -> Grid:
    keys = dict.fromkeys(key for run in runs.values() for key in run["metrics"])
    tasks = dict.fromkeys(key.split("/")[0] for key in keys if "/" in key)
    rows = []
    for task in tasks:
        having = [key.partition("/")[2] for key in keys if key.startswith(f"{task}/")]
        names = [n for m in shown for n in having if n == m or n.startswith(f"{m} ")]
        names = [name for name in names if not _self_made(task, name, runs)]
        for i, name in enumerate(names):
            label = "" if i else task.replace("+", " + ")
            cells = [_nothing(runs, f"{task}/{name}"), *spread_cells(runs, f"{task}/{name}")]
            rows.append(((label, table.metric(name).heading), cells))
    sizes = [Cell(f"{run['parameters']:,}") for run in runs.values()]
    rows.append((("size", "parameters"), [Cell(), *sizes]))
    if any(run["bits"] for run in runs.values()):
        bits = [Cell(f"{run['bits']:,}" if run["bits"] else table.DASH) for run in runs.values()]
        rows.append((("", "mask bits per task"), [Cell(), *bits]))
    for label, sizes in (("MiB in all", _in_all), ("MiB that the last task adds", _added)):
        cells = [Cell(f"{sizes(run) / 2**20:.3g}") for run in runs.values()]
        rows.append((("", label), [Cell(), *cells]))
    times = [Cell(f"{run['metrics']['seconds']['mean'] / 60:.1f}") for run in runs.values()]
    rows.append((("training", "minutes"), [Cell(), *times]))
    return Grid(title, ("task", "metric"), (NOTHING, *runs), rows)


def _in_all(run: Mapping) -> int:
    """To do every task as it was learnt, for which fine-tuning must keep a network each."""
    return max(run["bytes"], sum(run["bytes_per_task"].values()))


def _added(run: Mapping) -> int:
    """What the task that was learnt last adds."""
    return list(run["bytes_per_task"].values())[-1]


def _self_made(task: str, name: str, runs: Mapping[str, Mapping]) -> bool:
    styles = {style for run in runs.values() for style in run["styles"]}
    several = sum(f"{task}/{name}" in run["metrics"] for run in runs.values()) > 1
    return several and bool(styles & set(task.split("+"))) and name in TO_TARGET


def _nothing(runs: Mapping[str, Mapping], key: str) -> Cell:
    values = (run["metrics"].get(key + table.BASELINE) for run in runs.values())
    value = next(filter(None, values), None)
    return Cell(table.metric(key.split("/")[-1]).format(value["mean"])) if value else Cell()


def _published(title: str, runs: Mapping[str, Mapping]) -> Grid:
    rows = []
    for key in dict.fromkeys(key for run in runs.values() for key in run):
        task, _, name = key.rpartition("/")
        values = [run.get(key) for run in runs.values()]
        texts = [table.DASH if v is None else _number(v) for v in values]
        names = (task.replace("+", " + "), table.metric(name).heading)
        rows.append((names, [Cell(text) for text in texts]))
    return Grid(title, ("task", "metric"), tuple(runs), rows)


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _legend(done: Mapping) -> str:
    runs = done["runs"].values()
    seeds = sorted({seed for run in runs for seed in run["seeds"]})
    fewer = "".join(
        f", {name} {', '.join(map(str, run['seeds']))} only"
        for name, run in done["runs"].items()
        if len(run["seeds"]) < len(seeds)
    )
    spread = (
        "; ± is the standard deviation over seeds, of which each damages the images its own way"
        if len(seeds) > 1
        else ""
    )
    data, hardware, features = (
        " / ".join(dict.fromkeys(x for run in runs for x in run[key].values()))
        for key in ("data", "hardware", "frechet")
    )
    return (
        f"Bold: the best. {table.DASH}: not possible or not measured. Seeds "
        f"{', '.join(map(str, seeds))}{spread}{fewer}. Measured on {data}; {hardware}. "
        + (f"Fréchet distance between features: {features}. " if features else "")
        + (f"{masks.LEGEND} " if any(run["masks"] for run in runs) else "")
        + f"Commit {done['commit']}: {done['command']}"
    )
