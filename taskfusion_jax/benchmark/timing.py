"""Timing in interleaved rounds, so that a machine that slows down slows every contender."""

import time
from collections.abc import Callable

from taskfusion_jax.benchmark.work import Program

BLOCK_S = 0.3
"""Seconds of work per timed block, if one call is shorter."""
HOPELESS = 2.0
"""A contender this much slower than its side's fastest in round one sits out the others."""


def seconds(program: Program, calls: int) -> float:
    """Seconds that `calls` calls take in a row, all waited for."""
    began = time.perf_counter()
    program.run(calls)
    return time.perf_counter() - began


def block_size(program: Program) -> int:
    """How many calls fill a block; two calls warm up and find out."""
    return max(1, round(BLOCK_S / min(seconds(program, 1), seconds(program, 1))))


def interleave(
    sides: list[dict[str, Program]], repeats: int, tick: Callable[[int], None]
) -> dict[str, tuple[float, ...]]:
    """Seconds per call of every program: each round times one block of each.

    Rounds alternate their order, so that none always follows the same other.

    Args:
      sides: programs by name, those of one side together; names differ between sides.
      repeats: number of rounds.
      tick: told after each round how many are done.
    """
    programs = {name: program for side in sides for name, program in side.items()}
    calls = {name: block_size(program) for name, program in programs.items()}
    taken = {name: [] for name in programs}
    running = list(programs)
    for done in range(1, repeats + 1):
        for name in running:
            taken[name].append(seconds(programs[name], calls[name]) / calls[name])
        if done == 1:
            running = [name for side in sides for name in _hopeful(side, taken)]
        running.reverse()
        tick(done)
    return {name: tuple(values) for name, values in taken.items()}


def _hopeful(side: dict[str, Program], taken: dict[str, list[float]]) -> list[str]:
    fastest = min((taken[name][0] for name in side), default=0)
    return [name for name in side if taken[name][0] <= HOPELESS * fastest]
