"""`report.html`: one self-contained page that tells what a run learnt and how well."""

import base64
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from taskfusion_jax.engine.files import read_json, write_text
from taskfusion_jax.errors import UserError
from taskfusion_jax.report import table
from taskfusion_jax.report.continual import more_grids
from taskfusion_jax.report.masks import LEGEND
from taskfusion_jax.report.page import PAGE

# How each figure is recognised by the beginning of its file's name, its title, and what to see.
FIGURES = {
    "tasks": (
        "What each task does",
        "A task vector, one number per task, says what to do. With FiLM it sets a scale and a "
        "shift for each feature channel of one network whose weights are the same in all rows; "
        "other methods choose parameters by it, such as a mask on the weights. Compare each output "
        "with its target. A style has no target: the output should keep what the input shows "
        "and take its colours and strokes from the painting.",
    ),
    "strengths": (
        "A task at rising strength",
        "The number above a column is what the task vector holds for the task: 0 asks for the "
        "image as it is, 1 for the whole task. Only 0 and 1 were trained; everything between is "
        "the network's own. Look for a smooth change without sudden jumps: the bar below each "
        "image, its distance to the output at full strength, should shrink steadily.",
    ),
    "combined": (
        "Two tasks at once",
        "Here the task vector asks for two tasks together. M1 has trained single tasks only and "
        "is asked for both at test time; M2 has trained on the sum of both tasks' losses; M3 has "
        "been shown images to which both tasks were applied; M4 has learnt to do at once what it "
        "does one after the other. Compare each with the target: does "
        "it do both tasks, or only one, or something between?",
    ),
    "runs": (
        "All runs on the same images",
        "Every column is a run of its own, on the same test images. Compare each with the target, "
        "and with its neighbours.",
    ),
    "end": (
        "The same at the end of each run",
        "What became of each task after all later ones were learnt. Compare with the figure above: "
        "a run that forgets does something else here, and one that does not shows the very same.",
    ),
    "quality": (
        "Quality against size",
        "One point per run: how well it does a task just after learning it, and how much the task "
        "adds to what is kept. Best are runs to the left, and at the height that the arrow says.",
    ),
    "budget": (
        "Accuracy against parameters",
        "One point per run: mean accuracy just after each task was learnt, and how much a task "
        "adds, in percent of what all tasks share. Bars are standard deviations over seeds. Best "
        "are runs to the left and high up.",
    ),
    "predictions": (
        "What images are taken for",
        "Test images of each task with the class named and how surely; in red where another would "
        "have been right.",
    ),
    "prompts": (
        "Which prompts images pick",
        "A row per task, a column per prompt of the pool: the share of the picks of its test "
        "images. Tasks that pick alike share what they learn; tasks that pick apart do not "
        "disturb each other.",
    ),
    "matrix": (
        "Every task after every stage",
        "A row per task, a column per stage. From the stage that teaches it on, a row that keeps "
        "its number is a task that is not forgotten.",
    ),
    "zeros": (
        "What the masks leave out",
        "The share of weights that each task's mask sets to zero, layer by layer from the image "
        "to the output.",
    ),
    "pair": (
        "Two tasks, each at its own strength",
        "One task grows stronger downwards, the other to the right. The top left corner asks for "
        "the image as it is, the bottom right one for both tasks in full; the inside of the square "
        "was never trained. Look for a gradual change along every row and every column.",
    ),
    "curves": (
        "How training went",
        "One panel per quantity, one colour per task. Faint lines are single measurements, strong "
        "ones running means; a dotted line is the same quantity for the untouched input. An "
        "upright line marks the beginning of a stage. Wide ranges have a logarithmic axis.",
    ),
}
CSS_PIXELS = 0.69  # shown size of a figure's pixel: sharp on dense screens, the same in all figures


