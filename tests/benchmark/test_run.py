"""The command: JSON keys, the table, and errors of one line."""

import io
import json
import subprocess
import sys

import pytest
from rich.console import Console

from configs import quickstart
from taskfusion_jax.benchmark import machine, report, run
from taskfusion_jax.benchmark.run import Options, benchmark
from tests.engine import runs
from tests.fails import fails

QUIET = Console(quiet=True)


@pytest.fixture(autouse=True)
def _small_ceiling(monkeypatch):
    """The product that fills a machine takes too long for a test."""
    monkeypatch.setattr(run.programs, "_SIDE", {"cpu": 64})
    monkeypatch.setattr("taskfusion_jax.benchmark.timing.BLOCK_S", 1e-6)


def test_keys_and_table():
    pytest.importorskip("torch")
    config = quickstart.get_config("tiny")
    options = Options(against="torch", batch=2, repeats=2, only=("forward", "pipeline"))
    torch_compile(False)
    try:
        measured = benchmark(config, options, QUIET)
    finally:
        torch_compile(True)
    numbers = json.loads(json.dumps(report.flat(measured)))
    best = numbers["forward/best_of_torch"]
    assert best in ("torch eager nchw", "torch eager channels_last")
    for key in (
        *("forward/images_per_s", "forward/images_per_s_min", "forward/images_per_s_max"),
        *("forward/ratio_to_torch", "forward/ratio_to_torch_min", "forward/ratio_to_torch_max"),
        *("forward/flops", "forward/traced_flops", "forward/xla_flops", "forward/compile_s"),
        *("forward/peak_bytes", "forward/share_of_matmul", f"forward/{best}/images_per_s"),
        *("matmul/gflops_per_s", "matmul/torch/gflops_per_s"),
        *("pipeline/images_per_s", "pipeline/images_per_s_per_worker"),
        *("compile_s", "load_average", "threads", "repeats"),
    ):
        assert numbers[key] > 0 or key == "load_average", key
    for key in ("config", "dtype", "seed", "commit", "command", "hardware", "versions/jax"):
        assert key in numbers
    assert numbers["forward/images"] == 2
    assert any("torch.compile does not work here" in note for note in numbers["notes"])
    console = Console(width=120, record=True, file=io.StringIO())
    report.show(measured, console)
    text = console.export_text()
    for words in ("forward, 2 images", f"{best} *", "by definition", "input pipeline (scenes)"):
        assert words in text


def torch_compile(works):
    """Whether PyTorch's compiler is there."""
    import torch

    def absent(*_, **__):
        raise RuntimeError("no compiler\nanywhere")

    torch.compile = _COMPILE.setdefault("original", torch.compile) if works else absent


_COMPILE = {}


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({}, {"only": ("forwrd",)}, "--only: no 'forwrd' (did you mean 'forward'?)"),
        ({}, {"stage": "singel"}, "--stage: no stage 'singel' (did you mean 'single'?)"),
        ({"method": "flim"}, {}, "config.method: no benchmark of 'flim' (did you mean 'film'?)"),
        ({"dtype": "float23"}, {}, "config.dtype: no 'float23'"),
    ],
)
def test_what_is_refused(changes, options, words):
    config = quickstart.get_config("tiny")
    config.update(changes)
    fails(lambda: benchmark(config, Options(**options), QUIET), words)


def test_without_pytorch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    options = Options(against="torch", only=("forward",))
    fails(
        lambda: benchmark(quickstart.get_config("tiny"), options, QUIET),
        "PyTorch is not installed; pip install torch==2.13.0",
    )


def test_a_difference_stops_before_anything_is_timed(monkeypatch):
    pytest.importorskip("torch")
    from taskfusion_jax.benchmark.twins import layers

    monkeypatch.setattr(layers.F, "instance_norm", lambda x: x)
    monkeypatch.setattr(run, "interleave", lambda *_: pytest.fail("timed"))
    options = Options(against="torch", batch=2, only=("forward",))
    fails(
        lambda: benchmark(quickstart.get_config("tiny"), options, QUIET),
        "forward, torch eager nchw: output differs by",
    )


def test_data_that_is_not_there_is_stood_in_for():
    config = quickstart.get_config("tiny")
    config.data.source, config.data.voc_folder.dir = "voc_folder", "gone"
    measured = benchmark(config, Options(repeats=1, only=("pipeline",)), QUIET)
    numbers = report.flat(measured)
    assert numbers["pipeline/source"] == "scenes"
    assert "gone" in numbers["notes"][-1]


def test_a_busy_machine_is_told(monkeypatch):
    monkeypatch.setattr(machine, "_others", lambda: 0.5)
    assert "others use 50% of the machine's cores" in machine.busy()
    monkeypatch.setattr(machine, "_others", lambda: 0.05)
    assert machine.busy() == ""


def test_the_share_of_others_is_what_is_not_idle(monkeypatch, tmp_path):
    """/proc/stat: user nice system idle iowait irq softirq steal, in ticks since the start."""
    stat, ticks = tmp_path / "stat", iter(["10 0 10 70 10 0 0 0", "20 0 15 135 30 0 0 0"])
    monkeypatch.setattr(machine, "_STAT", stat)
    assert machine._others(0) == 0

    class File:
        def exists(self):
            return True

        def read_text(self):
            return f"cpu  {next(ticks)}\ncpu0 1 1 1 1 1 1 1 1\n"

    monkeypatch.setattr(machine, "_STAT", File())
    assert machine._others(0) == pytest.approx(15 / 100)


def test_the_command_prints_json_alone():
    words = (f"--config={runs.TINY}", "--only=pipeline", "--repeats=1", "--json")
    done = subprocess.run(
        [sys.executable, "-m", "taskfusion_jax.benchmark", *words],
        cwd=runs.ROOT,
        env=runs.environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout)
    assert numbers["pipeline/images_per_s"] > 0
    assert numbers["command"].startswith("python -m taskfusion_jax.benchmark --config=")
