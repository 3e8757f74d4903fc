"""Tiny runs, as commands and in this process, for the tests of the loop."""

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from configs import quickstart
from taskfusion_jax import train

ROOT = Path(__file__).parents[2]
TINY = "configs/quickstart.py:tiny"
LAST = 12
FLAGS = (
    *("--config.stages.single.steps=6", "--config.stages.combined.steps=6"),
    *("--config.checkpoint.every=2", "--config.log_every=1"),
    "--config.evaluate.frechet_layers=('relu1_2',)",
)


@functools.cache
def temporary() -> tempfile.TemporaryDirectory:
    """One folder for finished runs, gone when the tests end."""
    return tempfile.TemporaryDirectory(prefix="taskfusion_tests_")


def environment(**more: str) -> dict[str, str]:
    """That of these tests, `conftest.py`, and more."""
    return {**os.environ, **more}


def start(
    workdir: Path,
    *flags: str,
    config: str = TINY,
    program: tuple[str, str] = ("-m", "taskfusion_jax.main"),
    more: dict[str, str] | None = None,
) -> subprocess.Popen:
    """Starts `main` on a tiny config, with more variables in its environment."""
    command = [sys.executable, *program, f"--config={config}", f"--workdir={workdir}", *flags]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=environment(**(more or {})), **pipes)


def end(process) -> tuple[int, str, str]:
    """Exit code, output and errors."""
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def wait_until(condition, process) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def steps_logged(workdir: Path) -> int:
    path = workdir / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def config(**changes):
    """The config that FLAGS make; `changes` have `__` for dots."""
    made = quickstart.get_config("tiny")
    made.stages.single.steps = made.stages.combined.steps = 6
    made.checkpoint.every, made.log_every = 2, 1
    made.evaluate.frechet_layers = ("relu1_2",)
    made.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
    return made


def go_on(workdir: Path, **changes) -> int:
    """What starting the command again does, in this process."""
    return train.run(config(**changes), workdir)


@functools.cache
def finished() -> tuple[Path, str, str]:
    """Folder, output and errors of a run that nothing disturbed."""
    workdir = Path(temporary().name, "undisturbed")
    code, out, err = end(start(workdir, *FLAGS))
    assert code == 0, err
    return workdir, out, err


def saved(workdir: Path, step: int = LAST) -> dict[str, bytes]:
    """Every array of a checkpoint, by name."""
    path = (workdir / "checkpoints" / str(step) / "state").absolute()
    checkpointer = ocp.PyTreeCheckpointer()
    with warnings.catch_warnings(action="ignore"):
        # As host arrays, whatever devices they were saved from.
        like = jax.tree.map(
            lambda _: ocp.RestoreArgs(restore_type=np.ndarray),
            checkpointer.metadata(path).item_metadata.tree,
        )
        state = checkpointer.restore(path, restore_args=like)
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): np.asarray(leaf).tobytes() for path, leaf in leaves}


def assert_same_end(workdir: Path, other: Path | None = None, step: int = LAST) -> None:
    """Bit for bit the same parameters, optimiser, metrics and results as the undisturbed run."""
    other = other or finished()[0]
    ours, theirs = saved(workdir, step), saved(other, step)
    assert ours.keys() == theirs.keys()
    assert not [name for name in ours if ours[name] != theirs[name]]
    assert (workdir / "metrics.jsonl").read_text() == (other / "metrics.jsonl").read_text()
    ours, theirs = (json.loads((p / "results.json").read_text()) for p in (workdir, other))
    for key in ("metrics", "sweeps", "steps", "data"):
        assert ours[key] == theirs[key]
