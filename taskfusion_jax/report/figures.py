"""Figures of a run: images and numbers in, one PNG file out.

An image is float [H, W, 3] in [0, 1] (values outside are clipped) or uint8 [H, W, 3].
Every function makes the folder of `path`, replaces an older file, and raises ValueError
where an image has another shape or the lists of one row differ in length.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from taskfusion_jax.report import table
from taskfusion_jax.report.sheet import (
    ACCENT,
    CELL,
    GAP,
    INK,
    LABEL,
    MUTED,
    NAME,
    NOTE,
    RULE,
    WIDE_GAP,
    Sheet,
)

PER_LINE = 10  # images on one line before the examples of a task go on to the next
GIVEN = ("input", "target", "painting", "content")  # every other column comes from the network

# Okabe and Ito's colours without yellow, which is lost on white; dashes tell further lines apart.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("-", "--", ":", "-.")
LOOK = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.titlecolor": INK,
    "axes.edgecolor": "#9ca3af",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}
SMOOTHED_FROM = 60  # points from which a curve is drawn as a running mean over the raw values


def task_grid(
    path: str | Path, rows: Sequence[tuple[str, Mapping[str, Sequence]]], title: str = ""
) -> None:
    """Draws what each task does: one block per task, its columns side by side per example.

    `rows` holds `(task name, {column name: N images})`; columns without images are left out,
    so a task without a target may show its painting instead.
    """
    sheet = Sheet(title, [name for name, _ in rows])
    header = None
    for name, images in rows:
        columns = {column: list(shown) for column, shown in images.items() if len(shown)}
        examples = list(zip(*columns.values(), strict=True))
        per_line = max(1, PER_LINE // max(1, len(columns)))
        if (labels := [list(columns)] * min(per_line, len(examples))) != header:
            header = labels
            _column_names(sheet, labels)
        sheet.name(name)
        for i in range(0, len(examples), per_line):
            _image_line(sheet, examples[i : i + per_line])
        sheet.y += WIDE_GAP - GAP
    sheet.save(path)


def combined_grid(
    path: str | Path, rows: Sequence[tuple[str, Mapping[str, Sequence]]], title: str = ""
) -> None:
    """Draws combined tasks like `task_grid`; the columns are input, target, M1, M2 and M3."""
    task_grid(path, rows, title)


def strength_sweep(
    path: str | Path, rows: Sequence[tuple[str, Sequence, Sequence, Sequence]], title: str = ""
) -> None:
    """Draws each task at rising strength.

    `rows` holds `(task name, S strengths, S images, S distances)`; a distance is measured to
    the output at full strength, shown as a number and a bar relative to the row's largest.
    """
    sheet = Sheet(title, [*(name for name, *_ in rows), "strength"])
    header = None
    for name, strengths, images, distances in rows:
        if (labels := [f"{strength:g}" for strength in strengths]) != header:
            header = labels
            sheet.text(sheet.left - WIDE_GAP, sheet.y, "strength", LABEL, MUTED, "ra")
            sheet.labels(labels, INK)
        sheet.name(name)
        largest = max((d for d in distances if math.isfinite(d)), default=0)
        bottom = sheet.y
        for (x, image), distance, _ in zip(sheet.across(images), distances, strengths, strict=True):
            bottom = sheet.y + sheet.image(x, sheet.y, image)
            _distance(sheet, x, bottom + 8, distance, largest)
        sheet.y = bottom + 34 + WIDE_GAP
    note = "Below each image: distance to the output at full strength."
    sheet.text(sheet.left, sheet.y - 8, note, NOTE, MUTED)
    sheet.save(path)


def pair_sweep(
    path: str | Path,
    names: tuple[str, str],
    strengths: Sequence[float],
    images: Sequence[Sequence],
    title: str = "",
) -> None:
    """Draws two tasks at S x S strengths: `images[i][j]` has `names[0]` at `strengths[i]`
    (downwards) and `names[1]` at `strengths[j]` (to the right)."""
    down, right = (name.replace("+", " + ") for name in names)
    sheet = Sheet(title, [f"{down}  ↓", *(f"{strength:g}" for strength in strengths)])
    sheet.text(sheet.left, sheet.y, f"{right}  →", NAME, INK)
    sheet.y += 36
    sheet.text(sheet.left - WIDE_GAP, sheet.y, f"{down}  ↓", NAME, INK, "ra")
    sheet.labels([f"{strength:g}" for strength in strengths], MUTED)
    for strength, line in zip(strengths, images, strict=True):
        if len(line) != len(strengths):
            raise ValueError(f"{len(line)} images for {len(strengths)} strengths")
        height = max(sheet.image(x, sheet.y, image) for x, image in sheet.across(line))
        middle = sheet.y + height // 2
        sheet.text(sheet.left - WIDE_GAP, middle, f"{strength:g}", LABEL, MUTED, "rm")
        sheet.y += height + GAP
    sheet.save(path)


def curves(path: str | Path, records: Iterable[Mapping]) -> None:
    """Draws logged numbers over steps: one panel per quantity, one colour per task.

    `records` are flat dicts with "step" and "stage"; a key `task/.../quantity` joins the panel
    of its quantity, `quantity_identity` joins it too, thin, as the do-nothing baseline. Steps
    count on across stages; a vertical rule marks where a stage begins. A panel whose values
    are positive and span more than a factor of 20 is logarithmic.
    Raises ValueError if no record holds a number.
    """
    records = list(records)
    panels = _panels(records)
    if not panels:
        raise ValueError("the records hold no numbers to draw")
    lines = sorted({line for panel in panels.values() for line, _ in panel} - {""})
    styles = {
        line: (COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)])
        for i, line in enumerate(lines)
    }
    styles[""] = INK, "-"
    columns = min(3, len(panels))
    height = math.ceil(len(panels) / columns) * 2.5
    with matplotlib.rc_context(LOOK):
        figure = Figure(figsize=(3.9 * columns, height + 0.5), layout="constrained", dpi=140)
        figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08)
        axes = figure.subplots(math.ceil(len(panels) / columns), columns, squeeze=False).flat
        for axis, (quantity, panel) in zip(axes, panels.items(), strict=False):
            _panel(axis, quantity, panel, styles, _stage_starts(records))
        for axis in list(axes)[len(panels) :]:
            axis.remove()
        if lines:
            _legend(figure, styles)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, facecolor="white")


def _example_starts(sheet: Sheet, examples: Sequence[Sequence]) -> list[int]:
    width = len(examples[0]) * (CELL + GAP) - GAP + WIDE_GAP if examples else 0
    return [sheet.left + i * width for i in range(len(examples))]


def _column_names(sheet: Sheet, examples: Sequence[Sequence[str]]) -> None:
    for left, columns in zip(_example_starts(sheet, examples), examples, strict=True):
        for x, column in sheet.across(columns, left):
            colour = MUTED if column in GIVEN else INK
            sheet.text(x + CELL // 2, sheet.y, column, LABEL, colour, "ma")
    sheet.y += 30


def _image_line(sheet: Sheet, examples: Sequence[Sequence]) -> None:
    heights = [
        sheet.image(x, sheet.y, image)
        for left, images in zip(_example_starts(sheet, examples), examples, strict=True)
        for x, image in sheet.across(images, left)
    ]
    sheet.y += max(heights) + GAP


def _distance(sheet: Sheet, x: int, y: int, distance: float, largest: float) -> None:
    known = math.isfinite(distance)
    sheet.bar(x, y, CELL, RULE)
    if known and largest > 0 and distance > 0:
        sheet.bar(x, y, max(2, round(CELL * distance / largest)), ACCENT)
    sheet.text(x + CELL // 2, y + 10, f"{distance:.3f}" if known else table.DASH, NOTE, MUTED, "ma")


def _panels(records: Sequence[Mapping]) -> dict[str, dict[tuple[str, bool], list]]:
    """{quantity: {(line, is baseline): [(step, value), ...]}} of every number in the records."""
    panels: dict = {}
    for record in records:
        for key, value in record.items():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if key in ("step", "stage") or not number or not math.isfinite(value):
                continue
            line, _, quantity = key.rpartition("/")
            panel = panels.setdefault(quantity.removesuffix("_identity"), {})
            points = panel.setdefault((line, quantity.endswith("_identity")), [])
            points.append((record["step"], value))
    # What belongs to no task, such as the speed, comes last.
    return dict(sorted(panels.items(), key=lambda item: all(not line for line, _ in item[1])))


def _legend(figure: Figure, styles: Mapping) -> None:
    handles = [
        Line2D([], [], color=colour, ls=dash, label=line or "all")
        for line, (colour, dash) in styles.items()
    ]
    inches = 0.5 + 0.08 * max(map(len, styles))  # about the widest entry
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=max(1, int(figure.get_figwidth() / inches)),
        handlelength=1.4,
        columnspacing=1.4,
        frameon=False,
    )


def _stage_starts(records: Sequence[Mapping]) -> list[int]:
    stages = {}
    for record in records:
        stages.setdefault(record.get("stage"), record["step"])
    return list(stages.values())[1:]


def _panel(axis, quantity: str, panel: Mapping, styles: Mapping, stage_starts: list[int]) -> None:
    values = [value for points in panel.values() for _, value in points]
    for (line, is_baseline), points in panel.items():
        steps, ys = np.array(points, dtype=float).T
        colour, dash = styles[line]
        if is_baseline:
            axis.plot(steps, ys, color=colour, ls=(0, (1, 2)), lw=1)
        elif len(steps) < SMOOTHED_FROM:
            axis.plot(steps, ys, color=colour, ls=dash, lw=1.6, marker=".", ms=4)
        else:
            window = len(steps) // 20
            axis.plot(steps, ys, color=colour, lw=0.6, alpha=0.25)
            axis.plot(steps, _running_mean(ys, window), color=colour, ls=dash, lw=1.6)
    for start in stage_starts:
        axis.axvline(start, color=RULE, lw=1, zorder=0)
    if min(values) > 0 and max(values) > 20 * min(values):
        axis.set_yscale("log")
    else:
        axis.yaxis.set_major_locator(MaxNLocator(4))
        axis.yaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_major_locator(MaxNLocator(5))
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
    axis.set_title(table.metric(quantity).heading, loc="left", fontsize=11)
    axis.grid(axis="y", color=RULE, lw=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.02)


def _running_mean(values: np.ndarray, window: int) -> np.ndarray:
    ones = np.ones(window)
    # Near the ends the window holds fewer values: divide by how many there are.
    counts = np.convolve(np.ones_like(values), ones, mode="same")
    return np.convolve(values, ones, mode="same") / counts
