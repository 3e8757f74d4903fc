"""Progress for people: a bar in a terminal, a line now and then in a log file."""

import collections
import math
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_LOG_EVERY_S = 15.0
_WINDOW_S = 30.0


def make_console(quiet: bool = False) -> Console:
    """The terminal; a log file gets lines of 120 columns, wide enough for every table."""
    console = Console(quiet=quiet)
    return console if console.is_terminal else Console(width=120, quiet=quiet)


class Bar:
    """One stage's progress with images per second, time left and the latest loss.

    The rate is that of the last half minute, so neither compiling nor a pause before counts for
    long. Use as a context manager.
    """

    def __init__(self, console: Console, title: str, start: int, total: int, images: int):
        """start, total: steps done and to do; images: rows per step, for the rate."""
        self._console, self._title, self._total, self._images = console, title, total, images
        self._marks: collections.deque[tuple[int, float]] = collections.deque()
        self._said = time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rest]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(title, total=total, completed=start, rest="")

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, done: int, loss: float) -> None:
        """Shows `done` steps; `loss` is the latest one known, NaN before that."""
        now = time.monotonic()
        self._marks.append((done, now))
        while len(self._marks) > 2 and now - self._marks[1][1] > _WINDOW_S:
            self._marks.popleft()
        first, began = self._marks[0]
        if done == first:
            return
        pace = (now - began) / (done - first)
        left = (self._total - done) * pace
        speed = self._images / pace
        rest = (
            f"{speed:.{int(speed < 10)}f} images/s, "
            + (f"loss {loss:.4f}, " if math.isfinite(loss) else "")
            + f"{int(left // 60)}:{int(left % 60):02d} left"
        )
        self._progress.update(self._task, completed=done, rest=rest)
        if not self._console.is_terminal and now - self._said > _LOG_EVERY_S:
            self._said = now
            self._console.print(f"{self._title}: step {done}/{self._total}, {rest}")
