"""The figures of a comparison: all its runs on the same images, and what each adds for what."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from taskfusion_jax.comparison import Comparison
from taskfusion_jax.report import figures
from taskfusion_jax.report.continual import main_metric, quality_figure
from taskfusion_jax.report.masks import zeros_figure
from taskfusion_jax.report.stream import budget_figure, stream_grid
from taskfusion_jax.stages import learnt_in


def draw_comparison(compared: Comparison, runs: Mapping[str, Mapping]) -> None:
    """All runs of a table on the same images, and the first one's own figures.

    Args:
      compared: the comparison.
      runs: those that are done, as in `table.json`.
    """
    seeds = {name: run["seeds"] for name, run in runs.items()}
    folder = compared.path / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    seen_by = {seed: sum(seed in s for s in seeds.values()) for s in seeds.values() for seed in s}
    most = max(seen_by, key=seen_by.get)  # other seeds have other images
    having = [name for name, s in seeds.items() if most in s]
    shown = {name: _pictures(compared, name, most) for name in having}
    ends = {name: _pictures(compared, name, most, end=True) for name in having}
    for title, columns in compared.config.tables.items():
        chosen = [name for name in columns if name in shown]
        if any(compared.members[name, most].evaluate.only_learnt for name in chosen):
            _draw_end(folder, title, {name: ends[name] for name in chosen})
        tasks = dict.fromkeys(task for name in chosen for task in shown[name])
        for kind, some in (
            ("tasks", [t for t in tasks if "+" not in t]),
            ("combined", [t for t in tasks if "+" in t]),
        ):
            rows = [(task, _row(task, chosen, shown)) for task in some]
            if rows:
                file = f"runs_{kind}_{title.lower().replace(' ', '_')}.png"
                figures.task_grid(folder / file, rows, title)

    for path in folder.glob("*_of_*.png"):  # of a run that was the first one then
        path.unlink()
    for name, run in runs.items():
        if run["masks"]:
            zeros_figure(folder / f"zeros_of_{name}.png", run["masks"])
    if points := _quality(runs):
        quality_figure(folder / "quality.png", points)
    listed = [name for columns in compared.config.tables.values() for name in columns]
    streams = {name: runs[name] for name in dict.fromkeys(listed) if name in runs}
    if stream_grid(streams):
        budget_figure(folder / "budget.png", streams)
    first = next(iter(shown))
    for path in compared.folder(first, most).figures.glob("*.png"):
        if not path.stem.startswith("curves"):
            shutil.copyfile(path, folder / f"{path.stem}_of_{first}.png")


def _quality(runs: Mapping[str, Mapping]) -> dict[str, dict[str, tuple]]:
    """task -> run -> (MiB that it adds, main metric as learnt, its name), where several do."""
    points: dict[str, dict] = {}
    for name, run in runs.items():
        for task, size in run["bytes_per_task"].items():
            metric = main_metric(task, run["metrics"])
            if metric and size:
                value = run["metrics"][f"{task}/{metric}"]["mean"]
                points.setdefault(task, {})[name] = size / 2**20, value, metric
    return {task: values for task, values in points.items() if len(values) > 1}


def _row(task: str, names: list[str], shown: Mapping) -> dict[str, list]:
    """Input, target and every run's output of the first two images."""
    having = [name for name in names if task in shown[name]]
    first = shown[having[0]][task]
    given = {k: first[k][:2] for k in ("input", "target") if k in first}
    return given | {name: shown[name][task]["output"][:2] for name in having}


def _pictures(
    compared: Comparison, name: str, seed: int, end: bool = False
) -> dict[str, dict[str, np.ndarray]]:
    """task -> kind -> images, after the stage that taught the task, or after the run's last."""
    shown: dict[str, dict] = {}
    options, folder = compared.members[name, seed], compared.folder(name, seed)
    for stage in options.schedule:
        own = {task for task, taught in learnt_in(options).items() if taught == stage}
        last = stage == options.schedule[-1]
        if not last and (end or not options.evaluate.only_learnt):
            continue
        before = set(shown)
        for key, images in folder.evaluation(stage)[1].items():
            task, _, kind = key.rpartition("/")
            if task in own or (last and (end or task not in before)):
                shown.setdefault(task, {})[kind] = images
    return {task: kinds for task, kinds in shown.items() if "output" in kinds}


def _draw_end(folder: Path, title: str, shown: Mapping[str, Mapping]) -> None:
    tasks = dict.fromkeys(task for pictures in shown.values() for task in pictures)
    rows = [(task, _row(task, list(shown), shown)) for task in tasks if "+" not in task]
    figures.task_grid(folder / f"end_{title.lower().replace(' ', '_')}.png", rows, title)
