"""The works of masks: keys, the two steps beside each other, and what switching must not do."""

import io
import json

import jax
import numpy as np
import pytest
from rich.console import Console

from configs import bench_masks, matsumoto
from taskfusion_jax.benchmark import report, run
from taskfusion_jax.benchmark.run import Options, benchmark
from taskfusion_jax.benchmark.workloads import build_workload
from taskfusion_jax.engine import names
from tests.fails import fails

QUIET = Console(quiet=True)
STEPS = ("plain_step", "masked_step")
STORED = ("forward", "switch", "open")


@pytest.fixture(scope="module")
def rounds():
    """Which programs were timed in the same rounds, by what they are called there."""
    return []


@pytest.fixture(scope="module")
def measured(rounds):
    def interleave(sides, *rest):
        rounds.append({name: program for side in sides for name, program in side.items()})
        return original(sides, *rest)

    original = run.interleave
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "interleave", interleave)
        patch.setattr(run.programs, "_SIDE", {"cpu": 64})
        patch.setattr("taskfusion_jax.benchmark.timing.BLOCK_S", 1e-6)
        yield benchmark(bench_masks.get_config("tiny"), Options(batch=2, repeats=3), QUIET)


@pytest.fixture(scope="module")
def numbers(measured):
    return json.loads(json.dumps(report.flat(measured)))


@pytest.fixture(scope="module")
def workload():
    return build_workload(bench_masks.get_config("tiny"), 2, None)


def test_keys(numbers):
    for work in (*STEPS, *STORED):
        for key in ("ms", "seconds", "compile_s", "rounds"):
            assert numbers[f"{work}/{key}"] > 0
        assert numbers[f"{work}/ms"] == pytest.approx(1e3 * numbers[f"{work}/seconds"])
        with_images = {f"{work}/{key}" for key in ("images", "images_per_s", "flops")}
        assert with_images & set(numbers) == (with_images if work in (*STEPS, "forward") else set())
    assert {numbers[f"{work}/images"] for work in (*STEPS, "forward")} == {2}


def test_the_ratio_is_that_of_the_two_steps_round_by_round(numbers):
    """The ratio of two medians lies where those of the rounds do."""
    plain, masked = (numbers[f"{work}/images_per_s"] for work in STEPS)
    low, ratio, high = (numbers[f"masked_step/ratio_to_plain{x}"] for x in ("_min", "", "_max"))
    assert low <= ratio <= high
    assert low * (1 - 1e-9) <= plain / masked <= high * (1 + 1e-9)
    assert not [key for key in numbers if key.startswith("plain_step/ratio")]


def test_only_the_steps_share_rounds(measured, rounds):
    together = [[name.split()[-1] for name in programs] for programs in rounds]
    assert together == [[*STEPS, "matmul"], *([work, "matmul"] for work in STORED)]


def test_the_two_steps_move_a_network_and_masks_of_the_same_weights(measured, rounds):
    plain, masked = (
        {name.partition("/net/task_2/")[2] for name in program.result if name != "loss"}
        for program in list(rounds[0].values())[:2]
    )
    assert any(name.startswith("encoder/") for name in plain)
    kernels = {name for name in plain if name.endswith("/kernel")}
    assert masked == {
        *(f"mask/{name}" for name in kernels if not name.startswith("head/")),
        *(f"own/{name}" for name in plain if name.startswith("head/")),
    }


def test_switching_compiles_no_image_program(numbers):
    assert numbers["switch/compilations"] == 0


def test_bytes_are_those_of_the_weights(numbers, workload):
    """float32 for what is shared, a bit for each masked weight; the rest is names and a head."""
    shapes = jax.eval_shape(workload.experiment.method.init, jax.random.key(0))
    shared, bits = names.size(shapes["base"]), names.size(shapes["task_2"]["mask"])
    assert 4 * shared < numbers["shared/bytes"] < 4 * shared + 10_000
    assert numbers["task/mask_bytes"] == pytest.approx(bits / 8, abs=20)
    assert 0 < numbers["task/bytes"] - numbers["task/mask_bytes"] < 10_000


def test_half_of_the_weights_are_dropped(workload):
    workload._stored.open("segmentation_2")
    masks = workload._stored.opened["segmentation_2"]["mask"]
    bits = np.concatenate([np.unpackbits(x) for x in jax.tree.leaves(masks)])
    assert bits.mean() == pytest.approx(0.5, abs=0.05)


def test_table(measured):
    console = Console(width=120, record=True, file=io.StringIO())
    report.show(measured, console)
    text = " ".join(console.export_text().split())
    for words in (
        *("plain_step, 2 images", "masked_step takes", "times as long as plain_step"),
        *("switch: switch/compilations 0; between", "open: shared/bytes", "task/mask_bytes"),
    ):
        assert words in text
    assert "nan" not in text


def test_the_full_size_is_the_papers():
    ours, full = bench_masks.get_config(), matsumoto.get_config("piggyback")
    assert ours.data.size == full.data.size == 128
    for name in ("unet", "piggyback", "optimiser"):
        assert ours[name] == full[name]
    assert ours.tasks.segmentation_2 == full.tasks.segmentation_2


def test_what_is_refused():
    config = bench_masks.get_config("tiny")
    for stage, words in (
        ("segmentation_1", "--stage=segmentation_1 trains no masks, but segmentation_2 does"),
        ("segmentation_3", "--stage: no stage 'segmentation_3'"),
    ):
        fails(lambda stage=stage: build_workload(config, 2, stage), words)
    fails(
        lambda: benchmark(config, Options(against="torch", only=STEPS), QUIET),
        "--against=torch: there is no plain_step or masked_step in PyTorch; leave it out",
    )
    del config.plain
    fails(lambda: build_workload(config, 2, None), "config.plain")
