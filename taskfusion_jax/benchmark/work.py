"""What is measured: works, the programs that do them, and what came out."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

Result = dict[str, np.ndarray]
"""What a program's first call gives: `output`, or `loss` and `gradient/NAME`."""


class Program(Protocol):
    """A compiled piece of work, ready to be timed.

    Attributes:
      result: of the first call, to compare with another side's.
      compile_s: seconds until the first call could begin, or that it took.
      peak_bytes: memory at its peak; None where it is not measured.
      xla_flops: per call, by XLA's own count; None where there is none.
    """

    result: Result
    compile_s: float
    peak_bytes: int | None
    xla_flops: float | None

    def run(self, calls: int) -> None:
        """Does the work so many times in a row and waits until all is done."""


@dataclasses.dataclass(frozen=True)
class Work:
    """One piece of work, the same on both sides.

    Attributes:
      name: forward, train_step, ...
      images: per call; 0 where none is looked at.
      flops: multiplications and additions per call by the network's definition. A lowering that
        saves some, or wastes some, shows as speed: it does not change this number. 0 where no
        network runs.
      program: makes our program.
      twin: makes its twin, a `twins.program.Twin`; imports PyTorch. None where there is none.
      traced_flops: per call, counted in the program as it is traced, of forward passes.
      note: what a reader of the table should know, such as where its batch comes from.
      beside: name of the work that it shares rounds with, and whose time its own is divided by.
      numbers: what else there is to know once it was timed, by flat key.
    """

    name: str
    images: int
    flops: float
    program: Callable[[], Program]
    twin: Callable[[], Any] | None = None
    traced_flops: float | None = None
    note: str = ""
    beside: str = ""
    numbers: Callable[[], dict[str, int]] = dict


@dataclasses.dataclass(frozen=True)
class Timing:
    """How one contender did one work.

    Attributes:
      seconds: per call, one number for each round in which it took part.
      compile_s, peak_bytes, xla_flops: see `Program`.
    """

    seconds: tuple[float, ...]
    compile_s: float
    peak_bytes: int | None = None
    xla_flops: float | None = None

    @property
    def median(self) -> float:
        """Seconds per call."""
        return float(np.median(self.seconds))


@dataclasses.dataclass(frozen=True)
class Measured:
    """One work's timings.

    Attributes:
      work: what was done.
      ours: by us.
      theirs: by each variant of the other side, by name.
      ceilings: FLOP/s of a large matrix product in the same rounds, by side: `jax`, `torch`.
      beside: our timing of `work.beside`, where that was measured.
      numbers: see `Work`.
    """

    work: Work
    ours: Timing
    theirs: dict[str, Timing]
    ceilings: dict[str, float]
    beside: Timing | None = None
    numbers: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def best(self) -> str | None:
        """The other side's fastest variant of those timed in every round: the one that counts."""
        rounds = max((len(timing.seconds) for timing in self.theirs.values()), default=0)
        whole = [name for name, timing in self.theirs.items() if len(timing.seconds) == rounds]
        return min(whole, key=lambda name: self.theirs[name].median, default=None)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Our speed over the best variant's, round by round; empty where there is none."""
        if self.best is None:
            return ()
        pairs = zip(self.theirs[self.best].seconds, self.ours.seconds, strict=False)
        return tuple(theirs / ours for theirs, ours in pairs)

    @property
    def times(self) -> tuple[float, ...]:
        """Our time over that of the work beside, round by round; empty where there is none."""
        if self.beside is None:
            return ()
        return tuple(np.divide(self.ours.seconds, self.beside.seconds).tolist())
