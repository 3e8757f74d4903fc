"""NumPy's files of labelled images, as pixels and encoded."""

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taskfusion_jax.data.npz import Npz
from tests.fails import fails

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (4, 5, 6), np.uint8)
COLOUR = RNG.integers(0, 256, (4, 5, 6, 3), np.uint8)
IDS = np.array([2, 0, 1, 2])


def encoded(images):
    """Returns `data` and `offsets` of PNGs."""
    files = []
    for image in images:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "PNG")
        files.append(stream.getvalue())
    offsets = np.cumsum([0, *map(len, files)])
    return {"data": np.frombuffer(b"".join(files), np.uint8), "offsets": offsets}


@pytest.fixture
def write(tmp_path):
    def save(name="train.npz", **arrays):
        np.savez(tmp_path / name, **arrays)
        return str(tmp_path / name)

    return save


def source(path, split="train", min_side=0, test=None):
    return Npz(path, test or path, split, min_side)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"images": GRAY}, np.stack([GRAY] * 3, -1)),
        ({"images": GRAY[..., None]}, np.stack([GRAY] * 3, -1)),
        ({"images": COLOUR}, COLOUR),
        (encoded(COLOUR), COLOUR),
        (encoded(GRAY), np.stack([GRAY] * 3, -1)),
    ],
)
def test_items(write, arrays, expected):
    found = source(write(labels=IDS.astype(np.uint8), **arrays))
    assert len(found) == 4 and found.labels == ("0", "1", "2")
    assert found.label_ids.tolist() == IDS.tolist()
    assert not found.has_masks and found.classes == 0
    for i in range(4):
        item = found[i]
        assert set(item) == {"image", "label"} and type(item["label"]) is int
        assert item["label"] == IDS[i] and item["image"].dtype == np.uint8
        np.testing.assert_array_equal(item["image"], expected[i])


def test_splits_share_the_names_of_training(write):
    names = np.array(["cat", "dog", "eel", "fox"])
    train = write(labels=IDS, images=GRAY, classes=names)
    test = write("test.npz", labels=IDS[:2], images=COLOUR[:2])
    found = source(train, "test", test=test)
    assert len(found) == 2 and found.labels == ("cat", "dog", "eel", "fox")
    np.testing.assert_array_equal(found[1]["image"], COLOUR[1])
    other = write("other.npz", labels=IDS, images=GRAY, classes=names[::-1])
    fails(lambda: source(train, "test", test=other), other, train, "`classes`")
    fewer = write("fewer.npz", labels=IDS[1:3], images=GRAY[1:3])
    fails(lambda: source(fewer, "test", test=test), test, "label 2", fewer)


def test_small_images_are_enlarged(write):
    image = source(write(labels=IDS, images=COLOUR), min_side=10)[3]["image"]
    expected = Image.fromarray(COLOUR[3]).resize((12, 10), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(image, np.asarray(expected))


def test_repr_is_stable_and_pickle_keeps_it(write):
    found = source(write(labels=IDS, **encoded(COLOUR)))
    assert repr(found) == f"Npz(path={found.path!r}, split='train', length=4)"
    copy = pickle.loads(pickle.dumps(found))
    assert repr(copy) == repr(found)
    np.testing.assert_array_equal(copy[1]["image"], COLOUR[1])


def test_files_that_cannot_be_read(write, tmp_path):
    fails(lambda: source(""), "data.npz.train is empty")
    fails(lambda: Npz(write(labels=IDS, images=GRAY), "", "test"), "data.npz.test is empty")
    fails(lambda: source(str(tmp_path / "x.npz")), "x.npz does not exist", "data.npz.train")
    fails(lambda: source(str(tmp_path)), tmp_path, "cannot be read")
    path = tmp_path / "train.npz"
    good = Path(write(labels=IDS, images=GRAY)).read_bytes()
    for data in (b"", b"no array", good[:-30], good[: len(good) // 2]):
        path.write_bytes(data)
        fails(lambda: source(str(path)), path, "cannot be read")
    np.save(tmp_path / "one.npy", IDS)
    fails(lambda: source(str(tmp_path / "one.npy")), "one.npy", "cannot be read")
    objects = write(labels=np.array([{}]), images=GRAY)
    fails(lambda: source(objects), objects, "cannot be read")


def test_arrays_that_are_not_as_they_should_be(write):
    def bad(*words, **arrays):
        path = write(**arrays)
        fails(lambda: source(path), path, *words)

    bad("no `labels`", images=GRAY)
    bad("no `labels`", labels=IDS.astype(float), images=GRAY)
    bad("no `labels`", labels=IDS[:, None], images=GRAY)
    bad("no `labels`", labels=IDS[:0], images=GRAY[:0])
    bad("label -1", labels=IDS - 1, images=GRAY)
    bad("label 2", "2 classes", labels=IDS, images=GRAY, classes=np.array(["a", "b"]))
    bad("neither `images` nor `data`", labels=IDS)
    bad("neither `images` nor `data`", labels=IDS, data=GRAY.ravel())
    bad("`images` is float32 [4, 5, 6]", labels=IDS, images=GRAY.astype(np.float32))
    bad("`images` is uint8 [4, 5, 6, 2]", labels=IDS, images=COLOUR[..., :2])
    bad("`images` is for 3 images", "4 `labels`", labels=IDS, images=GRAY[:3])
    files = encoded(COLOUR)
    bad("`data` must be uint8", labels=IDS, **files | {"data": files["data"].astype(int)})
    bad("`offsets` is for 3 images", labels=IDS, **files | {"offsets": files["offsets"][:-1]})
    for offsets in (files["offsets"][::-1], files["offsets"] + 1, files["offsets"] - 1):
        bad("`offsets` must be ascending", labels=IDS, **files | {"offsets": offsets})


def test_a_damaged_image_is_named(write):
    files = encoded(COLOUR)
    files["data"] = files["data"].copy()
    files["data"][files["offsets"][2] :][:50] = 0
    found = source(write(labels=IDS, **files))
    np.testing.assert_array_equal(found[1]["image"], COLOUR[1])
    fails(lambda: found[2], "train.npz, image 2", "not an image")


@pytest.mark.real_data
def test_cifar10():
    folder = Path(os.environ.get("TASKFUSION_DATA", "")) / "classify" / "cifar10_jpeg"
    if not folder.is_dir():
        pytest.skip("set TASKFUSION_DATA to the folder that holds classify/cifar10_jpeg")
    for split, length in (("train", 20_000), ("test", 10_000)):
        found = Npz(str(folder / "train.npz"), str(folder / "test.npz"), split)
        assert np.bincount(found.label_ids).tolist() == [length // 10] * 10
        assert found.labels[3] == "cat"
        assert found[length - 1]["image"].shape == (32, 32, 3)
