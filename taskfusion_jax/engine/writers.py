"""Where metrics go: `metrics.jsonl` and TensorBoard event files."""

import json
import time
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

from taskfusion_jax.engine.files import write_text


class MetricWriter:
    """Appends one record per logged step to `WORKDIR/metrics.jsonl` and to TensorBoard.

    A run that resumes at step n drops the records after n, so the file reads as if the run had
    never stopped.
    """

    def __init__(self, workdir: Path, resume_step: int):
        """resume_step: steps done before this start; 0 for a fresh run."""
        self._path = workdir / "metrics.jsonl"
        kept = [r for r in read_metrics(self._path) if r["step"] <= resume_step]
        write_text(self._path, "".join(json.dumps(r) + "\n" for r in kept))
        self._file = self._path.open("a", encoding="utf-8")
        # Not tensorboardX's SummaryWriter: its thread dies of a full disk, and then all hangs.
        (workdir / "tensorboard").mkdir(exist_ok=True)
        self._board = EventsWriter(str(workdir / "tensorboard" / "events"), f".{resume_step}")
        start = SessionLog(status=SessionLog.START)  # what comes from this step on is read anew
        self._board.write_event(_event(resume_step + 1, session_log=start))

    def write(self, step: int, stage: str, values: dict[str, float]) -> None:
        """Writes scalars of one step of the stage."""
        self._file.write(json.dumps({"step": step, "stage": stage, **values}) + "\n")
        self._file.flush()
        for name, value in values.items():
            self._board.write_event(_event(step, summary=scalar(name, value)))
        self._board.flush()

    def close(self) -> None:
        """Flushes and closes both."""
        self._file.close()
        self._board.close()


class Silent:
    """Writes nothing, in the processes that only compute."""

    def write(self, step: int, stage: str, values: dict[str, float]) -> None:
        """As `MetricWriter.write`."""

    def close(self) -> None:
        """As `MetricWriter.close`."""


def _event(step: int, **content) -> Event:
    return Event(wall_time=time.time(), step=step, **content)


def read_metrics(path: Path) -> list[dict]:
    """The records of a `metrics.jsonl`; a last line cut short by a crash is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records
