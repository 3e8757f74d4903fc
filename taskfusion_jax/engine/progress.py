"""Progress for people: a bar in a terminal, a line now and then in a log file."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_LOG_EVERY_S = 15.0


class Bar:
    """One stage's progress with images per second, time left and the latest loss.

    Use as a context manager.
    """

    def __init__(self, console: Console, title: str, start: int, total: int, images: int):
        """start, total: steps done and to do; images: rows per step, for the rate."""
        self._console, self._title, self._total, self._images = console, title, total, images
        self._began, self._start, self._said = time.monotonic(), start, 0.0
        self._rate = 0.0
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.0f} images/s, loss {task.fields[loss]:.4f},"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task(
            title, total=total, completed=start, rate=0.0, loss=float("nan")
        )

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    @property
    def rate(self) -> float:
        """Images per second since the bar began."""
        return self._rate

    def update(self, done: int, loss: float) -> None:
        """Shows `done` steps; `loss` is the latest one known."""
        passed = max(time.monotonic() - self._began, 1e-9)
        self._rate = (done - self._start) * self._images / passed
        self._progress.update(self._task, completed=done, rate=self._rate, loss=loss)
        if self._console.is_terminal or passed < self._said + _LOG_EVERY_S:
            return
        self._said = passed
        left = (self._total - done) * passed / max(done - self._start, 1)
        self._console.print(
            f"{self._title}: step {done}/{self._total}, {self._rate:.0f} images/s, "
            f"loss {loss:.4f}, {left / 60:.1f} min left"
        )
