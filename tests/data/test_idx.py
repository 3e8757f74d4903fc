"""MNIST's format, written here as its description says."""

import gzip
import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taskfusion_jax.data.idx import Idx
from tests.fails import fails

RNG = np.random.default_rng(0)
TRAIN = RNG.integers(0, 256, (6, 5, 4), np.uint8)
TEST = RNG.integers(0, 256, (3, 5, 4), np.uint8)
TRAIN_IDS, TEST_IDS = [0, 1, 2, 2, 1, 0], [2, 0, 1]


def write(path, array, zipped=False):
    """http://yann.lecun.com/exdb/mnist: 0, 0, type, dimensions; big-endian sizes; the bytes."""
    array = np.asarray(array, np.uint8)
    data = struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
    if zipped:
        path = path.with_name(f"{path.name}.gz")
        data = gzip.compress(data)
    path.write_bytes(data)


def mnist(root, zipped=False):
    for prefix, images, ids in (("train", TRAIN, TRAIN_IDS), ("t10k", TEST, TEST_IDS)):
        write(root / f"{prefix}-images-idx3-ubyte", images, zipped)
        write(root / f"{prefix}-labels-idx1-ubyte", ids, zipped)
    return root


def one_pair(root, ids, prefix=""):
    images = np.arange(len(ids))[:, None, None] * np.ones((1, 2, 2))
    write(root / f"{prefix}images-idx3-ubyte", images, zipped=True)
    write(root / f"{prefix}labels-idx1-ubyte", ids)
    return root


def source(root, split="train", names=(), test_fraction=0.2, min_side=0):
    return Idx(str(root), split, names, test_fraction, min_side)


@pytest.mark.parametrize("zipped", [False, True])
def test_items(tmp_path, zipped):
    mnist(tmp_path, zipped)
    for split, images, ids in (("train", TRAIN, TRAIN_IDS), ("test", TEST, TEST_IDS)):
        found = source(tmp_path, split, names=("zero", "one", "two"))
        assert len(found) == len(ids) and found.labels == ("zero", "one", "two")
        assert found.label_ids.tolist() == ids
        assert not found.has_masks and found.classes == 0
        for i, id in enumerate(ids):
            item = found[i]
            assert set(item) == {"image", "label"} and type(item["label"]) is int
            assert item["label"] == id and item["image"].dtype == np.uint8
            np.testing.assert_array_equal(item["image"], np.stack([images[i]] * 3, -1))


def test_without_names_classes_are_numbers_of_training(tmp_path):
    write(mnist(tmp_path) / "t10k-labels-idx1-ubyte", [0, 0, 1])
    assert source(tmp_path).labels == source(tmp_path, "test").labels == ("0", "1", "2")


def test_small_images_are_enlarged_and_others_are_not(tmp_path):
    mnist(tmp_path)
    image = source(tmp_path, min_side=8)[1]["image"]
    gray = Image.fromarray(TRAIN[1]).resize((8, 10), Image.Resampling.BICUBIC)
    assert image.shape == (10, 8, 3)
    np.testing.assert_array_equal(image, np.stack([np.asarray(gray)] * 3, -1))
    assert source(tmp_path, min_side=4)[1]["image"].shape == (5, 4, 3)


@pytest.mark.parametrize("prefix", ["", "train-"])
def test_one_pair_of_files_is_divided_within_each_class(tmp_path, prefix):
    ids = [0] * 10 + [1] * 20 + [2] * 5
    one_pair(tmp_path, ids, prefix)
    train, test = source(tmp_path), source(tmp_path, "test")
    places = [[int(s[i]["image"][0, 0, 0]) for i in range(len(s))] for s in (train, test)]
    assert sorted(places[0] + places[1]) == list(range(35))
    assert np.bincount(test.label_ids).tolist() == [2, 4, 1]
    assert places[1] == [4, 9, 14, 19, 24, 29, 34]
    assert [ids[place] for place in places[0]] == train.label_ids.tolist()


