"""Tables of a run: from the flat metrics of `results.json` to a terminal, Markdown or HTML.

A key is `task/metric`, `task+task/method/metric`, or either with `_identity` at its end: the
same metric for the untouched input, the do-nothing baseline.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from taskfusion_jax.metrics.image import MSE_FLOOR

DASH = "\N{EN DASH}"
BASELINE = "_identity"
LEGEND = "In brackets: doing nothing on the same images. ↑ higher, ↓ lower is better."


@dataclass(frozen=True)
class Metric:
    """How to show one metric; `best` is its best attainable value, so 0 means lower is better.

    Without `digits`, three significant digits are shown; without `best`, nothing is judged.
    """

    title: str
    unit: str = ""
    best: float | None = None
    digits: int | None = None

    @property
    def heading(self) -> str:
        """Title, unit and an arrow towards the better side, e.g. `PSNR dB ↑`."""
        arrow = "" if self.best is None else "↑" if self.best > 0 else "↓"
        return " ".join(filter(None, (self.title, self.unit, arrow)))

    def format(self, value: float | None) -> str:
        """Returns the number as text; a dash for None and NaN."""
        if value is None or math.isnan(value):
            return DASH
        if math.isinf(value):
            return "∞" if value > 0 else "-∞"
        if self.digits is not None:
            return f"{value:.{self.digits}f}"
        if abs(value) < 1e-9:  # rounding left over where the answer is 0
            return "0"
        if abs(value) < 1e-3:
            return f"{value:.2e}".replace("e-0", "e-")
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"

    def better(self, value: float, other: float) -> bool:
        """Whether `value` lies strictly on the better side of `other`."""
        return value > other if self.best else value < other

    def can_beat(self, baseline: float) -> bool:
        """Whether anything can: for reconstruction, doing nothing is already perfect."""
        return self.best is not None and not math.isclose(baseline, self.best, abs_tol=1e-6)


WAYS = {
    "joint": "all heads at once",
    "by_confidence": "task by confidence",
    "by_keys": "task by keys",
    "by_prototypes": "task by prototypes",
}
"""How classes are told where no task is named; see `protocols`."""

METRICS = {
    "psnr": Metric("PSNR", "dB", best=-10 * math.log10(MSE_FLOOR), digits=2),
    "ssim": Metric("SSIM", best=1, digits=3),
    "lpips": Metric("LPIPS", best=0, digits=3),
    "mse": Metric("MSE", best=0, digits=4),
    "iou": Metric("IoU", best=1, digits=3),
    "miou": Metric("mIoU", best=1, digits=3),
    "accuracy": Metric("accuracy", best=1, digits=3),
    "top_5": Metric("top-5 accuracy", best=1, digits=3),
    "nll": Metric("cross-entropy", "nats", best=0),
    **{
        f"accuracy_{way}": Metric(f"accuracy, {words}", best=1, digits=3)
        for way, words in WAYS.items()
    },
    **{
        f"task_found_{way}": Metric(f"task found, {words}", best=1, digits=3)
        for way, words in WAYS.items()
    },
    "as_learnt": Metric("accuracy as learnt", best=1, digits=3),
    "average_accuracy": Metric("accuracy at the end", best=1, digits=3),
    "forgetting": Metric("forgetting", best=0, digits=3),
    "forward_transfer": Metric("forward transfer", best=1, digits=3),
    "iou_image": Metric("IoU per image", best=1, digits=3),
    "style_loss": Metric("style loss", best=0),
    "content_loss": Metric("content loss", best=0),
    "total_loss": Metric("content + style loss", best=0),
    "frechet": Metric("Fréchet distance", best=0),
    "loss": Metric("loss", best=0),
}


def metric(name: str) -> Metric:
    """Returns what is known of a metric; an unknown one keeps its name and is not judged.

    What follows a blank says when it was measured, such as `miou at the end`.
    """
    known, blank, when = name.partition(" ")
    shown = METRICS.get(known)
    if shown is None:
        return Metric(name.replace("_", " "))
    return replace(shown, title=f"{shown.title} {when}") if blank else shown


@dataclass(frozen=True)
class Cell:
    """One number: its text, its baseline's text ("" if there is none), and how it fares.

    `verdict` is "better" or "worse" than doing nothing, or ""; `best` marks the best of a row.
    """

    text: str = DASH
    baseline: str = ""
    verdict: str = ""
    best: bool = False

    @property
    def plain(self) -> str:
        """`24.10 (20.50)`, without the brackets where there is no baseline."""
        return f"{self.text} ({self.baseline})" if self.baseline else self.text


@dataclass(frozen=True)
class Grid:
    """One table: each row is (its names, its cells), matching `names` and `headings`."""

    title: str
    names: tuple[str, ...]
    headings: tuple[str, ...]
    rows: list[tuple[tuple[str, ...], list[Cell]]]


def grids(results: Mapping) -> list[Grid]:
    """Returns the tables of single tasks and of combined tasks, whichever have numbers.

    Single tasks: a row per task, a column per metric; tasks measured by other metrics get a
    table of their own, without a title. Combined tasks: a row per task and metric, a column
    per method, the best method of each row marked.
    """
    values = results.get("metrics") or {}
    places: dict[tuple[str, str, str], str] = {}  # (task, method, metric) -> key
    for key in values:
        places[_place(key.removesuffix(BASELINE))] = key.removesuffix(BASELINE)
    single = {place: key for place, key in places.items() if not place[1]}
    combined = {place: key for place, key in places.items() if place[1]}
    shown = [_single_grid(tasks, single, values) for tasks in _families(single)]
    shown[:1] = [replace(grid, title="Single tasks") for grid in shown[:1]]
    return [*shown, *([_combined_grid(combined, values)] if combined else [])]


def results_table(results: Mapping) -> Group:
    """Returns the tables of parsed `results.json`, to print with a rich console.

    Values better than doing nothing are green, worse ones red, the best method is bold; all
    of it can be read without colour. On narrow terminals baselines move below their values.
    """
    shown = grids(results)
    if not shown:
        return Group(Text("No metrics yet.", style="dim"))
    return Group(*map(rich_table, shown), Text(legend(results, "*"), style="dim"))


def to_markdown(results: Mapping) -> str:
    """Returns the same tables as Markdown, the best method of a row in bold."""
    shown = grids(results)
    if not shown:
        return "No metrics yet.\n"
    return "\n\n".join([*map(markdown_table, shown), legend(results, "Bold")]) + "\n"


def _place(key: str) -> tuple[str, str, str]:
    """Splits a key into (task, method, metric); what is absent is ""."""
    if "/" not in key:
        return "", "", key
    task, *method, name = key.split("/")
    return task, "/".join(method), name


def _families(places: Iterable[tuple[str, str, str]]) -> list[list[str]]:
    """Groups tasks so that the metrics of one include those of the other: few empty cells."""
    metrics: dict[str, set[str]] = {}
    for task, _, name in places:
        metrics.setdefault(task, set()).add(name)
    families: list[list[str]] = []
    for task, names in metrics.items():
        for family in families:
            columns = set().union(*(metrics[other] for other in family))
            if names <= columns or names >= columns:
                family.append(task)
                break
        else:
            families.append([task])
    return families


def _single_grid(tasks: Sequence[str], places: Mapping, values: Mapping) -> Grid:
    names = _in_order(name for task, _, name in places if task in tasks)
    rows = [
        ((task or "all",), [_cell(values, places.get((task, "", name)), name) for name in names])
        for task in tasks
    ]
    return Grid("", ("task",), tuple(metric(name).heading for name in names), rows)


def _combined_grid(places: Mapping, values: Mapping) -> Grid:
    methods = sorted({method for _, method, _ in places})
    rows = []
    for task in dict.fromkeys(task for task, _, _ in places):
        names = _in_order(name for other, _, name in places if other == task)
        for i, name in enumerate(names):
            keys = [places.get((task, method, name)) for method in methods]
            cells = [_cell(values, key, name) for key in keys]
            shown = "" if i else task.replace("+", " + ")
            rows.append(((shown, metric(name).heading), _mark_best(cells, keys, values, name)))
    return Grid("Combined tasks", ("tasks", "metric"), tuple(methods), rows)


def _cell(values: Mapping, key: str | None, name: str) -> Cell:
    shown = metric(name)
    value, baseline = values.get(key), values.get(f"{key}{BASELINE}")
    if value is None and baseline is None:
        return Cell()
    verdict = ""
    if _known(value) and _known(baseline) and shown.can_beat(baseline):
        better, worse = shown.better(value, baseline), shown.better(baseline, value)
        verdict = "better" if better else "worse" if worse else ""
    return Cell(shown.format(value), "" if baseline is None else shown.format(baseline), verdict)


def _mark_best(cells: list[Cell], keys: list, values: Mapping, name: str) -> list[Cell]:
    known = [values[key] for key in keys if _known(values.get(key))]
    if metric(name).best is None or len(known) < 2 or len(set(known)) == 1:
        return cells
    best = max(known) if metric(name).best else min(known)
    pairs = zip(cells, keys, strict=True)
    return [replace(cell, best=values.get(key) == best) for cell, key in pairs]


def _in_order(names: Iterable[str]) -> list[str]:
    """Each name once: known metrics as in `METRICS`, then the others as they come."""
    given = dict.fromkeys(names)
    return [*(name for name in METRICS if name in given), *(n for n in given if n not in METRICS)]


def _known(value: float | None) -> bool:
    return value is not None and not math.isnan(value)


def legend(results: Mapping, best: str) -> str:
    """Returns how to read the tables, given how the best method is marked, e.g. "Bold"."""
    shown = grids(results)
    marked = any(cell.best for grid in shown for _, cells in grid.rows for cell in cells)
    features = results.get("frechet")
    return "".join(
        (
            LEGEND,
            f" {best}: the best method." if marked else "",
            f" Fréchet distance between features: {features}." if features else "",
        )
    )


def rich_table(grid: Grid) -> Table:
    table = Table(title=grid.title or None, title_justify="left", title_style="bold")
    table.box, table.padding, table.pad_edge = SIMPLE_HEAD, (0, 0, 0, 1), False
    for name in grid.names:
        table.add_column(name, no_wrap=name == "task")
    for i, heading in enumerate(grid.headings):
        cells = [_rich_cell(cells[i]) for _, cells in grid.rows]
        # Text may wrap on a narrow terminal, but a number is never cut.
        widest = max(len(word) for text in (heading, *cells) for word in str(text).split())
        table.add_column(Text(heading), justify="right", min_width=widest)
    for names, cells in grid.rows:
        table.add_row(*map(Text, names), *map(_rich_cell, cells))
    return table


def _rich_cell(cell: Cell) -> Text:
    colour = {"better": "green", "worse": "red", "": ""}[cell.verdict]
    text = Text()
    text.append(cell.text + "*" * cell.best, style=f"{colour} {'bold' * cell.best}".strip())
    return text.append(f" ({cell.baseline})", style="dim") if cell.baseline else text


def markdown_table(grid: Grid) -> str:
    lines = [
        [*grid.names, *grid.headings],
        ["---"] * len(grid.names) + ["---:"] * len(grid.headings),
        *([*names, *map(_markdown_cell, cells)] for names, cells in grid.rows),
    ]
    rows = ("| " + " | ".join(part.replace("|", "\\|") for part in line) + " |" for line in lines)
    return "\n".join([*([f"### {grid.title}", ""] if grid.title else []), *rows])


def _markdown_cell(cell: Cell) -> str:
    return cell.plain.replace(cell.text, f"**{cell.text}**", 1) if cell.best else cell.plain
