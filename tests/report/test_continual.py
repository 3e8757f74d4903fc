"""Tasks after one another: what tables say of numbers made by hand, and the figure of sizes."""

from types import SimpleNamespace

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from taskfusion_jax.report.comparison_figures import _pictures
from taskfusion_jax.report.continual import as_learnt, main_metric, matrix_grid, quality_figure
from taskfusion_jax.report.figures import COLOURS
from taskfusion_jax.report.table import DASH, metric
from taskfusion_jax.stages import learnt_in


def _config(**stages):
    """stage -> the tasks that it trains."""
    made = {
        name: {"rows": dict.fromkeys(tasks, 2) | {"never": 0}, "replay": 0}
        for name, tasks in stages.items()
    }
    return ConfigDict({"schedule": tuple(stages), "stages": made})


CONFIG = _config(one=["sky"], two=["sea"], three=["land"])
MATRIX = {
    "one": {"sky/miou": 0.5, "sky/accuracy": 0.75},
    "two": {"sky/miou": 0.25, "sky/accuracy": 0.5, "sea/mse": 0.01, "sea/psnr": 20.0},
    "three": {
        "sky/miou": 0.125,
        "sky/accuracy": 0.25,
        "sea/mse": 0.04,
        "sea/psnr": 14.0,
        "land/total_loss": 3.0,
        "land/style_loss": 1.0,
        "sea+land/M1/psnr": 11.0,
    },
}
RESULTS = {"matrix": MATRIX, "metrics": {**MATRIX["three"], "other/psnr": 9.0}}


def test_each_task_as_it_was_learnt_then_after_the_next_and_at_the_end():
    assert as_learnt(RESULTS, CONFIG) == {
        "sky/miou": 0.5,
        "sky/miou after the next task": 0.25,
        "sky/miou at the end": 0.125,
        "sky/accuracy": 0.75,
        "sky/accuracy after the next task": 0.5,
        "sky/accuracy at the end": 0.25,
        "sea/psnr": 20.0,
        "sea/psnr after the next task": 14.0,
        "sea/psnr at the end": 14.0,
        "sea/mse": 0.01,
        "sea/mse after the next task": 0.04,
        "sea/mse at the end": 0.04,
        "land/total_loss": 3.0,
        "land/style_loss": 1.0,
        "sea+land/M1/psnr": 11.0,
        "other/psnr": 9.0,
    }
    assert RESULTS["metrics"]["sky/miou"] == 0.125  # as they were


def test_a_task_counts_as_learnt_when_the_last_stage_taught_it():
    config = _config(one=["sky"], two=["sky", "sea"], three=["land"])
    assert learnt_in(config) == {"sky": "two", "sea": "two", "land": "three"}
    found = as_learnt(RESULTS, config)
    assert found["sky/miou"] == 0.25 and found["sky/miou at the end"] == 0.125
    assert found["sky/miou after the next task"] == 0.125


def test_where_only_the_end_was_measured_it_speaks_for_all():
    results = {"matrix": {"three": MATRIX["three"]}, "metrics": MATRIX["three"]}
    assert as_learnt(results, CONFIG) == MATRIX["three"]


def test_one_measure_speaks_for_a_task():
    keys = ("a/accuracy", "a/miou", "a/psnr", "b/psnr", "b/total_loss", "c/ssim")
    assert [main_metric(task, keys) for task in "abc"] == ["miou", "total_loss", None]


def test_the_matrix_shows_what_was_measured_more_than_once():
    grid = matrix_grid(RESULTS)
    assert grid.headings == ("after one", "after two", "after three")
    rows = {names: [cell.text for cell in cells] for names, cells in grid.rows}
    assert rows == {
        ("sky", "mIoU ↑"): ["0.500", "0.250", "0.125"],
        ("sea", "PSNR dB ↑"): [DASH, "20.00", "14.00"],
    }
    assert matrix_grid({"matrix": {"one": MATRIX["one"]}}) is None
    assert matrix_grid({}) is None  # results of before there was a matrix


@pytest.mark.parametrize("when", ["after the next task", "at the end"])
def test_a_measure_is_judged_alike_whenever_it_was_made(when):
    shown, plain = metric(f"miou {when}"), metric("miou")
    assert shown.heading == f"mIoU {when} ↑"
    assert (shown.best, shown.digits) == (plain.best, plain.digits)


KINDS = ("input", "target", "output")


def _compared(only_learnt):
    """A comparison of one run, whose pictures are the names of their stages."""
    options = _config(one=["sky"], two=["sea"], three=["land"])
    options.evaluate = ConfigDict({"only_learnt": only_learnt})
    tasks = {"one": ["sky"], "two": ["sky", "sea"], "three": ["sky", "sea", "land", "sea+land"]}
    pictures = {
        stage: {f"{task}/{kind}": stage for task in some for kind in KINDS}
        for stage, some in tasks.items()
    }
    folder = SimpleNamespace(evaluation=lambda stage: ({}, pictures[stage]))
    return SimpleNamespace(members={("run", 0): options}, folder=lambda name, seed: folder)


def test_pictures_are_of_the_stage_that_taught_their_task():
    def all_of(**stages):
        return {task.replace("_", "+"): dict.fromkeys(KINDS, s) for task, s in stages.items()}

    end = all_of(sky="three", sea="three", land="three", sea_land="three")
    learnt = all_of(sky="one", sea="two", land="three", sea_land="three")
    assert _pictures(_compared(only_learnt=True), "run", 0) == learnt
    assert _pictures(_compared(only_learnt=True), "run", 0, end=True) == end
    assert _pictures(_compared(only_learnt=False), "run", 0) == end


def _dots(picture, colour):
    """Where the pixels of this colour are, [N, 2] rows and columns."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.argwhere((picture == wanted).all(-1))


@pytest.mark.parametrize(("tasks", "columns", "lines"), [(1, 1, 1), (4, 3, 2)])
def test_quality_is_drawn_against_size(tmp_path, tasks, columns, lines):
    """Up is better here, right is larger; each run has a colour in all panels and the legend."""
    runs = {"masks": (0.1, 0.5, "miou"), "decoder": (20.0, 0.75, "miou")}
    path = tmp_path / "new" / "quality.png"
    quality_figure(path, {f"task {i}": runs for i in range(tasks)})
    with Image.open(path) as image:
        assert image.size == pytest.approx((140 * 3.9 * columns, 140 * 3 * lines), abs=1)
        picture = np.asarray(image.convert("RGB"))
    masks, decoder = (_dots(picture, colour) for colour in COLOURS[:2])
    assert len(masks) == pytest.approx(len(decoder), rel=0.3) and len(masks) > 50 * tasks
    if tasks == 1:
        masks, decoder = (dots[dots[:, 0] < 330] for dots in (masks, decoder))  # no legend
        below, left = (masks - decoder.mean(0)).mean(0) * (1, -1)
        assert below > 100 and left > 100
