"""Measures every work of a config, ours and theirs, in one process."""

import dataclasses
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
        the two sides do not agree.
    """
    notes = [warning] if (warning := machine.busy()) else []
    facts = _facts(config, options)
    workload = build_workload(config, options.batch, options.stage)
    makers = workload.works()
    chosen = _choose(options.only, (*makers, "pipeline"))
    side = Torch(config.dtype, notes) if options.against else None
    pipeline = workload.pipeline() if "pipeline" in chosen else None
    seconds = ()
    if pipeline:
        console.print("pipeline: measuring", highlight=False)
        seconds = pipeline.measure(options.repeats)
        notes += [f"pipeline: {pipeline.note}"] if pipeline.note else []
    makers = {name: make for name, make in makers.items() if name in chosen}
    ceiling = _ceiling(workload.dtype, config.seed, side) if makers else None
    works = [_measure(make(), ceiling, side, options.repeats, console) for make in makers.values()]
    return Report(works, pipeline, seconds, notes, facts)


def _choose(only: tuple[str, ...] | None, known: tuple[str, ...]) -> tuple[str, ...]:
    for name in only or ():
        if name not in known:
            raise UserError(f"--only: no '{name}'{did_you_mean(name, known)}")
    return only or known


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
    work: Work,
    ceiling: tuple[Work, dict[str, Program]],
    side: Torch | None,
    repeats: int,
    console: Console,
) -> Measured:
    """Compiles, compares, then times; the product that shows the ceiling runs in every round."""
    with console.status("") as status:

        def say(words):
            status.update(f"{work.name}: {words}")
            if not console.is_terminal:
                console.print(f"{work.name}: {words}", highlight=False)

        say("compiling")
        ours = {OURS: work.program()}
        theirs = side.programs(work, ours[OURS].result, say) if side else {}
        say(f"timing {repeats} rounds of {', '.join((*ours, *theirs))}")
        product, sides = ceiling
        products = {f"{name} product": program for name, program in sides.items()}
        taken = interleave(
            [ours, theirs, *({name: program} for name, program in products.items())],
            repeats,
            lambda n: status.update(f"{work.name}: round {n}/{repeats}"),
        )
    ceilings = {name.split()[0]: product.flops / np.median(taken[name]) for name in products}
    timings = {name: _timing(p, taken[name]) for name, p in {**ours, **theirs}.items()}
    return Measured(work, timings.pop(OURS), timings, ceilings)


def _timing(program: Program, seconds: tuple[float, ...]) -> Timing:
    return Timing(seconds, program.compile_s, program.peak_bytes, program.xla_flops)
