"""A network as files: exact, small, and refused where it is not whole or not ours."""

import functools
import hashlib
import math

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from taskfusion_jax.methods.masks import binarise, masked, ternarise
from taskfusion_jax.task_files import (
    checksum,
    list_tasks,
    read_shared,
    read_task,
    write_shared,
    write_task,
)
from tests.fails import fails

RNG = np.random.default_rng(0)
SHARED = {
    "encoder/conv_0/kernel": RNG.normal(size=(3, 3, 2, 5)).astype(np.float32),
    "encoder/conv_0/bias": RNG.normal(size=5).astype(np.float32),
    "scale": np.float32(np.pi),
}
OWN = {
    "mask/encoder/conv_0/kernel": RNG.normal(size=(3, 3, 2, 5)).astype(np.float32),
    "own/head/kernel": RNG.normal(size=(1, 1, 5, 3)).astype(np.float32),
    "own/head/bias": np.float32([np.nan, -0.0, np.inf]),
}


@pytest.fixture
def folder(tmp_path):
    write_shared(tmp_path / "files", SHARED)
    write_task(tmp_path / "files", "voc", OWN, checksum(SHARED))
    return tmp_path / "files"


def same(found, expected):
    assert sorted(found) == sorted(expected)
    for name, x in expected.items():
        assert found[name].dtype == x.dtype and found[name].shape == x.shape
        assert found[name].tobytes() == np.asarray(x).tobytes()  # NaN and -0 as well


def damaged(path, content):
    path.write_bytes(content)
    read = read_task if path.stem == "voc" else lambda path, _: read_shared(path.parent)
    return functools.partial(read, path, checksum(SHARED))


def test_what_is_written_is_read(folder):
    same(read_shared(folder), SHARED)
    found = read_task(folder / "voc.safetensors", checksum(read_shared(folder)))
    name = "mask/encoder/conv_0/kernel"
    same(found, OWN | {name: np.asarray(binarise(OWN[name], 0.005))})
    assert sorted(path.stem for path in folder.iterdir()) == ["shared", "voc"]


@pytest.mark.parametrize("ternary", (False, True))
def test_a_stored_task_makes_the_network_that_was_trained(tmp_path, ternary):
    """Values at the threshold itself, and masks that fill no whole byte, are decided alike."""
    weights = {"w": RNG.normal(size=(7, 3)).astype(np.float32)}
    values = np.float32([-0.02, -0.005, 0, 0.005, np.nextafter(np.float32(0.005), 1), 0.01, 7] * 3)
    values = jnp.asarray(values).reshape(7, 3)
    write_task(tmp_path, "a", {"mask/w": values}, "base", 0.005, ternary)
    found = read_task(tmp_path / "a.safetensors", "base")["mask/w"]
    assert found.dtype == np.float32
    step = ternarise if ternary else binarise
    np.testing.assert_array_equal(found, step(values, 0.005))
    bits = jnp.asarray(read_task(tmp_path / "a.safetensors", "base", packed=True)["mask/w"])
    for stored in (found, bits):
        kept, trained = (masked(weights, {"w": x}, 0.005, ternary)["w"] for x in (stored, values))
        np.testing.assert_array_equal(kept, trained)


def test_arrays_in_another_order_in_memory_are_written_as_they_read(tmp_path):
    turned = SHARED["encoder/conv_0/kernel"].transpose(2, 3, 0, 1)
    write_shared(tmp_path, {"turned": turned})
    same(read_shared(tmp_path), {"turned": turned})
    write_task(tmp_path, "a", {"mask/w": turned, "own/w": turned[:, ::2]}, "")
    found = read_task(tmp_path / "a.safetensors", "")
    np.testing.assert_array_equal(found["mask/w"], turned > np.float32(0.005))
    np.testing.assert_array_equal(found["own/w"], turned[:, ::2])


@pytest.mark.parametrize("weights", (1, 8, 100_003))
@pytest.mark.parametrize("ternary", (False, True))
def test_a_mask_takes_a_bit_per_weight(tmp_path, weights, ternary):
    write_task(tmp_path, "a", {"mask/w": np.zeros(weights, np.float32)}, "", ternary=ternary)
    content = (tmp_path / "a.safetensors").read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    assert len(content) - header == math.ceil(weights / 8) * (1 + ternary)
    assert header < 600


