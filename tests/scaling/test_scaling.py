"""Closed forms of the scaling model, and the command that prints it."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from taskfusion_jax.scaling.machines import MACHINES, Link, Machine
from taskfusion_jax.scaling.predict import pass_seconds, predict, rows_needed, stops_paying
from taskfusion_jax.scaling.study import Study
from taskfusion_jax.scaling.workloads import WORKLOADS, Workload
from tests.fails import fails

FAST, SLOW = Link("fast", 8e9, 1e-6), Link("slow", 1e9, 1e-5)
RING = Machine("ring", "chip", 1e12, ((math.inf, FAST),))
HOSTS = Machine("hosts", "chip", 1e12, ((4, FAST), (math.inf, SLOW)))
WORK = Workload("work", parameters=1000, flops=1e9, rows=8, batch=64)
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("devices", [1, 2, 3, 8, 1024])
def test_an_all_reduce_on_a_ring_is_its_closed_form(devices):
    """2 (n - 1) / n of the bytes, 2 (n - 1) hops (Patarasuk & Yuan 2009)."""
    size = 1e6
    expected = 2 * (devices - 1) / devices * size / 8e9 + 2 * (devices - 1) * 1e-6
    assert predict(devices, 1, 1, size, RING).exchange_s == pytest.approx(expected)


def test_fsdp_moves_as_much_as_data_parallelism():
    data, fsdp = (predict(16, 1, 1, 1e6, HOSTS, mode).exchange_s for mode in ("data", "fsdp"))
    assert fsdp == pytest.approx(data)


def test_rings_of_rings_move_what_one_ring_moves():
    """At equal bandwidths only the hops differ: 3 + 7 instead of 31."""
    torus = pass_seconds(1e6, [(4, FAST), (8, FAST)])
    ring = pass_seconds(1e6, [(32, FAST)])
    assert ring - torus == pytest.approx((31 - 10) * 1e-6)


def test_hosts_exchange_what_is_left_to_a_device():
    inside = 3 / 4 * 1e6 / 8e9 + 3e-6
    across = 7 / 8 * (1e6 / 4) / 1e9 + 7e-5
    assert pass_seconds(1e6, HOSTS.rings(32)) == pytest.approx(inside + across)


def test_rings_are_filled_from_the_inside():
    assert HOSTS.rings(1) == []
    assert HOSTS.rings(2) == [(2, FAST)]
    assert HOSTS.rings(4) == [(4, FAST)]
    assert HOSTS.rings(16) == [(4, FAST), (4, SLOW)]
    assert [n for n, _ in MACHINES["v5e"].rings(1024)] == [16, 16, 4]
    fails(lambda: HOSTS.rings(6), "6 chip do not fill rings of 4")
    fails(lambda: MACHINES["v4"].rings(8192), "more than one network joins")


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_one_device_does_what_was_measured(machine):
    study = Study(WORK, machine, share=0.5, measured=123.0)
    for one in (study.fixed_rows[0], study.fixed_batch[0]):
        assert one.devices == 1 and one.exchange_s == 0
        for overlap in (0, 1):
            assert one.images_per_s(overlap) == pytest.approx(123)
            assert one.efficiency(overlap) == 1


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
@pytest.mark.parametrize("mode", ["data", "fsdp"])
def test_more_devices_are_never_more_efficient(machine, mode):
    study = Study(WORK, machine, share=0.5, mode=mode)
    for predictions in (study.fixed_rows, study.fixed_batch):
        for overlap in (0, 1):
            efficiencies = [p.efficiency(overlap) for p in predictions]
            assert efficiencies == sorted(efficiencies, reverse=True)
        assert all(p.images_per_s(0) <= p.images_per_s(1) for p in predictions)


def test_a_fixed_batch_is_shared_out():
    study = Study(WORK, RING, share=0.5)
    assert [p.devices * p.rows for p in study.fixed_batch] == [64] * 7
    assert {p.rows for p in study.fixed_rows} == {8}


def test_speed_without_a_measurement_is_flops_over_a_share_of_the_peak():
    assert Study(WORK, RING, share=0.25).image_s == pytest.approx(1e9 / 0.25e12)


@pytest.mark.parametrize("overlap", [0, 1])
def test_rows_needed_are_just_enough(overlap):
    exchange = predict(64, 1, 1e-5, 1e6, HOSTS).exchange_s
    rows = rows_needed(exchange, 1e-5, overlap)
    assert rows > 1
    enough, short = (predict(64, r, 1e-5, 1e6, HOSTS) for r in (rows, rows - 1))
    assert enough.efficiency(overlap) >= 0.8 > short.efficiency(overlap)
    assert stops_paying([enough], overlap) is None
    assert stops_paying([enough, short], overlap) == 64


def test_workloads_are_counted():
    """ViT-B/16 against its closed form; a backward pass costs two forward ones."""
    film, vit = WORKLOADS["film"](), WORKLOADS["vit_b16"]()
    assert film.parameters > 1_698_435 and vit.parameters == 86_567_656
    assert vit.size == 4 * 86_567_656
    # 12 blocks on 197 tokens of 768: projections 12 d^2, attention 2 n d; patches on top.
    forward = 2 * 197 * 12 * (12 * 768**2 + 2 * 197 * 768) + 2 * 196 * 768 * 768
    assert vit.flops == pytest.approx(3 * forward, rel=0.02)


def command(*words):
    return subprocess.run(
        [sys.executable, "-m", "taskfusion_jax.scaling", *words],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_the_command_reads_the_benchmark(tmp_path):
    measured = tmp_path / "benchmark.json"
    measured.write_text(json.dumps({"train_step/images_per_s": 250.0, "compile_s": 3}))
    flags = ("--workloads=film", "--machines=h200,h200_ethernet", f"--measured={measured}")
    done = command(*flags, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    records = json.loads(done.stdout)
    assert {r["images_per_s"] for r in records if r["devices"] == 1} == {250}
    assert {r["machine"] for r in records} == {"h200", "h200_ethernet"}
    assert max(r["devices"] for r in records) == 1024


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--machines=v5x"], "--machines: no 'v5x' (did you mean 'v5e'?)"),
        (["--images_per_s=3"], "a measured speed holds for one workload"),
        (["--measured=nope.json"], "--measured=nope.json: no train_step/images_per_s in it"),
    ],
)
def test_mistakes_get_one_line(flags, words):
    done = command(*flags)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert words in done.stderr


def test_the_documentation_shows_what_the_command_prints():
    """But for FLOPs, which XLA's versions may count a little differently."""
    page = (ROOT / "docs" / "scaling.md").read_text()
    for name in ("film", "vit_b16"):
        text = Study(WORKLOADS[name](), MACHINES["v5e"], share=0.35).text().splitlines()
        for line in (text[0], text[1], text[3]):
            assert line in page
