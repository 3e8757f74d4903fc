"""The loop: whatever stops it, it ends as if nothing had; whatever is wrong, it says so."""

import json
import os
import random
import resource
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from taskfusion_jax import train
from taskfusion_jax.errors import UserError
from tests.engine import runs


@pytest.fixture
def copy(tmp_path):
    """A folder of its own with the finished run."""
    return shutil.copytree(runs.finished()[0], tmp_path / "run")


def test_a_clean_run_says_little_and_leaves_everything():
    workdir, out, err = runs.finished()
    assert err == ""
    assert "Report: " in out
    assert "Traceback" not in out
    for name in ("config.json", "results.json", "report.html", "figures", "tensorboard"):
        assert (workdir / name).exists()
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in records] == list(range(1, runs.LAST + 1))
    assert [r["stage"] for r in records] == ["single"] * 6 + ["combined"] * 6
    assert sorted(int(p.name) for p in (workdir / "checkpoints").iterdir()) == [8, 10, 12]


def test_a_stop_comes_before_the_next_stage_compiles():
    """Also after a stage that is not measured, where nothing else would ask."""
    stages = [SimpleNamespace(index=i) for i in range(2)]
    config = SimpleNamespace(evaluate=SimpleNamespace(every_stage=False))
    experiment = SimpleNamespace(stages=stages)
    trainer = SimpleNamespace(experiment=experiment, config=config, agree=bool, stop=False)
    train.Trainer._evaluate(trainer, None, stages[0])
    trainer.stop = True
    with pytest.raises(train.Stopped):
        train.Trainer._evaluate(trainer, None, stages[0])


@pytest.mark.slow  # tests/test_distributed.py stops two processes so
def test_sigterm_at_any_step(tmp_path):
    after = random.randint(1, runs.LAST - 1)
    process = runs.start(tmp_path / "run", *runs.FLAGS)
    runs.wait_until(lambda: runs.steps_logged(tmp_path / "run") >= after, process)
    process.send_signal(signal.SIGTERM)
    code, out, err = runs.end(process)
    assert (code, err) == (143, ""), f"after step {after}"
    assert "Stopped by SIGTERM" in out
    assert runs.go_on(tmp_path / "run") == 0
    runs.assert_same_end(tmp_path / "run")


def test_a_finished_run_started_again_changes_nothing(copy):
    assert runs.go_on(copy) == 0
    runs.assert_same_end(copy)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def test_damaged_checkpoints_fall_back_to_the_one_before(copy, caplog, capfd):
    files = [p for p in (copy / "checkpoints/12").rglob("*") if p.is_file()]
    _flip(max(files, key=lambda p: p.stat().st_size))
    shutil.rmtree(copy / "checkpoints/10/state/d")
    assert runs.go_on(copy) == 0
    assert "checkpoint 12 is damaged" in caplog.text
    assert "not as written" in caplog.text
    assert "checkpoint 10 is damaged" in caplog.text
    assert "using step 8 instead" in caplog.text
    out, err = capfd.readouterr()
    assert "Going on from step 8" in out
    assert "Traceback" not in err
    runs.assert_same_end(copy)


@pytest.mark.slow
def test_a_full_disk_keeps_the_last_checkpoint(copy):
    for name in ("checkpoints/12", "checkpoints/10", "evaluations/combined.json"):
        (shutil.rmtree if "/1" in name else os.remove)(copy / name)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (30_000, limits[1])
    )  # any checkpoint has a file of 50 kB
    try:
        # JAX would warn that it cannot keep its programs either.
        alone = {"JAX_ENABLE_COMPILATION_CACHE": "false"}
        process = runs.start(copy, *runs.FLAGS, more=alone)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    code, _, err = runs.end(process)
    assert code == 2
    assert err.startswith(f"error: {copy}/checkpoints: saving a checkpoint failed")
    assert "File too large" in err
    assert "newest whole one: step 8" in err
    assert err.count("\n") == 1
    assert [p.name for p in (copy / "checkpoints").iterdir()] == ["8"]
    assert runs.go_on(copy) == 0
    runs.assert_same_end(copy)


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    workdir = tmp_path / "run"
    with pytest.raises(UserError, match="at step 1") as caught:
        runs.go_on(workdir, stages__single__lr=1e25)
    assert "param_norm=inf" in str(caught.value)
    assert not workdir.exists()


@pytest.mark.slow  # tests/data/test_pipeline.py compares their batches
def test_worker_processes_change_nothing(tmp_path):
    """Nor do other values of the fields that a run may go on with."""
    code, _, err = runs.end(runs.start(tmp_path / "run", *runs.FLAGS, "--config.data.workers=1"))
    assert (code, err) == (0, "")
    runs.assert_same_end(tmp_path / "run")


@pytest.fixture
def photos(tmp_path):
    """A folder of images that are too small to hold anything wrong by chance."""
    folder = tmp_path / "photos"
    for split in ("train", "test"):
        (folder / split).mkdir(parents=True)
        for i in range(3):
            pixels = np.random.default_rng(i).integers(0, 256, (40, 36, 3), np.uint8)
            Image.fromarray(pixels).save(folder / split / f"{i}.png")
    return folder


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_image_that_breaks_while_training_is_named(photos, tmp_path, workers):
    broken = photos / "train" / "1.png"
    broken.write_bytes(broken.read_bytes()[:300])
    code, _, err = runs.end(
        runs.start(
            *(tmp_path / "run", f"--config.data.workers={workers}"),
            config=f"configs/film_folder.py:{photos},tiny",
        )
    )
    assert code == 2
    assert err.startswith(f"error: {broken}")
    assert err.count("\n") == 1


@pytest.mark.slow
def test_an_image_smaller_than_asked_for_is_named(photos, tmp_path):
    small = photos / "train" / "2.png"
    Image.new("RGB", (31, 50)).save(small)
    code, _, err = runs.end(
        runs.start(tmp_path / "run", config=f"configs/film_folder.py:{photos},tiny")
    )
    assert (code, err.count("\n")) == (2, 1)
    for words in (str(small), "31 x 50", "at least 32", "config.data.size"):
        assert words in err


def test_another_number_of_examples_is_refused(copy, monkeypatch):
    data = copy / "checkpoints/12/data/metadata"
    data.write_text(json.dumps({"batches": 6, "examples": 7}))
    monkeypatch.setattr("taskfusion_jax.engine.checkpoint.Checkpoints._damage", lambda *_: "")
    with pytest.raises(UserError, match=r"trained on 7 examples.*has 1000000 now"):
        runs.go_on(copy)


def test_another_config_is_refused(copy):
    with pytest.raises(UserError, match=r"config.seed: 0 -> 1.*give another --workdir"):
        runs.go_on(copy, seed=1)


@pytest.mark.slow
def test_eight_devices_run_as_one_does(tmp_path):
    flags = (*runs.FLAGS, "--config.groups=8")
    losses = []
    for count in (1, 8):
        devices = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={count}"}
        code, _, err = runs.end(runs.start(tmp_path / str(count), *flags, more=devices))
        assert (code, err) == (0, "")
        lines = (tmp_path / str(count) / "metrics.jsonl").read_text().splitlines()
        losses.append([json.loads(line)["loss"] for line in lines])
    np.testing.assert_allclose(*losses, rtol=2e-3)
    np.testing.assert_allclose(losses[0][0], losses[1][0], rtol=1e-5)
