"""Masks of known structure have the numbers that their structure gives."""

import json
import math

import numpy as np
import pytest

from taskfusion_jax.mask_study import study
from taskfusion_jax.task_files import write_shared, write_task
from tests.fails import fails

SHAPES = {"encoder/conv_0/kernel": (3, 3, 4, 16), "decoder/conv_0/kernel": (64, 32)}
WEIGHTS = 576 + 2048


def write(folder, masks, ternary=False):
    """masks: task -> values of both layers; slots in the order given."""
    belongs_to = write_shared(folder, {"w": np.zeros(2, np.float32)})
    for slot, (task, layers) in enumerate(masks.items()):
        own = {f"mask/{name}": np.float32(x) for name, x in layers.items()}
        own["own/head/kernel"] = np.ones((2, 2), np.float32)
        write_task(folder, task, own, belongs_to, 0.5, ternary, slot)
    return folder


def constant(value):
    return {name: np.full(shape, value) for name, shape in SHAPES.items()}


def random(seed, density=0.5):
    rng = np.random.default_rng(seed)
    return {name: rng.random(shape) < density for name, shape in SHAPES.items()}


def test_zeros_and_similarity_are_counted(tmp_path):
    """Names in the order of slots, not of the alphabet; the base comes first."""
    half = constant(1)
    half["decoder/conv_0/kernel"] = np.arange(2048).reshape(64, 32) % 4 == 0
    numbers = study(write(tmp_path, {"b": constant(1), "a": half, "c": constant(0)}), "base")
    assert json.loads(json.dumps(numbers)) == numbers
    assert numbers["base"] == "base" and numbers["weights"] == WEIGHTS
    assert numbers["layers"] == {"decoder/conv_0/kernel": 2048, "encoder/conv_0/kernel": 576}
    tasks, zeros = numbers["tasks"], 3 / 4 * 2048 / WEIGHTS
    assert list(tasks) == ["b", "a", "c"]
    assert [task["zeros"] for task in tasks.values()] == [0, zeros, 1]
    per_layer = {"decoder/conv_0/kernel": 0.75, "encoder/conv_0/kernel": 0}
    assert tasks["a"]["zeros_per_layer"] == per_layer
    similarity = {"a": {"base": 1 - zeros, "b": 1 - zeros}, "c": {"base": 0, "b": 0, "a": zeros}}
    assert numbers["similarity"].pop("b") == {"base": 1}
    for task, shares in similarity.items():
        assert numbers["similarity"][task] == pytest.approx(shares)


def test_entropy_is_a_layers_own(tmp_path):
    """A constant layer costs nothing, one with a quarter of ones H(1/4) a weight."""
    quarter = constant(1)
    quarter["decoder/conv_0/kernel"] = np.arange(2048).reshape(64, 32) % 4 == 0
    numbers = study(write(tmp_path, {"a": quarter, "b": constant(0)}), "base")
    expected = (0.25 * math.log2(4) + 0.75 * math.log2(4 / 3)) * 2048 / WEIGHTS
    assert numbers["tasks"]["a"]["entropy"] == pytest.approx(expected)
    assert str(numbers["tasks"]["b"]["entropy"]) == "0.0"


def test_what_repeats_packs_small_and_what_is_random_does_not(tmp_path):
    numbers = study(write(tmp_path, {"same": constant(1), "random": random(0)}), "base")
    same, other = (numbers["tasks"][task]["bytes"] for task in ("same", "random"))
    assert same["packed"] == other["packed"] == WEIGHTS // 8
    assert max(same["zstd"], same["lzma"]) < 100
    assert WEIGHTS // 8 <= min(other["zstd"], other["lzma"]) < WEIGHTS // 8 + 100


