"""Interleaving, on programs that count their calls; no claim about time."""

from taskfusion_jax.benchmark import timing
from taskfusion_jax.benchmark.timing import interleave
from taskfusion_jax.benchmark.work import Measured, Timing, Work


class Counted:
    """Takes as many seconds per call as it is told, on a clock of the test's."""

    def __init__(self, name, takes, clock):
        self.name, self.takes, self.clock, self.calls = name, takes, clock, []

    def run(self, calls):
        self.calls.append(calls)
        self.clock.order.append(self.name)
        self.clock.now += calls * self.takes


class Clock:
    now, order = 0.0, ()

    def perf_counter(self):
        return self.now


def test_rounds(monkeypatch):
    clock = Clock()
    clock.order = []
    monkeypatch.setattr(timing, "time", clock)
    takes = {"ours": 0.1, "fast": 0.15, "close": 0.16, "slow": 1.0}
    ours, *theirs = (Counted(name, s, clock) for name, s in takes.items())
    done = []
    taken = interleave([{"ours": ours}, {p.name: p for p in theirs}], 3, done.append)
    assert done == [1, 2, 3]
    assert {name: len(values) for name, values in taken.items()} == {
        "ours": 3,
        "fast": 3,
        "close": 3,
        "slow": 1,
    }
    for name, values in taken.items():
        assert all(abs(value - takes[name]) < 1e-9 for value in values)
    assert ours.calls == [1, 1, 3, 3, 3]  # two to warm up, then blocks of 0.3 s
    assert theirs[2].calls == [1, 1, 1]
    rounds = clock.order[8:]
    assert rounds == ["ours", "fast", "close", "slow", "close", "fast", "ours", *rounds[:3]]


def test_the_best_variant_counts_round_by_round():
    work = Work("forward", 4, 1.0, program=lambda: None)
    theirs = {"a": Timing((3.0, 9.0), 0), "b": Timing((2.0, 6.0), 0), "c": Timing((1.0,), 0)}
    measured = Measured(work, Timing((1.0, 4.0), 0), theirs, {})
    assert measured.best == "b"  # "c" sat out a round
    assert measured.ratios == (2.0, 1.5)
    assert Measured(work, Timing((1.0,), 0), {}, {}).ratios == ()
