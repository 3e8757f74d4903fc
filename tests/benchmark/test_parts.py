"""What a ViT's parts cost: keys, the two steps beside each other, bytes."""

import json

import pytest
from rich.console import Console

from configs import bench_vit_parts
from taskfusion_jax.benchmark import report, run
from taskfusion_jax.benchmark.run import Options, benchmark
from taskfusion_jax.benchmark.workloads import build_workload
from tests.fails import fails

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def numbers():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.programs, "_SIDE", {"cpu": 64})
        patch.setattr("taskfusion_jax.benchmark.timing.BLOCK_S", 1e-6)
        made = benchmark(bench_vit_parts.get_config("tiny"), Options(batch=4, repeats=2), QUIET)
    return json.loads(json.dumps(report.flat(made)))


def test_every_work_is_timed(numbers):
    for work in ("full_step", "part_step", "forward", "mixed"):
        assert numbers[f"{work}/images_per_s"] > 0
    assert numbers["part_step/ratio_to_full"] > 0
    assert numbers["mixed/ratio_to_forward"] > 0


def test_bytes_are_those_of_what_moves(numbers):
    """Gradient and Adam's two moments, float32, of a micro ViT's base and of a prefix."""
    head, prefix = 64 * 10 + 10, 2 * 12 * 64 * 4
    base = 64 * 16 * 16 * 3 + 64 + 64 + 5 * 64 + 4 * (12 * 64 * 64 + 13 * 64) + 2 * 64
    found = {k: numbers[f"{k}/gradient_and_optimiser_bytes"] for k in ("full_step", "part_step")}
    assert found == {"full_step": 12 * (base + head), "part_step": 12 * (prefix + head)}
    assert abs(numbers["tasks/bytes"] - 10 * numbers["task/bytes"]) < 1000
    assert 0 <= numbers["task/bytes"] - 4 * (prefix + head) < 4000


def test_without_a_run_to_compare_with_nothing_is_measured():
    made = bench_vit_parts.get_config("tiny")
    del made.plain
    fails(lambda: build_workload(made, 2, None), "config.plain", "bench_vit_parts.py")
    fails(lambda: build_workload(bench_vit_parts.get_config("tiny"), 2, "part_99"), "part_99")
