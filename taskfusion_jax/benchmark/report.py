"""A benchmark's numbers as a table for people and as flat JSON for machines."""

import math
import statistics
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from taskfusion_jax.benchmark.run import OURS, Report
from taskfusion_jax.benchmark.work import Measured, Timing

_STEP = "train_step"


def flat(report: Report) -> dict[str, Any]:
    """Every number under a key `work/what`; other sides' under `work/torch MODE LAYOUT/what`."""
    numbers = dict(report.facts)
    for measured in report.works:
        name = measured.work.name
        numbers |= {f"{name}/{k}": v for k, v in _numbers(measured).items()}
        numbers |= measured.numbers
    for side, rate in _ceilings(report).items():
        numbers["matmul/" + ("" if side == OURS else f"{side}/") + "gflops_per_s"] = rate
    if report.pipeline:
        numbers |= {f"pipeline/{k}": v for k, v in pipeline_numbers(report).items()}
    numbers["compile_s"] = sum(measured.ours.compile_s for measured in report.works)
    numbers["notes"] = report.notes
    return {key: value for key, value in numbers.items() if value is not None}


def _ceilings(report: Report) -> dict[str, float]:
    """GFLOP/s of the matrix product by side, over all works."""
    sides = report.works[0].ceilings if report.works else ()
    return {
        side: statistics.median(measured.ceilings[side] for measured in report.works) / 1e9
        for side in sides
    }


def _numbers(measured: Measured) -> dict[str, Any]:
    work, best = measured.work, measured.best
    numbers = {
        "images": work.images or None,
        **_timing(measured, OURS, measured.ours),
        "flops": work.flops or None,
        "traced_flops": work.traced_flops,
        "xla_flops": measured.ours.xla_flops,
    }
    for name, timing in measured.theirs.items():
        theirs = _timing(measured, name, timing)
        numbers |= {f"{name}/{key}": value for key, value in theirs.items()}
    if best:
        numbers |= {**_spread("ratio_to_torch", measured.ratios), "best_of_torch": best}
    if measured.times:
        key = f"ratio_to_{work.beside.removesuffix('_step')}"
        numbers |= _spread(key, measured.times)
    return numbers


def _spread(key: str, values: tuple[float, ...]) -> dict[str, float]:
    return {key: statistics.median(values), f"{key}_min": min(values), f"{key}_max": max(values)}


def _timing(measured: Measured, name: str, timing: Timing) -> dict[str, Any]:
    images, flops = measured.work.images or math.nan, measured.work.flops or math.nan
    numbers = {
        "images_per_s": images / timing.median,
        "images_per_s_min": images / max(timing.seconds),
        "images_per_s_max": images / min(timing.seconds),
        "ms": 1e3 * timing.median,
        "seconds": timing.median,
        "seconds_min": min(timing.seconds),
        "seconds_max": max(timing.seconds),
        "rounds": len(timing.seconds),
        "gflops_per_s": flops / timing.median / 1e9,
        "share_of_matmul": flops / timing.median / measured.ceilings[name.split()[0]],
        "compile_s": timing.compile_s,
        "peak_bytes": timing.peak_bytes,
    }
    return {key: None if x is None or math.isnan(x) else x for key, x in numbers.items()}


def pipeline_numbers(report: Report) -> dict[str, Any]:
    """images/s of the input pipeline, alone, per worker, and over what the step consumes."""
    pipeline, seconds = report.pipeline, report.pipeline_s
    rate = pipeline.images / statistics.median(seconds)
    numbers = {
        "images": pipeline.images,
        "images_per_s": rate,
        "images_per_s_min": pipeline.images / max(seconds),
        "images_per_s_max": pipeline.images / min(seconds),
        "workers": pipeline.workers,
        "workers_are": pipeline.kind,
        "images_per_s_per_worker": rate / pipeline.workers,
        "source": pipeline.source,
    }
    steps = [m for m in report.works if m.work.name == _STEP]
    for step in steps:
        numbers["ratio_to_train_step"] = rate * step.ours.median / step.work.images
    return numbers


