"""The launcher of local processes, with a small fake program in place of `main`."""

import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[2] / "launch" / "local.py"
FAKE = """
    import os, signal, sys, time
    me = int(os.environ["PROCESS_ID"])

    def leave(*_):
        print("asked to stop", flush=True)
        sys.exit(143)

    def show(*names):
        for name in names:
            print(name, os.environ.get(name), flush=True)

    def sleep():
        time.sleep(30)
"""


@pytest.fixture
def launcher(tmp_path):
    """Starts the launcher with a program; returns the open process."""

    def start(program, *flags):
        (tmp_path / "fake.py").write_text(textwrap.dedent(FAKE) + textwrap.dedent(program))
        paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
        return subprocess.Popen(
            [sys.executable, LAUNCH, "--module=fake", *flags],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def finish(process):
    """Exit code and sorted lines."""
    out, err = process.communicate(timeout=20)
    assert err == ""
    return process.returncode, sorted(out.splitlines())


def dry(*flags, variables=None):
    """What a dry run prints: (variables, words) for each process."""
    done = subprocess.run(
        [sys.executable, LAUNCH, "--dry-run", *flags],
        env={**os.environ, **(variables or {})},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for line in done.stdout.splitlines():
        words = shlex.split(line)
        start = words.index(sys.executable)
        yield dict(word.split("=", 1) for word in words[:start]), words[start + 1 :]


def test_dry_run_tells_each_process_who_it_is():
    flags = ("--processes=2", "--devices=4", "--port=1234")
    main = ("--config=configs/x.py:a,b", "--config.data.foreground=(3, 4)", "--workdir=runs/a b")
    xla = {"XLA_FLAGS": "--xla_a=1 --xla_force_host_platform_device_count=3 --xla_b=2"}
    processes = list(dry(*flags, "--", *main, variables=xla))
    assert len(processes) == 2
    for i, (variables, words) in enumerate(processes):
        assert words == ["-m", "taskfusion_jax.main", "--distributed", *main]
        assert variables == {
            "COORDINATOR_ADDRESS": "localhost:1234",
            "NUM_PROCESSES": "2",
            "PROCESS_ID": str(i),
            "PYTHONUNBUFFERED": "1",
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": "4",
            "XLA_FLAGS": "--xla_a=1  --xla_b=2",
        }


def test_gpus_are_shared_out():
    processes = list(dry("--processes=2", "--gpus=0,1,4,5", "--", "--workdir=x"))
    assert [v["CUDA_VISIBLE_DEVICES"] for v, _ in processes] == ["0,1", "4,5"]
    assert not any("JAX_PLATFORMS" in v or "JAX_NUM_CPU_DEVICES" in v for v, _ in processes)
    ports = {v["COORDINATOR_ADDRESS"] for v, _ in processes}
    assert len(ports) == 1 and re.fullmatch(r"localhost:[1-9]\d{3,}", ports.pop())


def test_lines_carry_their_process_number(launcher):
    program = """
        show("NUM_PROCESSES", "JAX_NUM_CPU_DEVICES")
        print(*sys.argv[1:], file=sys.stderr)
    """
    code, lines = finish(launcher(program, "--devices=3", "--", "--workdir=x"))
    each = ("--distributed --workdir=x", "JAX_NUM_CPU_DEVICES 3", "NUM_PROCESSES 2")
    assert code == 0
    assert lines == [f"[{i}] {line}" for i in range(2) for line in each]


def test_when_one_dies_the_others_may_leave_by_themselves(launcher):
    program = """
        time.sleep(0.1 + 0.5 * me)
        print("leaving", flush=True)
        sys.exit(7 + me)
    """
    code, lines = finish(launcher(program, "--processes=3"))
    assert code == 7
    left = [f"[{i}] leaving" for i in range(3)]
    ended = [f"[launch] process {i} ended with code {7 + i}" for i in range(3)]
    assert lines == left + ended


def test_who_does_not_leave_is_asked_after_the_grace(launcher):
    program = """
        if me == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        signal.signal(signal.SIGTERM, leave)
        sleep()
    """
    code, lines = finish(launcher(program, "--grace=0.5"))
    assert code == 128 + signal.SIGKILL
    assert "[0] asked to stop" in lines
    assert "[launch] process 0 ended with code 143" in lines


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_all_as_sigterm(launcher, number):
    program = """
        signal.signal(signal.SIGTERM, leave)
        print("ready", flush=True)
        sleep()
    """
    process = launcher(program)
    assert {process.stdout.readline() for _ in range(2)} == {"[0] ready\n", "[1] ready\n"}
    process.send_signal(number)
    code, lines = finish(process)
    assert code == 143
    assert [line for line in lines if "asked" in line] == [
        "[0] asked to stop",
        "[1] asked to stop",
    ]


def test_a_second_signal_kills(launcher):
    program = """
        signal.signal(signal.SIGTERM, lambda *_: print("not yet", flush=True))
        print("ready", flush=True)
        while True:
            sleep()
    """
    process = launcher(program, "--processes=1")
    assert process.stdout.readline() == "[0] ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "[0] not yet\n"
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 128 + signal.SIGKILL


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--processes=0"], "count from 1"),
        (["--processes=2", "--gpus=0,1,2"], "3 GPUs cannot be divided among 2"),
        (["--proceses=2"], "unrecognized arguments: --proceses=2"),
    ],
)
def test_wrong_flags_get_one_line(flags, words):
    done = subprocess.run([sys.executable, LAUNCH, *flags], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert words in done.stderr
