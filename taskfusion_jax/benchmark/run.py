"""Measures every work of a config, ours and theirs, in one process."""

import dataclasses
import functools
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from taskfusion_jax.benchmark import machine, programs
from taskfusion_jax.benchmark.against import Torch
from taskfusion_jax.benchmark.pipeline import Pipeline
from taskfusion_jax.benchmark.timing import interleave
from taskfusion_jax.benchmark.work import Measured, Program, Timing, Work
from taskfusion_jax.benchmark.workloads import build_workload
from taskfusion_jax.errors import UserError, did_you_mean

OURS = "jax"


@dataclasses.dataclass(frozen=True)
class Options:
    """What the flags say.

    Attributes:
      against: "torch" or None.
      batch: images per call.
      repeats: rounds.
      only: names of works, and `pipeline`; None = all.
      stage: of the training step; None = the first.
    """

    against: str | None = None
    batch: int = 16
    repeats: int = 7
    only: tuple[str, ...] | None = None
    stage: str | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    """All that one run measured.

    Attributes:
      works: in the order of the table.
      pipeline, pipeline_s: the input pipeline and its seconds per batch, where there is one.
      notes: lines for the reader.
      facts: config, seed, hardware, versions, as flat keys.
    """

    works: list[Measured]
    pipeline: Pipeline | None
    pipeline_s: tuple[float, ...]
    notes: list[str]
    facts: dict[str, Any]


def benchmark(config: ConfigDict, options: Options, console: Console) -> Report:
    """Measures.

    Args:
      config: as `main` takes it.
      options: what and how often.
      console: shows progress.

    Raises:
      UserError: the config, data, weights or flags are wrong, PyTorch is asked for and absent, or
        has no such work, or the two sides do not agree.
    """
    notes = [warning] if (warning := machine.busy()) else []
    facts = _facts(config, options)
    workload = build_workload(config, options.batch, options.stage)
    makers = workload.works()
    chosen = _choose(options.only, (*makers, "pipeline"))
    works = [make() for name, make in makers.items() if name in chosen]
    side = _side(config.dtype, works, notes) if options.against else None
    pipeline = workload.pipeline() if "pipeline" in chosen else None
    seconds = ()
    if pipeline:
        console.print("pipeline: measuring", highlight=False)
        seconds = pipeline.measure(options.repeats)
        notes += [f"pipeline: {pipeline.note}"] if pipeline.note else []
    ceiling = _ceiling(workload.dtype, config.seed, side) if works else None
    measured = []
    for together in _by_rounds(works):
        measured += _measure(together, ceiling, side, options.repeats, console)
    return Report(measured, pipeline, seconds, notes, facts)


def _choose(only: tuple[str, ...] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    for name in only or ():
        if name not in known:
            raise UserError(f"--only: no '{name}'{did_you_mean(name, known)}")
    return only or known


def _side(dtype: str, works: list[Work], notes: list[str]) -> Torch:
    if alone := [work.name for work in works if work.twin is None]:
        raise UserError(
            f"--against=torch: there is no {' or '.join(alone)} in PyTorch; leave it out"
        )
    return Torch(dtype, notes)


def _by_rounds(works: list[Work]) -> list[list[Work]]:
    """The works, those together that are timed in the same rounds."""
    together = {}
    for work in works:
        together.setdefault(work.beside or work.name, []).append(work)
    return list(together.values())


def _facts(config: ConfigDict, options: Options) -> dict[str, Any]:
    return {
        "config": config.name,
        "method": config.method,
        "dtype": config.dtype,
        "seed": config.seed,
        "repeats": options.repeats,
        **machine.origin(),
    }


def _ceiling(dtype: Any, seed: int, side: Torch | None) -> tuple[Work, dict[str, Program]]:
    """A large matrix product, and its programs by side: no network does more FLOP/s than that."""
    work = programs.matmul(dtype, seed)
    ours = work.program()
    theirs = side.programs(work, ours.result, lambda _: None) if side else {}
    return work, {OURS: ours, **{name.split()[0]: program for name, program in theirs.items()}}


def _measure(
    works: list[Work],
    ceiling: tuple[Work, dict[str, Program]],
    side: Torch | None,
    repeats: int,
    console: Console,
) -> list[Measured]:
    """Compiles, compares, then times works in the same rounds; the product that shows the ceiling
    runs in every round."""
    names = ", ".join(work.name for work in works)
    with console.status("") as status:

        def say(words, name=names):
            status.update(f"{name}: {words}")
            if not console.is_terminal:
                console.print(f"{name}: {words}", highlight=False)

        ours, theirs = {}, {}
        for work in works:
            tell = functools.partial(say, name=work.name)
            tell("compiling")
            ours[work.name] = work.program()
            result = ours[work.name].result
            theirs[work.name] = side.programs(work, result, tell) if side else {}
        others = dict.fromkeys(name for programs in theirs.values() for name in programs)
        say(f"timing {repeats} rounds of {', '.join((OURS, *others))}")
        product, products = ceiling
        taken = interleave(
            [
                *({_key(OURS, name): program} for name, program in ours.items()),
                *({_key(n, name): p for n, p in them.items()} for name, them in theirs.items()),
                *({_key(name, product.name): program} for name, program in products.items()),
            ],
            repeats,
            lambda n: status.update(f"{names}: round {n}/{repeats}"),
        )
    ceilings = {n: product.flops / np.median(taken[_key(n, product.name)]) for n in products}
    by_us = {name: _timing(p, taken[_key(OURS, name)]) for name, p in ours.items()}
    by_them = {
        name: {n: _timing(p, taken[_key(n, name)]) for n, p in them.items()}
        for name, them in theirs.items()
    }
    return [
        Measured(
            work,
            by_us[work.name],
            by_them[work.name],
            ceilings,
            by_us.get(work.beside),
            work.numbers(),
        )
        for work in works
    ]


def _key(contender: str, work: str) -> str:
    return f"{contender} at {work}"


def _timing(program: Program, seconds: tuple[float, ...]) -> Timing:
    return Timing(seconds, program.compile_s, program.peak_bytes, program.xla_flops)