def write_report(workdir: str | Path) -> Path:
    """Writes `workdir/report.html` from whatever the folder holds, and returns its path.

    Reads `results.json`, `config.json` and `figures/*.png`; what is missing is named in the
    report. The page needs no network and no other file, and appears whole or not at all.
    Raises UserError if there is no such folder or a JSON file in it cannot be read.
    """
    workdir = Path(workdir)
    if not workdir.is_dir():
        raise UserError(f"{workdir} is no folder: nothing to report on")
    results, config = _json(workdir / "results.json"), _json(workdir / "config.json")
    figures = _figures(workdir / "figures")
    return _write(
        workdir,
        results,
        figures,
        kind="report of a run",
        name=results.get("name") or config.get("name") or workdir.resolve().name,
        intro="",
        steps=results.get("steps"),
        duration=duration(results.get("seconds")),
        single=_tasks(results, combined=False),
        combined=_tasks(results, combined=True),
        grids=[*table.grids(results), *more_grids(results)],
        legend=" ".join([table.legend(results, "Bold"), *([LEGEND] if "masks" in results else [])]),
        config=json.dumps(config, indent=2, ensure_ascii=False) if config else "",
        absent=_absent(workdir, results, figures),
    )


def write_comparison_report(
    workdir: Path, done: Mapping, grids: list[table.Grid], legend: str
) -> Path:
    """Writes `workdir/report.html` of a comparison and returns its path.

    Args:
      workdir: its folder, with `figures/*.png`.
      done: the parsed `table.json`.
      grids: its tables.
      legend: how to read them.
    """
    names = ", ".join(done["runs"])
    return _write(
        workdir,
        done,
        _figures(workdir / "figures"),
        kind="comparison of runs",
        name=done["name"],
        intro=f"{len(done['runs'])} runs on the same data: {names}.",
        grids=grids,
        legend=legend,
        config=json.dumps(done["base"], indent=2, ensure_ascii=False),
        absent=[],
    )


def _write(workdir: Path, results: Mapping, figures: list[dict], **parts: Any) -> Path:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    shown = {key: results.get(key) for key in ("command", "data", "hardware", "commit", "seed")}
    page = environment.from_string(PAGE).render(results=shown, figures=figures, **parts)
    write_text(workdir / "report.html", page)
    return workdir / "report.html"


def duration(seconds: float | None) -> str:
    """Returns `2 h 4 min`, `4 min 10 s` or `10 s`; "" for None."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _json(path: Path) -> dict[str, Any]:
    try:
        return read_json(path) if path.exists() else {}
    except ValueError as error:
        raise UserError(f"{path} is no JSON file ({error}): remove it or mend it") from error


def _tasks(results: Mapping, combined: bool) -> list[str]:
    keys = [key.split("/")[0] for key in results.get("metrics") or {} if "/" in key]
    return [task for task in dict.fromkeys(keys) if ("+" in task) == combined]


def _figures(folder: Path) -> list[dict[str, Any]]:
    """Every PNG file as the page needs it, in the order of FIGURES, unknown ones last."""
    order = list(FIGURES)
    kinds = {path: _kind(path) for path in sorted(folder.glob("*.png"))}
    ranked = sorted(kinds, key=lambda path: order.index(k) if (k := kinds[path]) else len(order))
    return [_figure(path, kinds[path]) for path in ranked]


def _kind(path: Path) -> str:
    return next((kind for kind in FIGURES if path.stem.startswith(kind)), "")


def _figure(path: Path, kind: str) -> dict[str, Any]:
    title, caption = FIGURES.get(kind, (path.stem.replace("_", " "), ""))
    about = path.stem.removeprefix(kind).lstrip("_").replace("_of_", " of ") if kind else ""
    about = about.removeprefix("of_").replace("+", " + ")
    with Image.open(path) as image:
        width, height = image.size
        smaller = io.BytesIO()  # a tenth of a PNG file's size
        image.convert("RGB").save(smaller, "JPEG", quality=90, subsampling=0)
    return {
        "kind": kind,
        "title": f"{title}: {about}" if about else title,
        "caption": caption,
        "width": width,
        "height": height,
        "shown": round(width * CSS_PIXELS),
        "data": base64.b64encode(smaller.getvalue()).decode(),
    }


def _absent(workdir: Path, results: Mapping, figures: list[dict]) -> list[str]:
    files = [name for name in ("results.json", "config.json") if not (workdir / name).exists()]
    expected = {"tasks", "strengths", "curves"}
    if results.get("sweeps") == {}:  # not every method has strengths
        expected -= {"strengths"}
    if _tasks(results, combined=True):
        expected |= {"combined", "pair"}
    kinds = {figure["kind"] for figure in figures}
    titles = [FIGURES[kind][0] for kind in FIGURES if kind in expected - kinds]
    return [*files, *(f"the figure “{title}”" for title in titles)]
