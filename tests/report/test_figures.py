"""Figures hold what they were given, where it belongs."""

import math

import matplotlib
import numpy as np
import pytest
from PIL import Image

from taskfusion_jax.report import figures
from taskfusion_jax.report.sheet import CELL, GAP

RED, BLUE = np.zeros((8, 8, 3), np.float32), np.zeros((8, 8, 3), np.uint8)
RED[..., 0], BLUE[..., 2] = 1.5, 255  # out of range: clipped


def read(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def cells(picture, colour):
    return (picture == colour).all(-1).sum() / CELL**2


def test_task_grid_holds_every_image(tmp_path):
    rows = [
        ("restoration", {"input": [RED] * 4, "output": [BLUE] * 4, "target": [BLUE] * 4}),
        ("style_1", {"input": np.stack([RED] * 2), "output": [BLUE] * 2, "target": ()}),
    ]
    figures.task_grid(tmp_path / "new" / "tasks.png", rows, title="Six tasks")
    picture = read(tmp_path / "new" / "tasks.png")
    assert cells(picture, (255, 0, 0)) == pytest.approx(6)
    assert cells(picture, (0, 0, 255)) == pytest.approx(10)


def test_grid_grows_with_columns_and_rows(tmp_path):
    def size(columns, rows):
        images = {f"M{i}": [RED] for i in range(columns)}
        figures.combined_grid(tmp_path / "a.png", [("a+b", images)] * rows)
        with Image.open(tmp_path / "a.png") as image:
            return np.array(image.size)

    assert (size(3, 1) - size(2, 1)).tolist() == [CELL + GAP, 0]
    assert (size(2, 2) - size(2, 1))[0] == 0
    assert (size(2, 2) - size(2, 1))[1] > CELL


def test_wide_image_keeps_its_shape(tmp_path):
    wide = np.zeros((4, 8, 3), np.uint8) + np.array([0, 0, 255], np.uint8)
    figures.task_grid(tmp_path / "a.png", [("a", {"input": [wide]})])
    assert cells(read(tmp_path / "a.png"), (0, 0, 255)) == pytest.approx(0.5)


def test_strength_sweep_draws_longer_bars_for_larger_distances(tmp_path):
    row = ("style_1", [0, 0.5, 1], [RED] * 3, [0.2, 0.1, math.nan])
    figures.strength_sweep(tmp_path / "a.png", [row])
    accent = (read(tmp_path / "a.png") == (0x00, 0x72, 0xB2)).all(-1)
    assert accent.any(0).sum() == CELL + CELL // 2


def test_pair_sweep_puts_the_first_task_downwards(tmp_path):
    figures.pair_sweep(tmp_path / "a.png", ("a", "b"), [0, 1], [[RED, BLUE], [RED, RED]])
    ys, xs = np.nonzero((read(tmp_path / "a.png") == (0, 0, 255)).all(-1))
    reds_y, reds_x = np.nonzero((read(tmp_path / "a.png") == (255, 0, 0)).all(-1))
    assert xs.min() > reds_x.min()
    assert ys.max() < reds_y.max()


@pytest.mark.parametrize("image", [np.zeros((8, 8)), np.zeros((8, 8, 1)), np.zeros((1, 8, 8, 3))])
def test_other_shapes_are_refused(tmp_path, image):
    with pytest.raises(ValueError, match="H, W, 3"):
        figures.task_grid(tmp_path / "a.png", [("a", {"input": [image]})])


def test_uneven_lists_are_refused(tmp_path):
    with pytest.raises(ValueError):
        figures.task_grid(tmp_path / "a.png", [("a", {"input": [RED], "output": [RED, RED]})])
    with pytest.raises(ValueError):
        figures.strength_sweep(tmp_path / "a.png", [("a", [0, 1], [RED, RED], [0.1])])
    with pytest.raises(ValueError):
        figures.strength_sweep(tmp_path / "a.png", [("a", [0, 0.5, 1], [RED, RED], [0.1, 0.2])])
    with pytest.raises(ValueError):
        figures.pair_sweep(tmp_path / "a.png", ("a", "b"), [0, 1], [[RED, RED], [RED]])


def test_curves_draws_and_leaves_matplotlib_as_it_was(tmp_path):
    before = dict(matplotlib.rcParams)
    records = [
        {
            "step": step,
            "stage": "single" if step < 50 else "combined",
            "loss": 1 / (step + 1),
            "restoration/l2": 0.5,
            "restoration/psnr": math.nan if step == 3 else 20 + step / 10,
            "restoration/psnr_identity": 20.0,
            "note": "no number",
        }
        for step in range(100)
    ]
    figures.curves(tmp_path / "curves.png", records)
    assert read(tmp_path / "curves.png").std() > 0
    assert dict(matplotlib.rcParams) == before


def test_panels_join_tasks_by_quantity_and_skip_what_is_no_number():
    panels = figures._panels(
        [
            {"step": 1, "stage": "a", "loss": 1.0, "x/l2": 2, "y/l2": math.inf, "on": True},
            {"step": 2, "stage": "b", "y/l2": 3.0, "y/l2_identity": 4.0},
        ]
    )
    assert panels == {
        "l2": {("x", False): [(1, 2)], ("y", False): [(2, 3.0)], ("y", True): [(2, 4.0)]},
        "loss": {("", False): [(1, 1.0)]},
    }
    assert list(panels) == ["l2", "loss"]


def test_curves_without_numbers_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no numbers"):
        figures.curves(tmp_path / "curves.png", [{"step": 1, "stage": "a", "loss": math.nan}])
