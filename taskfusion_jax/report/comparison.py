"""The table and figures of a comparison, from the results of its runs."""

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console
from rich.text import Text

from taskfusion_jax.comparison import folder_of, in_order, members
from taskfusion_jax.counts import count
from taskfusion_jax.engine.files import read_json, write_json, write_text
from taskfusion_jax.engine.provenance import provenance
from taskfusion_jax.errors import UserError
from taskfusion_jax.report import figures, table
from taskfusion_jax.report.html import write_comparison_report
from taskfusion_jax.report.table import Cell, Grid
from taskfusion_jax.workdir import Workdir

SHOWN = ("psnr", "ssim", "lpips", "iou", "frechet", "style_loss")
TO_TARGET = ("psnr", "ssim", "lpips")
"""Where a target holds a style, the network that is measured made it: these compare no methods."""
NOTHING = "doing nothing"
_COUNTS = ("parameters", "mask_bits_per_task")


def write_comparison(config: ConfigDict, workdir: Path) -> None:
    """Writes `table.json`, `table.md` and `figures/` from the runs that are done.

    Args:
      config: of the comparison.
      workdir: its folder.
    """
    runs = _gather(config, workdir)
    if not runs:
        return
    done = {"name": config.name, **provenance(), "runs": runs}
    done["tables"] = {title: list(names) for title, names in config.tables.items()}
    done["published"] = {
        title: {name: columns[name].to_dict() for name in in_order(config, columns)}
        for title, columns in config.published.items()
    }
    write_json(workdir / "table.json", done)
    shown = [table.markdown_table(grid) for grid in grids(done)]
    write_text(workdir / "table.md", "\n\n".join([*shown, _legend(done)]) + "\n")
    _draw(config, workdir, list(runs))
    done["base"] = json.loads(config.base.to_json())
    write_comparison_report(workdir, done, grids(done), _legend(done))


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


def _gather(config: ConfigDict, workdir: Path) -> dict:
    """Of every run that is done: mean and spread of each metric over its seeds, and its sizes."""
    runs: dict[str, dict] = {}
    for (name, seed), options in members(config).items():
        folder = Workdir(folder_of(workdir, name, seed))
        if not folder.is_done(options):
            continue
        results = read_json(folder.results)
        run = runs.setdefault(name, {"seeds": [], "values": []})
        run["seeds"].append(seed)
        run["values"].append(_final(results["metrics"], options) | {"seconds": results["seconds"]})
        run["data"], run["frechet"] = results["data"], results["frechet"]
        first = next(iter(runs.values()))
        if (run["data"], run["frechet"]) != (first["data"], first["frechet"]):
            raise UserError(
                f"{folder.path} was measured otherwise than the runs before ({run['data']}, "
                f"{run['frechet']}; not {first['data']}, {first['frechet']}): evaluate it again "
                "with taskfusion_jax.evaluate"
            )
        run["styles"] = [n for n, task in options.tasks.items() if task.kind == "style"]
        run["hardware"] = results["hardware"]
        counts = count(options)
        run["parameters"], run["bits"] = counts["total"], counts["mask_bits_per_task"]
    for run in runs.values():
        values = run.pop("values")
        common = [key for key in values[0] if all(key in other for other in values)]
        run["metrics"] = {key: _spread([other[key] for other in values]) for key in common}
    return runs


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
    made = []
    for title, names in done["tables"].items():
        chosen = [name for name in names if name in done["runs"]]
        if chosen:
            made.append(_grid(title, {name: done["runs"][name] for name in chosen}))
    return made + [_published(title, runs) for title, runs in done["published"].items()]


def _grid(title: str, runs: Mapping[str, Mapping]) -> Grid:
    keys = dict.fromkeys(key for run in runs.values() for key in run["metrics"])
    tasks = dict.fromkeys(key.split("/")[0] for key in keys if "/" in key)
    rows = []
    for task in tasks:
        names = [n for n in SHOWN if f"{task}/{n}" in keys and not _self_made(task, n, runs)]
        for i, name in enumerate(names):
            shown = "" if i else task.replace("+", " + ")
            cells = [_nothing(runs, f"{task}/{name}"), *_cells(runs, f"{task}/{name}")]
            rows.append(((shown, table.metric(name).heading), cells))
    sizes = [Cell(f"{run['parameters']:,}") for run in runs.values()]
    rows.append((("size", "parameters"), [Cell(), *sizes]))
    if any(run["bits"] for run in runs.values()):
        bits = [Cell(f"{run['bits']:,}" if run["bits"] else table.DASH) for run in runs.values()]
        rows.append((("", "mask bits per task"), [Cell(), *bits]))
    times = [Cell(f"{run['metrics']['seconds']['mean'] / 60:.1f}") for run in runs.values()]
    rows.append((("training", "minutes"), [Cell(), *times]))
    return Grid(title, ("task", "metric"), (NOTHING, *runs), rows)


