"""After the first step nothing is compiled and nothing piles up."""

import resource
import sys

import jax
import pytest

from taskfusion_jax import train
from tests.engine import runs


@pytest.fixture
def at_steps(monkeypatch):
    """Calls a function at every step of the loop and keeps what it returns, by stage."""

    def watch(look):
        seen: dict[str, list] = {}

        class Watched(train.Bar):
            def update(self, done, loss):
                super().update(done, loss)
                seen.setdefault(self._title, []).append(look())

        monkeypatch.setattr(train, "Bar", Watched)
        return seen

    return watch


def test_nothing_is_compiled_after_the_first_step(at_steps, tmp_path):
    compiled = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        counts = at_steps(lambda: len(compiled))
        assert runs.go_on(tmp_path / "run") == 0
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    assert counts["single"][0] > 0
    for stage, seen in counts.items():
        assert len(seen) == 6
        assert len(set(seen)) == 1, f"{stage}: programs compiled by each step: {seen}"


def memory() -> tuple[int, int]:
    """Arrays alive, and the most memory that the process ever had, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return len(jax.live_arrays()), peak // (1 << 20 if sys.platform == "darwin" else 1 << 10)


@pytest.mark.slow
def test_memory_does_not_grow_in_2000_steps(at_steps, tmp_path):
    seen = at_steps(memory)
    config = runs.config(schedule=("single",), log_every=100, checkpoint__every=400)
    config.data.size = 16
    config.evaluate.update({"images": 1, "pictures": 1, "sweep": 2, "pair": 2})
    config.stages.single.steps = 2000
    config.stages.single.rows = dict.fromkeys(config.stages.single.rows, 0) | {"restoration": 2}
    assert train.run(config, tmp_path / "run") == 0
    arrays, peak = zip(*seen["single"], strict=True)
    assert len(arrays) == 2000
    # A save may keep a copy of the state until the next one begins.
    assert max(arrays[1200:]) <= max(arrays[400:1200])
    assert peak[1998] - peak[600] < 32, "MiB"
