"""What a compiled program costs: compile time, memory per device, bytes that devices exchange."""

import dataclasses
import math
import re
import time
from typing import Any

import jax

_KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
# `%x = (f32[4,16]{1,0}, f32[]) all-reduce(`: asynchronous ones are counted where they end.
_COLLECTIVE = re.compile(rf"= (.*?) ({'|'.join(_KINDS)})(-done)?\(")
_ARRAY = re.compile(r"\b[a-z]+(\d*)(?:e\d\w*)?\[([\d,]*)\]")  # f32[4,16], pred[], f8e4m3fn[2]


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program and its costs.

    Attributes:
      run: the program; it accepts these shapes only, so it is never compiled again.
      compile_s: seconds it took to trace and compile.
      peak_bytes: memory per device: arguments, results and temporaries at their peak.
      collectives: kind -> bytes of its results on one device, per call; kinds not used are absent.
    """

    run: Any
    compile_s: float
    peak_bytes: int
    collectives: dict[str, int]

    def __str__(self) -> str:
        moved = ", ".join(f"{k} {human_bytes(v)}" for k, v in self.collectives.items())
        return (
            f"compiled in {self.compile_s:.0f} s; needs {human_bytes(self.peak_bytes)} per device; "
            f"devices exchange {moved or 'nothing'} per step"
        )


def compile_program(jitted: Any, *args: Any) -> Program:
    """Compiles a jitted function for these arguments, arrays or shapes."""
    began = time.monotonic()
    compiled = jitted.lower(*args).compile()
    seconds = time.monotonic() - began
    return Program(compiled, seconds, _peak(compiled), collectives(compiled.as_text()))


def _peak(compiled: jax.stages.Compiled) -> int:
    memory = compiled.memory_analysis()
    if memory is None:  # some backends do not tell
        return 0
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        + memory.temp_size_in_bytes
        - memory.alias_size_in_bytes
    )


def collectives(hlo: str) -> dict[str, int]:
    """Bytes of the results of each kind of collective in a compiled program's text."""
    found = dict.fromkeys(_KINDS, 0)
    for line in hlo.splitlines():
        if match := _COLLECTIVE.search(line):
            found[match[2]] += _array_bytes(match[1])
    return {kind: size for kind, size in found.items() if size}


def _array_bytes(shape: str) -> int:
    """`(f32[4,16]{1,0}, f32[])` -> 260."""
    total = 0
    for bits, sides in _ARRAY.findall(shape):
        sides = [int(side) for side in sides.split(",") if side]
        total += math.prod(sides) * max(1, int(bits or 8) // 8)
    return total


def human_bytes(size: float) -> str:
    """1536 -> `1.5 KiB`."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GiB"
