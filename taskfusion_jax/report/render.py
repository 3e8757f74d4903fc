"""From the evaluations in a run's folder to `results.json`, figures, table and report."""

import numpy as np
from rich.console import Console

from taskfusion_jax.engine.files import read_json, write_json
from taskfusion_jax.engine.writers import read_metrics
from taskfusion_jax.mask_study import study
from taskfusion_jax.metrics.continual import ALL, stream_metrics
from taskfusion_jax.report import figures
from taskfusion_jax.report.continual import more_grids
from taskfusion_jax.report.html import write_report
from taskfusion_jax.report.masks import zeros_figure
from taskfusion_jax.report.predictions import predictions_figure
from taskfusion_jax.report.stream import matrix_figure, prompts_figure
from taskfusion_jax.report.table import results_table, rich_table
from taskfusion_jax.stages import learnt_in
from taskfusion_jax.workdir import Workdir


def write_results(experiment, folder: Workdir) -> None:
    """Writes `results.json`, all figures and `report.html` from the stages evaluated so far.

    Args:
      experiment: the run's experiment.
      folder: the run's folder, which must hold at least one evaluation.
    """
    config, metrics, sweeps, shown, done, matrix = experiment.config, {}, {}, {}, {}, {}
    for stage in experiment.stages:
        found = folder.evaluation(stage.name)
        if found is None:
            continue
        done, pictures = found
        # Of all classes at once only the last stage's numbers count.
        metrics = {k: x for k, x in metrics.items() if not k.startswith(f"{ALL}/")}
        metrics |= done["metrics"]
        matrix[stage.name] = done
        sweeps |= done["sweeps"]
        for key, images in pictures.items():
            task, _, kind = key.rpartition("/")
            combined = "+" in task
            label = stage.options.combine if combined and kind == "output" else kind
            shown.setdefault(task, {})[label] = images
    alike = _alike(matrix, done["data_of"])
    metrics |= stream_metrics(alike, learnt_in(config))
    results = {
        "name": config.name,
        "command": done["command"],
        "commit": done["commit"],
        "seed": config.seed,
        "data": done["data"],
        "data_of": done["data_of"],
        "hardware": done["hardware"],
        "steps": done["step"],
        "seconds": done["seconds"],
        "frechet": done["frechet"],
        "metrics": metrics,
        "matrix": alike,
        "sweeps": sweeps,
        "prompts": done["prompts"],
    }
    if experiment.has_masks and folder.tasks.exists():
        results["masks"] = study(folder.tasks, experiment.method.base_name)
        zeros_figure(folder.figures / "zeros.png", results["masks"])
    folder.report.unlink(missing_ok=True)  # written last, it says that all this is whole
    write_json(folder.results, results)
    _draw(experiment, folder, shown, sweeps)
    matrix_figure(folder.figures / "matrix.png", alike)
    prompts_figure(folder.figures / "prompts.png", done["prompts"])
    told = {task: images for task, images in shown.items() if "scores" in images}
    predictions_figure(folder.figures / "predictions.png", told, done["labels"])
    write_report(folder.path)


def _alike(evaluations: dict[str, dict], data_of: dict[str, str]) -> dict[str, dict]:
    """Stage -> metrics, of the stages that were measured on the same images as the last one."""
    return {
        stage: done["metrics"]
        for stage, done in evaluations.items()
        if all(data_of.get(task) == images for task, images in done["data_of"].items())
    }


def _draw(experiment, folder: Workdir, shown: dict, sweeps: dict) -> None:
    folder.figures.mkdir(exist_ok=True)
    single = [name for name in shown if "+" not in name and "scores" not in shown[name]]
    combined = [name for name in shown if "+" in name]
    columns = ("input", "target", "output")
    rows = []
    for name in single:
        images = {column: shown[name].get(column, ()) for column in columns}
        if name in experiment.paintings:
            painting = np.asarray(experiment.paintings[name][0])
            images["painting"] = [_square(painting)] * len(images["output"])
        rows.append((name, images))
    if rows:
        figures.task_grid(folder.figures / "tasks.png", rows)
    if combined:
        ways = ("M1", "M2", "M3", "M4")
        rows = []
        for name in combined:
            columns = ("input", "target", *name.split("+"), "in turn", *ways)
            rows.append((name, {c: shown[name][c] for c in columns if c in shown[name]}))
        figures.combined_grid(folder.figures / "combined.png", rows)
    if sweeps:
        rows = [(n, s["strengths"], shown[n]["sweep"], s["distances"]) for n, s in sweeps.items()]
        figures.strength_sweep(folder.figures / "strengths.png", rows)
    for name in combined:
        if "pair" in shown[name]:
            grid = shown[name]["pair"]
            strengths = np.linspace(0, 1, len(grid)).tolist()
            path = folder.figures / f"pair_{name}.png"
            figures.pair_sweep(path, tuple(name.split("+")), strengths, grid)
    records = read_metrics(folder.path / "metrics.jsonl")
    if records:
        figures.curves(folder.figures / "curves.png", records)


def _square(image: np.ndarray) -> np.ndarray:
    side = min(image.shape[:2])
    return image[:side, :side]


def show_results(folder: Workdir, console: Console) -> None:
    """Prints the final table and where the report lies."""
    results = read_json(folder.results)
    console.print(results_table(results))
    for grid in more_grids(results):
        console.print(rich_table(grid))
    console.print(f"Report: {folder.path / 'report.html'}", soft_wrap=True)
