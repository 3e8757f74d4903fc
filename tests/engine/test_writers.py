"""Logged numbers read as if a run had never stopped."""

import pytest
from tensorboardX.proto.event_pb2 import Event

from taskfusion_jax.engine.writers import MetricWriter, read_metrics


def write(folder, resume_step, steps):
    writer = MetricWriter(folder, resume_step)
    for step in steps:
        writer.write(step, "single", {"loss": step / 2})
    writer.close()


def events(path):
    """Reads the records of an event file: length, its checksum, content, its checksum."""
    content, place = path.read_bytes(), 0
    while place < len(content):
        length = int.from_bytes(content[place : place + 8], "little")
        yield Event.FromString(content[place + 12 : place + 12 + length])
        place += 16 + length


@pytest.mark.parametrize("cut", [0, 5])
def test_records_after_the_restored_step_are_dropped(tmp_path, cut):
    write(tmp_path, 0, (1, 2, 3, 4))
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text()[: -cut or None])
    write(tmp_path, 2, (3, 4))
    records = [{"step": n, "stage": "single", "loss": n / 2} for n in (1, 2, 3, 4)]
    assert read_metrics(path) == records


def test_event_files(tmp_path):
    write(tmp_path, 0, (1, 2))
    write(tmp_path, 1, (2, 3))
    for path, first in zip(sorted((tmp_path / "tensorboard").iterdir()), (1, 2), strict=True):
        version, start, *logged = events(path)
        assert version.file_version == "brain.Event:2"
        assert (start.step, start.session_log.status) == (first, start.session_log.START)
        values = [(e.step, e.summary.value[0].tag, e.summary.value[0].simple_value) for e in logged]
        assert values == [(first, "loss", first / 2), (first + 1, "loss", (first + 1) / 2)]