def test_a_mask_is_told_apart_from_the_most_similar_earlier_one(tmp_path):
    """A copy differs nowhere; one with a few weights turned by their entropy."""
    first, second = random(0), random(1)
    near = {name: x.copy() for name, x in first.items()}
    near["decoder/conv_0/kernel"][:, 0] ^= True  # 64 of 2,048
    masks = {"first": first, "second": second, "copy": second, "near": near}
    tasks = study(write(tmp_path, masks), "base")["tasks"]
    assert tasks["first"]["difference"] is None
    assert tasks["second"]["difference"]["task"] == "first"
    assert tasks["second"]["difference"]["entropy"] > 0.99
    copy = tasks["copy"]["difference"]
    assert copy["task"] == "second" and copy["entropy"] == 0 and copy["zstd"] < 30
    turned = 64 / 2048
    bits = -(turned * math.log2(turned) + (1 - turned) * math.log2(1 - turned))
    apart = tasks["near"]["difference"]
    assert apart["task"] == "first"
    assert apart["entropy"] == pytest.approx(bits * 2048 / WEIGHTS)
    assert apart["zstd"] < tasks["near"]["bytes"]["zstd"] / 4


def test_masks_of_rank_one_are_of_low_rank_and_random_ones_are_not(tmp_path):
    """Less its mean, an outer product has rank 2; a kernel's columns are its outputs."""
    rng = np.random.default_rng(0)
    outer = {
        name: np.multiply.outer(rng.random(shape[:-1]) < 0.5, rng.random(shape[-1]) < 0.5)
        for name, shape in SHAPES.items()
    }
    masks = {"outer": outer, "random": random(1), "ones": constant(1)}
    tasks = study(write(tmp_path, masks), "base")["tasks"]
    low = tasks["outer"]["low_rank"]
    assert low["energy"] == pytest.approx(1, abs=1e-5)
    assert low["random"] < 0.4
    low = tasks["random"]["low_rank"]
    assert low["energy"] == pytest.approx(low["random"], abs=0.03)
    assert tasks["ones"]["low_rank"] == {"energy": None, "random": None, "weights": 1}


def test_the_energy_is_that_of_the_singular_values(tmp_path):
    mask = random(0, density=0.2)
    top = total = 0.0
    for x in mask.values():
        x = np.reshape(x, (-1, x.shape[-1])).astype(np.float64)
        squares = np.linalg.svd(x - x.mean(), compute_uv=False) ** 2
        top += squares[: len(squares) // 8].sum()
        total += squares.sum()
    numbers = study(write(tmp_path, {"a": mask}), "base")
    assert numbers["tasks"]["a"]["low_rank"]["energy"] == pytest.approx(top / total, rel=1e-4)


def test_masks_of_vectors_have_no_rank(tmp_path):
    vectors = {"bias": np.arange(24) % 2, "kernel": random(0)["encoder/conv_0/kernel"]}
    low = study(write(tmp_path, {"a": vectors}), "base")["tasks"]["a"]["low_rank"]
    assert low["weights"] == 576 / 600


def test_ternary_masks_take_two_bits_and_differ_in_sign(tmp_path):
    third = {name: np.arange(math.prod(s)).reshape(s) % 3 - 1 for name, s in SHAPES.items()}
    other = {name: -x for name, x in third.items()}
    numbers = study(write(tmp_path, {"a": third, "b": other}, ternary=True), "base")
    a, b = numbers["tasks"].values()
    zeros = sum(np.count_nonzero(x == 0) for x in third.values()) / WEIGHTS
    assert a["zeros"] == zeros
    assert numbers["similarity"]["b"]["a"] == zeros
    assert a["entropy"] == pytest.approx(math.log2(3), abs=1e-5)
    assert a["bytes"]["packed"] == 2 * WEIGHTS // 8
    # Where they differ they differ alike: zero or not is all there is to tell.
    entropy = math.log2(3) - 2 / 3
    assert b["difference"]["entropy"] == pytest.approx(entropy, abs=1e-3)


def test_folders_that_cannot_be_studied_are_refused(tmp_path):
    fails(lambda: study(write(tmp_path / "none", {"a": {}}), "base"), "none", "no task has masks")
    folder = write(tmp_path / "two", {"a": constant(1), "b": {"other": np.ones(3)}})
    fails(lambda: study(folder, "base"), folder / "b.safetensors", "other weights", "a.safetensors")
    folder = write(tmp_path / "base", {"a": constant(1), "no_mask": {}})
    assert list(study(folder, "b")["tasks"]) == ["a"]
    fails(lambda: study(folder, "a"), folder / "a.safetensors", "all ones")
