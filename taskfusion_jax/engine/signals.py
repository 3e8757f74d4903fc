"""Being asked to stop: SIGTERM and Ctrl-C end a run after the step at hand, and save it."""

import os
import signal
from types import FrameType


class StopRequest:
    """True once SIGTERM or SIGINT arrived; a second Ctrl-C stops at once. A context manager."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, object] = {}

    def __bool__(self) -> bool:
        return self.signal is not None

    def __enter__(self) -> "StopRequest":
        for name in (signal.SIGTERM, signal.SIGINT):
            self._before[name] = signal.signal(name, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for name, handler in self._before.items():
            signal.signal(name, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number)
        if number == signal.SIGINT:  # somebody waits; printing is not safe here
            os.write(2, b"\nStopping after this step; once more to stop at once.\n")