def test_repr_is_stable_and_pickle_keeps_it(tmp_path):
    found = source(mnist(tmp_path))
    expected = f"Idx(dir={str(tmp_path)!r}, split='train', length=6)"
    assert repr(found) == expected == repr(pickle.loads(pickle.dumps(found)))


def test_missing_files(tmp_path):
    fails(lambda: source(tmp_path / "x"), "x is not a folder", "data.idx.dir")
    fails(lambda: source(tmp_path), tmp_path, "train-images-idx3-ubyte[.gz]", "data.idx.dir")
    mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    fails(lambda: source(tmp_path, "test"), "has no t10k-labels-idx1-ubyte[.gz]", tmp_path)
    (tmp_path / "train-images-idx3-ubyte").unlink()
    fails(lambda: source(tmp_path), "has no train-images-idx3-ubyte[.gz]")


def test_damaged_files(tmp_path):
    path = mnist(tmp_path) / "train-images-idx3-ubyte"
    good = path.read_bytes()
    for data, words in (
        (good[:-1], (f"has {len(good) - 1} bytes", f"asks for {len(good)}")),
        (good + b"x", (f"has {len(good) + 1} bytes", f"asks for {len(good)}")),
        (good[:9], ("has 9 bytes",)),
        (b"", ("00 00 08 03", "nothing")),
        (b"\0\0\x08\x01" + good[4:], ("00 00 08 03", "00 00 08 01")),
        (struct.pack(">4B3I", 0, 0, 8, 3, 0, 5, 4), ("no images",)),
        (struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3), ("asks for",)),
    ):
        path.write_bytes(data)
        fails(lambda: source(tmp_path), path, *words)
    path.unlink()
    for data in (gzip.compress(good)[:-20], b"no gzip"):
        path.with_name(f"{path.name}.gz").write_bytes(data)
        fails(lambda: source(tmp_path), f"{path}.gz", "damaged")


def test_what_does_not_fit_together(tmp_path):
    mnist(tmp_path)
    fails(lambda: source(tmp_path, names=("a", "b")), "holds label 2", "2 classes", "idx.names")
    fails(lambda: source(tmp_path, names=("a", "b", "a")), "idx.names", "'a'")
    fails(lambda: source(tmp_path, test_fraction=1.5), "data.idx.test_fraction=1.5", "0..1")
    write(tmp_path / "t10k-labels-idx1-ubyte", [0, 0, 7])
    fails(lambda: source(tmp_path, "test"), "t10k-labels", "holds label 7", "3 classes")
    write(tmp_path / "t10k-labels-idx1-ubyte", [0, 0])
    fails(lambda: source(tmp_path, "test"), "3 images", "2 labels")


def test_a_split_without_images(tmp_path):
    one_pair(tmp_path, [0, 1, 0])
    fails(lambda: source(tmp_path, "test", test_fraction=0.1), "no images", "idx.test_fraction")


def folder(name):
    path = Path(os.environ.get("TASKFUSION_DATA", "")) / "classify" / name
    if not path.is_dir():
        pytest.skip(f"set TASKFUSION_DATA to the folder that holds classify/{name}")
    return path


@pytest.mark.real_data
def test_fashion_mnist():
    for split, length in (("train", 60_000), ("test", 10_000)):
        found = source(folder("fashion_mnist"), split, min_side=32)
        assert np.bincount(found.label_ids).tolist() == [length // 10] * 10
        assert found[length - 1]["image"].shape == (32, 32, 3)


@pytest.mark.real_data
def test_mnist_in_one_pair_of_files():
    train, test = (source(folder("mnist10k"), split) for split in ("train", "test"))
    assert len(train) + len(test) == 10_000
    counts = np.bincount(train.label_ids), np.bincount(test.label_ids)
    assert len(train.labels) == len(counts[0]) == len(counts[1]) == 10
    np.testing.assert_array_equal(counts[1], sum(counts) // 5)
