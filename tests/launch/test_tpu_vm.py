"""What the TPU launcher tells gcloud, and what the workers then do, with a fake gcloud."""

import os
import shlex
import subprocess
import time
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[2] / "launch" / "tpu_vm.sh"
HERE = ("--name=film", "--zone=us-central2-b")
# One worker whose home is a folder of this machine.
GCLOUD = """#!/usr/bin/env bash
echo "$*" >>"$HOME/gcloud.txt"
case $4 in
    scp) cp "$5" "$HOME/${6#*:}" ;;
    ssh) for word; do case $word in --command=*) cd; bash -c "${word#*=}"; exit ;; esac; done ;;
esac
"""
PYTHON = """#!/usr/bin/env bash
trap 'echo saved; exit 143' TERM
printf '<%s>' "$@"; echo
while true; do sleep 0.05; done
"""


def launch(*words, **variables):
    return subprocess.run(
        [LAUNCH, *words],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=20,
    )


def dry(command, *flags):
    """The gcloud commands that it would run, as words."""
    done = launch(command, *HERE, "--dry-run", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    return [shlex.split(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("command", "flags", "words"),
    [
        (
            "create",
            ["--type=v4-32"],
            "tpu-vm create film --accelerator-type=v4-32 --version=tpu-ubuntu2204-base",
        ),
        (
            "create",
            ["--type=v6e-8", "--version=v2-alpha-tpuv6e", "--spot", "--queued"],
            "queued-resources create film --node-id=film --accelerator-type=v6e-8 "
            "--runtime-version=v2-alpha-tpuv6e --spot",
        ),
        ("delete", [], "tpu-vm delete film"),
        ("delete", ["--queued"], "queued-resources delete film --force"),
    ],
)
def test_create_and_delete(command, flags, words):
    expected = ["gcloud", "compute", "tpus", *words.split(), "--zone=us-central2-b"]
    assert dry(command, *flags) == [expected]
    assert dry(command, *flags, "--project=mine") == [[*expected, "--project=mine"]]


@pytest.mark.parametrize(
    ("command", "flags", "worker", "words"),
    [
        ("copy", [], "all", "-e '.[tpu]'"),
        ("run", ["--", "--workdir=x"], "all", "-m taskfusion_jax.main --distributed --workdir=x"),
        ("logs", [], "0", "tail -n 100 -F taskfusion_jax.log"),
        ("logs", ["--worker=3"], "3", "tail"),
        ("stop", [], "all", "kill -TERM"),
    ],
)
def test_workers_are_told(command, flags, worker, words):
    told = dry(command, *flags)[-1]
    assert told[:6] == ["gcloud", "compute", "tpus", "tpu-vm", "ssh", "film"]
    assert told[6] == f"--worker={worker}" and told[8] == "--zone=us-central2-b"
    assert words in told[7]


@pytest.fixture
def worker(tmp_path):
    """The variables of a machine with a fake gcloud and, installed, a fake Python."""
    for path, text in (("bin/gcloud", GCLOUD), ("taskfusion_jax/.venv/bin/python", PYTHON)):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
        (tmp_path / path).chmod(0o755)
    return {"HOME": str(tmp_path), "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}


def shown(log, words):
    """Waits until the log shows the words."""
    for _ in range(100):
        if log.is_file() and words in log.read_text():
            return True
        time.sleep(0.05)
    return False


def test_a_run_is_detached_stopped_and_started_again(worker, tmp_path):
    log = tmp_path / "taskfusion_jax.log"
    arguments = ("--config=x.py:a,b", "--config.data.foreground=(3, 4)", "--workdir=/a b/$c")
    done = launch("run", *HERE, "--", *arguments, **worker)
    assert (done.returncode, done.stderr) == (0, "")
    words = ["-u", "-m", "taskfusion_jax.main", "--distributed", *arguments]
    assert shown(log, "".join(f"<{word}>" for word in words))
    try:
        again = launch("run", *HERE, "--", *arguments, **worker)
        assert again.returncode == 1 and "a run is going on" in again.stderr
    finally:
        assert launch("stop", *HERE, **worker).returncode == 0
    assert shown(log, "saved")
    assert log.read_text().count("<-u>") == 1


def test_copy_sends_tracked_files_only(worker, tmp_path):
    root = tmp_path / "checkout"
    (root / "launch").mkdir(parents=True)
    (root / "launch" / "tpu_vm.sh").write_text(LAUNCH.read_text())
    (root / "secret").write_text("not tracked")
    (root / "launch" / "tpu_vm.sh").chmod(0o755)
    for words in (("init", "--quiet"), ("add", "launch")):
        subprocess.run(["git", *words], cwd=root, check=True, capture_output=True)
    # Nothing is installed here: the fake pip and uv are those of a worker that has all.
    python = tmp_path / "bin" / "python3"
    python.write_text('#!/usr/bin/env bash\necho "$@" >>"$HOME/python3.txt"\n')
    python.chmod(0o755)
    done = subprocess.run(
        [root / "launch" / "tpu_vm.sh", "copy", *HERE],
        env={**os.environ, **worker},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "taskfusion_jax" / "launch" / "tpu_vm.sh").is_file()
    assert not (tmp_path / "taskfusion_jax" / "secret").exists()
    assert "pip install --quiet --python=.venv -e .[tpu]" in (tmp_path / "python3.txt").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fly"], "no command 'fly'"),
        (["create", "--zone=z"], "--name is missing"),
        (["create", "--name=n"], "--zone is missing"),
        (["create", *HERE], "--type is missing"),
        (["run", *HERE], "nothing to run"),
        (["logs", *HERE, "--wroker=1"], "no flag '--wroker=1'"),
    ],
)
def test_mistakes_get_one_line(words, message):
    done = launch(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert message in done.stderr


@pytest.mark.parametrize("words", [[], ["--help"], ["run", "--help"]])
def test_help_teaches(words):
    done = launch(*words)
    assert done.returncode == 0
    for command in ("create", "copy", "run", "logs", "stop", "delete", "--dry-run", "Example"):
        assert command in done.stdout
