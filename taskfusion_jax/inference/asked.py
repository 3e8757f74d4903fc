"""What is asked for on the command line: strengths, and sweeps of them."""

import math
from collections.abc import Iterator

import numpy as np

from taskfusion_jax.errors import UserError


def parse_strengths(text: str) -> dict[str, float]:
    """`restoration=1,style_1=0.6` as a dict; a name alone means 1.

    Raises:
      UserError: a strength is no number from 0 to 1, or a task has no name or is named twice.
    """
    found: dict[str, float] = {}
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        name, given, value = (part.strip() for part in entry.partition("="))
        if not name:
            raise UserError(f"--tasks: '{entry}' names no task: write TASK=STRENGTH")
        if name in found:
            raise UserError(f"--tasks names '{name}' twice: leave one out")
        found[name] = _number(value, "--tasks", entry) if given else 1.0
    return found


def parse_sweep(text: str) -> tuple[str, tuple[float, ...]]:
    """`style_1=0:1:9` as ("style_1", nine strengths from 0 to 1).

    Raises:
      UserError: it is written otherwise, or has fewer than 2 or more than 64 steps.
    """
    name, _, span = (part.strip() for part in text.partition("="))
    ends = span.split(":")
    if not name or len(ends) != 3 or not ends[2].strip().isdecimal():
        raise UserError(f"--sweep={text}: write TASK=FROM:TO:STEPS, such as style_1=0:1:9")
    first, last = (_number(end, "--sweep", text) for end in ends[:2])
    steps = ends[2].strip().lstrip("0")
    if len(steps) > 2 or not 2 <= int(steps or 0) <= 64:
        raise UserError(f"--sweep={text}: {steps or 0} steps, but a strip has 2 to 64")
    return name, tuple(np.linspace(first, last, int(steps)).tolist())


def settings(
    strengths: dict[str, float], sweep: tuple[str, tuple[float, ...]] | None
) -> Iterator[dict[str, float]]:
    """The strengths of every picture of a strip; a single one without a sweep."""
    if not sweep:
        yield dict(strengths)
        return
    for strength in sweep[1]:
        yield {**strengths, sweep[0]: strength}


def _number(text: str, flag: str, entry: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:  # NaN too
        raise UserError(f"{flag}: '{entry}': '{text}' is no number between 0 and 1")
    return number
