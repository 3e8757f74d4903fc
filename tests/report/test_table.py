"""Numbers land in the right cells, with the right arrows and marks."""

import io
import math

import pytest
from rich.console import Console

from taskfusion_jax.report.table import DASH, grids, legend, metric, results_table, to_markdown

RESULTS = {
    "frechet": "mean-pooled VGG16 relu2_2",
    "metrics": {
        "reconstruction/psnr": 30.0,
        "reconstruction/psnr_identity": 100.0,
        "restoration/psnr": 24.123,
        "restoration/psnr_identity": 20.5,
        "restoration/mse": 0.02,
        "restoration/mse_identity": 0.01,
        "restoration/sharpness": 7.0,
        "style_1/style_loss": 3.1e-5,
        "style_1/content_loss": 1.5,
        "style_1/content_loss_identity": 0.0,
        "restoration+style_1/M3/psnr": 22.0,
        "restoration+style_1/M3/psnr_identity": 16.0,
        "restoration+style_1/M1/psnr": 15.0,
        "restoration+style_1/M1/psnr_identity": 16.0,
        "restoration+style_1/M1/frechet": 10.0,
        "restoration+style_1/M3/frechet": 20.0,
        "restoration+style_1/M2/ssim": math.nan,
        "restoration+style_1/M3/ssim": 0.5,
    },
}


def cell(grid, row, heading):
    return grid.rows[row][1][grid.headings.index(heading)]


def printed(results, width):
    console = Console(file=io.StringIO(), width=width, no_color=True)
    console.print(results_table(results))
    return console.file.getvalue()


def test_single_tasks():
    grid, style, _ = grids(RESULTS)
    assert grid.title == "Single tasks"
    assert grid.headings == ("PSNR dB ↑", "MSE ↓", "sharpness")
    assert [names for names, _ in grid.rows] == [("reconstruction",), ("restoration",)]
    better = cell(grid, 1, "PSNR dB ↑")
    assert (better.plain, better.verdict) == ("24.12 (20.50)", "better")
    assert cell(grid, 1, "MSE ↓").verdict == "worse"
    assert cell(grid, 1, "sharpness").plain == "7"
    assert cell(grid, 0, "MSE ↓").plain == DASH
    assert style.headings == ("style loss ↓", "content loss ↓")
    assert cell(style, 0, "style loss ↓").plain == "3.10e-5"


def test_nothing_is_worse_than_a_perfect_baseline():
    grid, style, _ = grids(RESULTS)
    assert cell(grid, 0, "PSNR dB ↑").verdict == ""
    assert cell(style, 0, "content loss ↓").verdict == ""


def test_combined_tasks_mark_the_best_method_of_each_row():
    grid = grids(RESULTS)[-1]
    assert grid.headings == ("M1", "M2", "M3")
    rows = {names[1]: cells for names, cells in grid.rows}
    assert grid.rows[0][0][0] == "restoration + style_1"
    assert grid.rows[1][0][0] == ""
    assert [c.best for c in rows["PSNR dB ↑"]] == [False, False, True]
    assert [c.verdict for c in rows["PSNR dB ↑"]] == ["worse", "", "better"]
    assert [c.best for c in rows["Fréchet distance ↓"]] == [True, False, False]
    assert [c.text for c in rows["SSIM ↑"]] == [DASH, DASH, "0.500"]
    assert not any(c.best for c in rows["SSIM ↑"])


def test_equal_methods_are_not_marked():
    metrics = {"a+b/M1/psnr": 20.0, "a+b/M3/psnr": 20.0}
    (grid,) = grids({"metrics": metrics})
    assert not any(c.best for c in grid.rows[0][1])


@pytest.mark.parametrize("width", [80, 120])
def test_plain_log_fits_and_cuts_no_number(width):
    many = {
        f"{task}/{name}{suffix}": 0.123
        for task in ("reconstruction", "segmentation")
        for name in ("psnr", "ssim", "mse", "iou", "iou_image", "frechet")
        for suffix in ("", "_identity")
    }
    text = printed({"metrics": RESULTS["metrics"] | many}, width)
    assert "…" not in text and "\x1b" not in text
    assert max(map(len, text.splitlines())) <= width
    assert "22.00*" in text


def test_colours_on_a_terminal():
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system="standard")
    console.print(results_table(RESULTS))
    text = console.file.getvalue()
    assert "\x1b[32m24.12" in text.replace(" ", "")
    assert "\x1b[1;32m22.00*" in text


def test_markdown():
    lines = to_markdown(RESULTS | {"metrics": RESULTS["metrics"] | {"a|b/psnr": 1.0}}).splitlines()
    row = f"| restoration + style_1 | PSNR dB ↑ | 15.00 (16.00) | {DASH} | **22.00** (16.00) |"
    assert row in lines
    assert any(line.startswith(r"| a\|b |") for line in lines)


def test_legend_names_the_features_and_the_mark():
    assert "mean-pooled VGG16 relu2_2" in legend(RESULTS, "Bold")
    assert "Bold: the best method" in legend(RESULTS, "Bold")
    assert "Bold" not in legend({"metrics": {"a/psnr": 1.0}}, "Bold")


@pytest.mark.parametrize("results", [{}, {"metrics": None}, {"metrics": {}}])
def test_without_metrics(results):
    assert grids(results) == []
    assert "No metrics yet" in printed(results, 80)
    assert "No metrics yet" in to_markdown(results)


def test_numbers_as_text():
    assert metric("psnr").format(24.126) == "24.13"
    assert metric("psnr").format(math.inf) == "∞"
    assert metric("psnr").format(None) == metric("psnr").format(math.nan) == DASH
    assert metric("frechet").format(12345.6) == "12346"
    assert metric("frechet").format(0) == "0"
