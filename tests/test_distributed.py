"""Several processes do one run: as one process would, stopped together, and never left waiting."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from taskfusion_jax.engine.writers import read_metrics
from tests.engine import runs

# One stage and the shortest evaluation: most of the time goes into starting and compiling.
FLAGS = (
    *runs.FLAGS,
    *("--config.groups=8", "--config.schedule=('single',)", "--config.evaluate.sweep=2"),
    *("--config.evaluate.images=1", "--config.evaluate.pictures=1", "--config.evaluate.pair=2"),
)
LAST = 6
PATIENCE_S = 60


def devices(count: int) -> dict[str, str]:
    return {"JAX_NUM_CPU_DEVICES": str(count)}


def start_two(workdir: Path, *flags: str, program=("-m", "taskfusion_jax.main")) -> list:
    """Two processes of four devices each."""
    with socket.create_server(("localhost", 0)) as free:
        address = f"localhost:{free.getsockname()[1]}"
    return [
        runs.start(
            workdir,
            "--distributed",
            *FLAGS,
            *flags,
            program=program,
            more={
                **devices(4),
                "COORDINATOR_ADDRESS": address,
                "NUM_PROCESSES": "2",
                "PROCESS_ID": str(i),
            },
        )
        for i in range(2)
    ]


def end_all(processes) -> list[tuple[int, str, str]]:
    return [runs.end(process) for process in processes]


def start_one(workdir: Path, count: int, *flags: str):
    return runs.start(workdir, *FLAGS, *flags, more=devices(count))


@pytest.fixture(scope="module")
def eight(tmp_path_factory) -> Path:
    """A run of one process with eight devices."""
    workdir = tmp_path_factory.mktemp("eight") / "run"
    code, _, err = runs.end(start_one(workdir, 8))
    assert code == 0, err
    return workdir


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """The same run, in two processes with four devices each."""
    workdir = tmp_path_factory.mktemp("two") / "run"
    for code, _, err in end_all(start_two(workdir)):
        assert code == 0, err
    return workdir


def assert_close(workdir: Path, other: Path) -> None:
    """The same run but for rounding: sums over processes are taken in another order."""
    ours, theirs = (read_metrics(folder / "metrics.jsonl") for folder in (workdir, other))
    assert [record["step"] for record in ours] == [record["step"] for record in theirs]
    for mine, yours in zip(ours, theirs, strict=True):
        for name in mine.keys() - {"stage"}:
            assert mine[name] == pytest.approx(yours[name], rel=2e-3, abs=1e-9), name
    ours, theirs = runs.saved(workdir, LAST), runs.saved(other, LAST)
    moments = [name for name in theirs if "'mu'" in name]
    assert len(moments) > 20
    arrays = {
        name: [np.frombuffer(x[name], np.float32) for x in (ours, theirs)] for name in moments
    }
    scale = max(np.abs(theirs).max() for _, theirs in arrays.values())
    for name, (mine, yours) in arrays.items():
        np.testing.assert_allclose(mine, yours, atol=1e-3 * scale, err_msg=name)


def test_two_processes_of_four_devices_are_one_of_eight(eight, two):
    assert_close(two, eight)


def test_only_the_first_process_writes_and_speaks(two):
    steps = [line.split(",")[0] for line in (two / "metrics.jsonl").read_text().splitlines()]
    assert steps == [f'{{"step": {i}' for i in range(1, LAST + 1)]
    assert len(list((two / "tensorboard").iterdir())) == 1


def forget_after(step: int, workdir: Path, copy: Path) -> Path:
    """A copy of a run as it was when it had saved `step`."""
    shutil.copytree(workdir, copy)
    for folder in (copy / "checkpoints").iterdir():
        if int(folder.name) > step:
            shutil.rmtree(folder)
    (copy / "evaluations" / "single.json").unlink()
    return copy


RESTORE = """
import sys
from pathlib import Path
from taskfusion_jax.engine.checkpoint import Checkpoints
from taskfusion_jax.experiment import Experiment
from tests.engine import runs