def show(report: Report, console: Console) -> None:
    """Prints the table, the input pipeline, FLOPs, and what to know of them."""
    facts = report.facts
    if report.works:
        table = Table(box=None, pad_edge=False)
        for heading in _HEADINGS:
            justify = "left" if heading == _HEADINGS[0] else "right"
            table.add_column(heading, justify=justify, no_wrap=True)
        for measured in report.works:
            for row in _rows(measured):
                table.add_row(*row)
            table.add_section()
        console.print(table)
        console.print(_LEGEND, style="dim")
    for line in _lines(report):
        console.print(line, highlight=False)
    console.print(
        f"{facts['config']}, {facts['dtype']}, seed {facts['seed']}, commit {facts['commit']}; "
        f"{facts['hardware']}; {facts['threads']} threads each side",
        highlight=False,
    )


_HEADINGS = (
    "", "ms", "images/s", "min-max", "ratio", "GFLOP/s", "of matmul", "compile s", "MiB"
)  # fmt: skip
_LEGEND = (
    "Medians of interleaved rounds. ratio: our speed over that variant's; * the best variant, "
    "which counts, with the range over rounds. GFLOP/s: the network's definition over the time. "
    "of matmul: over that side's large matrix product. MiB: peak memory of the program."
)


def _rows(measured: Measured) -> Iterator[tuple[str, ...]]:
    work = measured.work
    images = f", {work.images} images" if work.images else ""
    yield (f"[bold]{work.name}[/]{images}", *[""] * (len(_HEADINGS) - 1))
    for name, timing in {OURS: measured.ours, **measured.theirs}.items():
        numbers = _timing(measured, name, timing)
        share = numbers["share_of_matmul"]
        yield (
            f"  {name} *" if name == measured.best else f"  {name}",
            f"{numbers['ms']:.1f}",
            _cell("{:.1f}", numbers["images_per_s"]),
            _cell("{:.1f}-{:.1f}", numbers["images_per_s_min"], numbers["images_per_s_max"]),
            _ratio(measured, name),
            _cell("{:.0f}", numbers["gflops_per_s"]),
            _cell("{:.0f} %", share and 100 * share),
            f"{timing.compile_s:.1f}",
            _cell("{:.0f}", timing.peak_bytes and timing.peak_bytes / 2**20),
        )


def _cell(form: str, *values: float | None) -> str:
    return "-" if None in values else form.format(*values)


def _ratio(measured: Measured, name: str) -> str:
    """Green where we are ahead."""
    if name == OURS:
        return ""
    if name != measured.best:
        return f"{measured.theirs[name].median / measured.ours.median:.2f}"
    ratios = measured.ratios
    ratio = statistics.median(ratios)
    colour = "green" if ratio >= 1 else "red"
    return f"[{colour}]{ratio:.2f}[/] ({min(ratios):.2f}-{max(ratios):.2f})"


def _lines(report: Report) -> Iterator[str]:
    for measured in report.works:
        work, seen = measured.work, measured.ours.xla_flops
        counts = [f"{work.flops / 1e9:.2f} GFLOP by definition"] if work.flops else []
        if work.traced_flops:
            counts.append(f"{work.traced_flops / 1e9:.2f} as traced")
        if seen:
            counts.append(f"{seen / 1e9:.2f} by XLA's count of the program")
        counts += [f"{key} {value:,}" for key, value in measured.numbers.items()]
        yield f"{work.name}: {', '.join(counts)}{f'; {work.note}' if work.note else ''}"
        if times := measured.times:
            yield (
                f"{work.name} takes {statistics.median(times):.2f} ({min(times):.2f}-"
                f"{max(times):.2f}) times as long as {work.beside}"
            )
    if ceilings := _ceilings(report):
        rates = ", ".join(f"{rate:.0f} GFLOP/s by {side}" for side, rate in ceilings.items())
        yield f"large matrix product in the same rounds: {rates}"
    if report.pipeline:
        yield _pipeline_line(pipeline_numbers(report))
    yield from report.notes


def _pipeline_line(numbers: dict[str, Any]) -> str:
    line = (
        f"input pipeline ({numbers['source']}): {numbers['images_per_s']:.0f} images/s "
        f"({numbers['images_per_s_min']:.0f}-{numbers['images_per_s_max']:.0f}) by "
        f"{numbers['workers']} {numbers['workers_are']}, "
        f"{numbers['images_per_s_per_worker']:.0f} each"
    )
    if "ratio_to_train_step" in numbers:
        line += f"; {numbers['ratio_to_train_step']:.1f} times what the training step needs"
    return line