def _self_made(task: str, name: str, runs: Mapping[str, Mapping]) -> bool:
    styles = {style for run in runs.values() for style in run["styles"]}
    return bool(styles & set(task.split("+"))) and name in TO_TARGET


def _cells(runs: Mapping[str, Mapping], key: str) -> list[Cell]:
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


def _nothing(runs: Mapping[str, Mapping], key: str) -> Cell:
    values = (run["metrics"].get(key + table.BASELINE) for run in runs.values())
    value = next(filter(None, values), None)
    return Cell(table.metric(key.split("/")[-1]).format(value["mean"])) if value else Cell()


def _published(title: str, runs: Mapping[str, Mapping]) -> Grid:
    rows = []
    for key in dict.fromkeys(key for run in runs.values() for key in run):
        task, _, name = key.rpartition("/")
        values = [run.get(key) for run in runs.values()]
        texts = [
            table.DASH if v is None else f"{v:,}" if isinstance(v, int) else f"{v:.3f}"
            for v in values
        ]
        names = (task.replace("+", " + "), table.metric(name).heading)
        rows.append((names, [Cell(text) for text in texts]))
    return Grid(title, ("task", "metric"), tuple(runs), rows)


def _legend(done: Mapping) -> str:
    runs = done["runs"].values()
    seeds = sorted({seed for run in runs for seed in run["seeds"]})
    spread = "; ± is the standard deviation over seeds" if len(seeds) > 1 else ""
    data, hardware = (" / ".join({run[key]: 0 for run in runs}) for key in ("data", "hardware"))
    features = next((run["frechet"] for run in runs if run["frechet"]), "")
    return (
        f"Bold: the best. {table.DASH}: not possible or not measured. Seeds "
        f"{', '.join(map(str, seeds))}{spread}. Measured on {data}; {hardware}. "
        + (f"Fréchet distance between features: {features}. " if features else "")
        + f"Commit {done['commit']}: {done['command']}"
    )


def _draw(config: ConfigDict, workdir: Path, names: list[str]) -> None:
    """All runs of a table on the same images, and the first one's own figures."""
    shown = {name: _pictures(config, workdir, name) for name in names}
    for title, columns in config.tables.items():
        chosen = [name for name in columns if name in shown]
        tasks = dict.fromkeys(task for name in chosen for task in shown[name])
        for kind, some in (
            ("tasks", [t for t in tasks if "+" not in t]),
            ("combined", [t for t in tasks if "+" in t]),
        ):
            rows = [(task, _row(task, chosen, shown)) for task in some]
            if rows:
                file = f"runs_{kind}_{title.lower().replace(' ', '_')}.png"
                figures.task_grid(workdir / "figures" / file, rows, title)

    first = folder_of(workdir, names[0], config.seeds[0]) / "figures"
    for path in first.glob("*.png"):
        if not path.stem.startswith("curves"):
            shutil.copyfile(path, workdir / "figures" / f"{path.stem}_of_{names[0]}.png")


def _row(task: str, names: list[str], shown: Mapping) -> dict[str, list]:
    """Input, target and every run's output of the first image."""
    having = [name for name in names if task in shown[name]]
    first = shown[having[0]][task]
    given = {k: first[k][:2] for k in ("input", "target") if k in first}
    return given | {name: shown[name][task]["output"][:2] for name in having}


def _pictures(config: ConfigDict, workdir: Path, name: str) -> dict[str, dict[str, np.ndarray]]:
    """task -> kind -> images, after the run's last stage, of its first seed that is done."""
    runs = members(config)
    for seed in config.seeds:
        folder, options = Workdir(folder_of(workdir, name, seed)), runs[name, seed]
        if folder.is_done(options):
            break
    shown: dict[str, dict] = {}
    for key, images in folder.evaluation(options.schedule[-1])[1].items():
        task, _, kind = key.rpartition("/")
        shown.setdefault(task, {})[kind] = images
    return shown
