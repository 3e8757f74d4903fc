"""Tables and a figure of masks, from the numbers of `mask_study.study`."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from taskfusion_jax.report.figures import COLOURS, LOOK
from taskfusion_jax.report.sheet import MUTED, RULE
from taskfusion_jax.report.table import DASH, Cell, Grid

LEGEND = (
    "Similarity: share of equal values of two masks; the base's is all ones. Entropy: bits per "
    "weight when the share of each value in each layer is known. Difference: the exclusive or with "
    "the most similar earlier task's mask. Low rank: energy in the largest eighth of the singular "
    "values of each layer's mask less its mean; random: the same values in random places. Bold: "
    "the fewest bytes."
)
_PLACES = {"encoder": 0, "down": 0, "patch": 0, "decoder": 2, "up": 2, "head": 3, "out": 3}
"""In which order an image passes layers whose names begin so; all others lie between (1)."""


def similarity_grid(study: Mapping) -> Grid:
    """Every two tasks: a lower triangle, the base first (paper 003, table 3)."""
    tasks = list(study["tasks"])
    columns = [study["base"], *tasks[:-1]]
    rows = []
    for task in tasks:
        shares = study["similarity"][task]
        cells = [Cell(f"{shares[other]:.4f}") if other in shares else Cell() for other in columns]
        rows.append(((task,), cells))
    return Grid("Similarity of masks", ("task",), tuple(columns), rows)


def compression_grid(study: Mapping) -> Grid:
    """A row per task: how many zeros, and how few bits and bytes its mask can take."""
    headings = ("zeros %", "entropy", "bytes", "zstd", "lzma", "nearest")
    headings += ("entropy of difference", "zstd of difference", "low rank %", "random %")
    rows = [((task,), _compression(numbers)) for task, numbers in study["tasks"].items()]
    return Grid("Compression of masks", ("task",), headings, rows)


def _compression(numbers: Mapping) -> list[Cell]:
    """Cells of the headings above."""
    apart = numbers["difference"] or {}
    counts = {**numbers["bytes"], "difference": apart.get("zstd")}
    fewest = min(count for count in counts.values() if count is not None)
    counted = {
        key: Cell() if count is None else Cell(f"{count:,}", best=count == fewest)
        for key, count in counts.items()
    }
    return [
        Cell(_percent(numbers["zeros"])),
        Cell(f"{numbers['entropy']:.4f}"),
        *(counted[key] for key in ("packed", "zstd", "lzma")),
        Cell(apart.get("task", DASH)),
        Cell(f"{apart['entropy']:.4f}" if apart else DASH),
        counted["difference"],
        *(Cell(_percent(numbers["low_rank"][key])) for key in ("energy", "random")),
    ]


def _percent(share: float | None) -> str:
    return DASH if share is None else f"{100 * share:.1f}"


def zeros_figure(path: str | Path, study: Mapping) -> None:
    """Draws the share of zeros of each layer: a panel per task (paper 003, figures 4 to 8).

    Layers stand in the order in which an image passes them, a colour per part of the network.
    Makes the folder of `path` and replaces an older file.
    """
    layers = short_names(study["layers"])
    parts = list(dict.fromkeys(part for part, _ in layers.values()))
    colours = {part: COLOURS[i % len(COLOURS)] for i, part in enumerate(parts)}
    tasks = study["tasks"]
    with matplotlib.rc_context(LOOK):
        shown = [short for _, short in layers.values()]
        width, below = 1.1 + 0.34 * len(layers), 0.5 + 0.085 * max(map(len, shown))
        size = max(5.0, width), below + 1.6 * len(tasks)
        figure = Figure(figsize=size, layout="constrained", dpi=140)
        figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06)
        axes = figure.subplots(len(tasks), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axis, (task, numbers) in zip(axes, tasks.items(), strict=True):
            percents = [100 * numbers["zeros_per_layer"][name] for name in layers]
            _bars(axis, percents, [colours[part] for part, _ in layers.values()])
            _title(axis, task, numbers["zeros"])
        if len(parts) > 1:
            _legend(figure, colours)
        axes[-1].set_xticks(range(len(layers)), shown, rotation=90, fontsize=9)
        figure.supylabel("share of zeros", fontsize=10, color=MUTED)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, facecolor="white")


def _bars(axis: Axes, percents: list[float], colours: list[str]) -> None:
    bars = axis.bar(range(len(percents)), percents, width=0.74, color=colours, zorder=2)
    apart = {"facecolor": "white", "edgecolor": "none", "pad": 0.3}  # from the line at 100 %
    axis.bar_label(bars, fmt="{:.0f}", fontsize=7.5, color=MUTED, padding=1.5, bbox=apart)
    axis.set_xlim(-0.7, len(percents) - 0.3)
    axis.set_ylim(0, 100)
    axis.set_yticks((0, 50, 100), ("0 %", "50 %", "100 %"), fontsize=9)
    axis.grid(axis="y", color=RULE, lw=0.6, zorder=0)
    axis.tick_params(length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)


def _title(axis: Axes, task: str, zeros: float) -> None:
    axis.set_title(task, loc="left", fontsize=11, pad=14)
    overall = f"{_percent(zeros)} % zeros overall"
    axis.set_title(overall, loc="right", fontsize=9, color=MUTED, pad=14)


def _legend(figure: Figure, colours: Mapping[str, str]) -> None:
    handles = [Patch(color=colour, label=part) for part, colour in colours.items()]
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=len(handles),
        handlelength=0.9,
        handleheight=0.9,
        columnspacing=1.4,
        frameon=False,
    )


def short_names(layers: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Layer -> (part of the network or "", short name), in the order an image passes them.

    A U-Net's `encoder/level_0/conv_1/kernel` becomes ("encoder", "conv1_2"), its
    `decoder/up_0/kernel` ("decoder", "up-conv1"); its decoder runs from the deepest level up.
    """
    return {name: _short(name) for name in sorted(layers, key=_place)}


def _place(name: str) -> tuple:
    """Sorts by part, the output last, and a U-Net's decoder from the deepest level up."""
    part, *rest = name.split("/")
    natural = [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", name)]
    level = re.match(r"decoder/(up|level)_(\d+)/(kernel|conv_\d+/kernel)$", name)
    climb = (-int(level[2]), level[1] != "up") if level else (0, True)
    return _PLACES.get(part.split("_")[0], 1), "out" in rest, *climb, *natural


def _short(name: str) -> tuple[str, str]:
    name = re.sub("(/conv)?/kernel$", "", name)
    part, _, rest = name.partition("/")
    if not rest or re.search(r"\d", part):
        return "", name
    if level := re.fullmatch(r"level_(\d+)/conv_(\d+)", rest):
        return part, f"conv{int(level[1]) + 1}_{int(level[2]) + 1}"
    if up := re.fullmatch(r"up_(\d+)", rest):
        return part, f"up-conv{int(up[1]) + 1}"
    return part, rest