def test_a_checksum_tells_names_shapes_types_and_values_apart():
    x = np.zeros((2, 3), np.float32)
    others = ({"b": x}, {"a": x.T}, {"a": x.astype(np.int32)}, {"a": x + 1}, {"a": x, "b": x}, {})
    assert len({checksum(arrays) for arrays in ({"a": x}, *others)}) == 7
    assert checksum({"b": x, "a": x}) == checksum({"a": jnp.asarray(x), "b": x})
    # Written out: SHA-256 of name, shape and type as JSON, then the bytes.
    written = b'["a", [2, 3], "float32"]' + bytes(24)
    assert checksum({"a": x}) == hashlib.sha256(written).hexdigest()


def test_another_base_is_refused_with_both_checksums(folder):
    other = checksum({**SHARED, "scale": np.float32(3)})
    read = functools.partial(read_task, folder / "voc.safetensors", other)
    fails(read, folder / "voc.safetensors", "another base", other[:12], checksum(SHARED)[:12])


@pytest.mark.parametrize("name", ("voc", "shared"))
def test_a_truncated_file_is_refused(folder, name):
    path = folder / f"{name}.safetensors"
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    lengths = (0, 1, 8, 9, header - 1, header, header + 1, len(content) - 1)
    for length in lengths:
        fails(damaged(path, content[:length]), path, "damaged", "again")
    fails(damaged(path, content + b"\0"), path, "damaged")


@pytest.mark.parametrize("name", ("voc", "shared"))
def test_a_flipped_bit_anywhere_is_found(folder, name):
    path = folder / f"{name}.safetensors"
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        # In the header, it may be the format that is not ours any more.
        fails(damaged(path, bytes(flipped)), path, "damaged" if place >= header else "")
    same(damaged(path, content)(), damaged(path, content)())


def test_files_of_others_are_refused(folder, tmp_path):
    path = folder / "theirs.safetensors"
    fails(lambda: read_task(path, ""), path, "no such file")
    save_file({"a": np.zeros(3)}, path)
    fails(lambda: read_task(path, ""), path, "not one of our files", "task files 1")
    path.write_bytes(b"a pickle, perhaps")
    fails(lambda: read_task(path, ""), path, "no safetensors file")
    fails(lambda: read_shared(tmp_path), tmp_path / "shared.safetensors", "no such file")


def test_a_task_and_what_is_shared_are_told_apart(folder):
    shared, task = folder / "shared.safetensors", folder / "voc.safetensors"
    fails(lambda: read_task(shared, checksum(SHARED)), shared, "what all tasks share")
    task.rename(shared)
    fails(lambda: read_shared(folder), shared, "the task 'voc'")


@pytest.mark.parametrize("name", ("", "shared", "Shared", "a/b", "..", ".a", "a+b", "a\n", "a b"))
def test_names_that_are_no_files_are_refused(tmp_path, name):
    fails(lambda: write_task(tmp_path, name, OWN, ""), "name")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("threshold", (-0.1, 1, math.nan))
def test_thresholds_that_stored_masks_do_not_fit_are_refused(tmp_path, threshold):
    fails(lambda: write_task(tmp_path, "a", OWN, "", threshold), "config.piggyback.threshold")


def test_tasks_are_listed_by_slot_then_by_name(folder):
    assert list_tasks(folder) == {"voc": folder / "voc.safetensors"}
    for name, slot in (("late", 3), ("b.c", 2), ("a", 2)):
        write_task(folder, name, OWN, "", slot=slot)
    (folder / "damaged.safetensors").write_bytes(b"")
    assert list(list_tasks(folder)) == ["voc", "a", "b.c", "late", "damaged"]
    fails(lambda: list_tasks(folder / "none"), folder / "none", "no such folder")


def test_a_failed_write_leaves_the_old_file(folder, monkeypatch):
    before = (folder / "voc.safetensors").read_bytes()

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="no space"):
        write_task(folder, "voc", {}, "")
    assert (folder / "voc.safetensors").read_bytes() == before
    assert list(list_tasks(folder)) == ["voc"]


def test_a_file_under_another_tasks_name_is_refused(folder):
    (folder / "voc.safetensors").rename(folder / "coco.safetensors")
    read = functools.partial(read_task, folder / "coco.safetensors", checksum(SHARED))
    fails(read, "coco.safetensors", "holds the task 'voc'")
