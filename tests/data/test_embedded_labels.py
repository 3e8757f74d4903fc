"""Labelled images that need no download: handwritten digits, and one shape on a photograph."""

import pickle

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from taskfusion_jax.data.digits import Digits
from taskfusion_jax.data.labelled_shapes import LabelledShapes
from taskfusion_jax.data.scenes import Scenes
from taskfusion_jax.data.shapes import SHAPES
from taskfusion_jax.errors import UserError


def test_digits_are_scikit_learns_divided_into_two_splits():
    found = load_digits()
    splits = [Digits("train"), Digits("test")]
    assert [len(split) for split in splits] == [1442, 355]
    items = [split[i] for split in splits for i in range(len(split))]
    ours = sorted((item["label"], item["image"][..., 0].tobytes()) for item in items)
    levels = np.rint(found.images / 16 * 255).astype(np.uint8)
    theirs = sorted((int(t), x.tobytes()) for t, x in zip(found.target, levels, strict=True))
    assert ours == theirs


def test_every_digit_is_in_both_splits_as_often():
    train, test = (np.bincount(Digits(split).label_ids) for split in ("train", "test"))
    assert len(train) == len(test) == 10
    np.testing.assert_array_equal(test, (train + test) // 5)


def test_digits_are_gray_and_enlarged():
    source, small = Digits("train", 32), Digits("train")
    assert source.labels == tuple("0123456789")
    assert not source.has_masks and source.classes == 0
    for i in (0, 700):
        item = source[i]
        assert set(item) == {"image", "label"} and type(item["label"]) is int
        assert item["label"] == source.label_ids[i] == small[i]["label"]
        gray = Image.fromarray(small[i]["image"][..., 0]).resize((32, 32), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(item["image"], np.stack([np.asarray(gray)] * 3, -1))
    copy = pickle.loads(pickle.dumps(source))
    assert repr(copy) == repr(source) == "Digits(split='train', length=1442)"


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_shape_is_the_one_of_its_scene(split):
    source, scenes = LabelledShapes(split, 32, 60, 3), Scenes(split, 32, 60, 3, 1)
    assert source.labels == tuple(shape.name for shape in SHAPES)
    assert len(source) == 60 and not source.has_masks and source.classes == 0
    for i in range(60):
        item, scene = source[i], scenes[i]
        assert set(item) == {"image", "label"}
        np.testing.assert_array_equal(item["image"], scene["image"])
        assert {item["label"] + 1} == set(np.unique(scene["mask"])) - {0}
    assert source.label_ids.tolist() == [source[i]["label"] for i in range(60)]
    assert len(set(source.label_ids)) > 10


def test_shapes_are_told_without_painting(monkeypatch):
    source = LabelledShapes("train", 32, 5, 0)
    expected = [source[i]["label"] for i in range(5)]
    monkeypatch.setattr("taskfusion_jax.data.labelled_shapes.paint", None)
    assert source.label_ids.tolist() == expected


def test_shapes_end_and_name_themselves():
    source = LabelledShapes("test", 16, 5, 2)
    expected = "LabelledShapes(split='test', size=16, length=5, seed=2)"
    assert repr(source) == repr(pickle.loads(pickle.dumps(source))) == expected
    with pytest.raises(IndexError):
        source[5]
    with pytest.raises(UserError, match="length"):
        LabelledShapes("test", 16, 0, 2)