old, new, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
experiment = Experiment(runs.config(groups=8, schedule=("single",)))
checkpoints = Checkpoints(old, 3)
state, _, _ = checkpoints.restore(lambda meta: experiment.abstract_state(experiment.stages[0]))
checkpoints.close()
assert len(state.step.sharding.device_set) == count
checkpoints = Checkpoints(new, 3)
checkpoints.save(state, {}, {})
checkpoints.close()
"""


@pytest.mark.parametrize("count", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 4))])
def test_a_checkpoint_of_eight_devices_restores_on_fewer_exactly(eight, tmp_path, count):
    """What is saved again from fewer devices is what had been saved."""
    again = tmp_path / "again"
    subprocess.run(
        [sys.executable, "-c", RESTORE, str(eight), str(again), str(count)],
        cwd=runs.ROOT,
        env=runs.environment(**devices(count)),
        check=True,
        timeout=300,
    )
    assert runs.saved(again, LAST) == runs.saved(eight, LAST)


@pytest.mark.slow
def test_one_process_goes_on_where_two_were(two, tmp_path):
    copy = forget_after(4, two, tmp_path / "run")
    code, out, err = runs.end(start_one(copy, 8))
    assert code == 0, err
    assert "Going on from step 4" in out
    assert_close(copy, two)


@pytest.mark.slow  # tests/test_kill.py stops one process so
def test_a_signal_to_one_stops_both_at_one_step(two, tmp_path):
    workdir = tmp_path / "run"
    processes = start_two(workdir)
    runs.wait_until(lambda: runs.steps_logged(workdir) >= 2, processes[0])
    processes[1].send_signal(signal.SIGTERM)
    ended = end_all(processes)
    assert [code for code, _, _ in ended] == [128 + signal.SIGTERM] * 2, ended
    assert "Stopped by SIGTERM" in ended[0][1]
    assert int(max((workdir / "checkpoints").iterdir(), key=lambda p: int(p.name)).name) < LAST
    for code, _, err in end_all(start_two(workdir)):
        assert code == 0, err
    runs.assert_same_end(workdir, two, LAST)


@pytest.mark.parametrize("victim", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_when_one_dies_the_other_leaves_and_both_resume(request, tmp_path, victim):
    workdir = tmp_path / "run"
    processes = start_two(workdir)
    runs.wait_until(lambda: runs.steps_logged(workdir) >= 3, processes[victim])
    processes[victim].kill()
    began = time.monotonic()
    code, _, err = runs.end(processes[1 - victim])
    assert time.monotonic() - began < PATIENCE_S
    assert code not in (0, None)
    assert re.search(f"^error: process {victim} died .* start the same command", err, re.M), err
    runs.end(processes[victim])
    if victim == 0:  # once will do, and after a signal it is tried as well
        for code, _, err in end_all(start_two(workdir)):
            assert code == 0, err
        runs.assert_same_end(workdir, request.getfixturevalue("two"), LAST)


def test_a_failure_of_one_ends_both_with_its_message(tmp_path):
    """The folder belongs to another run, which only the first process looks at."""
    workdir = tmp_path / "run"
    workdir.mkdir()
    (workdir / "config.json").write_text('{"seed": 5}')
    for code, _, err in end_all(start_two(workdir)):
        assert code == 2
        assert "holds a run with another config" in err


def test_an_incomplete_environment_is_told_in_one_line(tmp_path):
    process = runs.start(
        tmp_path / "run", "--distributed", *FLAGS, more={"COORDINATOR_ADDRESS": "localhost:1"}
    )
    code, _, err = runs.end(process)
    assert code == 2
    assert err.startswith("error: COORDINATOR_ADDRESS=localhost:1 needs NUM_PROCESSES")
    assert err.count("\n") == 1
    assert not os.path.exists(tmp_path / "run")
