"""Whenever and however a run is stopped, it ends bit for bit as if nothing had happened."""

import random
import signal
from pathlib import Path

import pytest

from tests.engine import runs

DIE_IN_SAVE = """
import os, runpy, signal, sys
rename = os.rename
def die(source, target, **options):
    if "orbax-checkpoint-tmp" in str(source) and str(target).endswith("checkpoints/%d"):
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(source, target, **options)
os.rename = die
sys.argv[0] = "main"
runpy.run_module("taskfusion_jax.main", run_name="__main__")
"""


def die_in_save(workdir: Path, step: int, flags: tuple[str, ...]) -> None:
    """Starts the run, which dies when the checkpoint of `step` is about to get its name."""
    program = ("-c", DIE_IN_SAVE % step)
    code, _, err = runs.end(runs.start(workdir, *flags, program=program))
    assert (code, err) == (-9, "")
    assert list(workdir.glob(f"checkpoints/{step}.orbax-checkpoint-tmp*"))


def test_kill_at_any_moment(tmp_path):
    """The short form: in a save and in an evaluation, one after another."""
    workdir = tmp_path / "run"
    die_in_save(workdir, 4, runs.FLAGS)
    process = runs.start(workdir, *runs.FLAGS)
    runs.wait_until((workdir / "checkpoints" / "6").exists, process)
    process.kill()
    assert runs.end(process)[0] == -9
    assert not (workdir / "evaluations" / "single.json").exists()
    assert runs.end(runs.start(workdir, *runs.FLAGS))[0] == 0
    runs.assert_same_end(workdir)
    assert sorted(p.name for p in (workdir / "checkpoints").iterdir()) == ["10", "12", "8"]


STOPS = 20
LONG = (
    *runs.FLAGS,
    *("--config.stages.single.steps=40", "--config.stages.combined.steps=40"),
)


def stop_somewhere(workdir: Path, rng: random.Random) -> str:
    """Lets the run do a few steps more, then stops it at any moment; says how."""
    goal, delay = runs.steps_logged(workdir) + rng.randint(1, 4), rng.uniform(0, 0.2)
    number = rng.choice([signal.SIGKILL, signal.SIGTERM])
    how = f"{number.name} {delay:.3f} s after step {goal}"
    process = runs.start(workdir, *LONG)
    runs.wait_until(lambda: runs.steps_logged(workdir) >= goal, process)
    with pytest.raises(Exception, match="timed out"):
        process.wait(delay)
    process.send_signal(number)
    code, _, err = runs.end(process)
    assert code == (-9 if number == signal.SIGKILL else 143), (how, err)
    return how


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_twenty_stops(tmp_path, seed):
    rng, workdir, undisturbed = random.Random(seed), tmp_path / "run", tmp_path / "undisturbed"
    assert runs.end(runs.start(undisturbed, *LONG))[0] == 0
    stops = [stop_somewhere(workdir, rng) for _ in range(STOPS - 2)]
    for _ in range(2):  # inside a save, too
        done = max(int(p.name) for p in (workdir / "checkpoints").iterdir() if p.name.isdigit())
        step = done + 2 - done % 2  # the next that is saved
        die_in_save(workdir, step, LONG)
        stops.append(f"in the save of step {step}")
    print(f"seed {seed}:", *stops, sep="\n  ")
    assert runs.end(runs.start(workdir, *LONG))[0] == 0
    runs.assert_same_end(workdir, undisturbed, 80)
