"""VOC layout: what is read, and what is said about folders that are not complete."""

import os
import pickle
from pathlib import Path

import grain
import numpy as np
import pytest
from PIL import Image

from taskfusion_jax.data.voc_folder import VocFolder
from tests.fails import fails

IMAGE = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
IDS = (np.arange(24).reshape(4, 6) % 4).astype(np.uint8)


@pytest.fixture
def root(tmp_path):
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.jpg", "c.JPEG")):
        Image.fromarray(IMAGE + np.uint8(i)).save(tmp_path / "JPEGImages" / name)
        Image.fromarray(IDS).save(tmp_path / "SegmentationClass" / f"{name[0]}.png")
    (tmp_path / "ImageSets/Segmentation/train.txt").write_text("b\r\na\r\n\r\n")
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("\ufeffc\n", encoding="utf-8")
    return tmp_path


def test_items_in_the_order_of_the_split(root):
    source = VocFolder(dir=str(root), split="train", classes=3, void=3)
    assert len(source) == 2
    assert source.has_masks
    item = source[1]
    assert set(item) == {"image", "mask"}
    np.testing.assert_array_equal(item["image"], IMAGE)
    np.testing.assert_array_equal(item["mask"], np.where(IDS == 3, 255, IDS))
    pillow = np.asarray(Image.open(root / "JPEGImages/b.jpg"))
    np.testing.assert_array_equal(source[0]["image"], pillow)


def test_suffixes_in_capitals_and_byte_order_mark(root):
    assert VocFolder(str(root), "val", 3, 3)[0]["image"].shape == (4, 6, 3)


def test_jpg_wins_over_png(root):
    Image.new("RGB", (6, 4)).save(root / "JPEGImages/a.jpg")
    assert not VocFolder(str(root), "train", 3, 3)[1]["image"].any()


def test_repr_is_stable_and_pickle_keeps_it(root):
    source = VocFolder(str(root), "train", 3, 3)
    assert repr(source) == f"VocFolder(dir={str(root)!r}, split='train', length=2)"
    copy = pickle.loads(pickle.dumps(source))
    assert repr(copy) == repr(source)
    np.testing.assert_array_equal(copy[0]["mask"], source[0]["mask"])


def test_grain_takes_it(root):
    dataset = grain.MapDataset.source(VocFolder(str(root), "train", 3, 3)).shuffle(seed=0)
    assert [item["mask"].shape for item in dataset] == [(4, 6)] * 2


def test_missing_folder(root):
    fails(lambda: VocFolder(str(root / "x"), "train", 3, 3), root / "x", "voc_folder.dir")


@pytest.mark.parametrize("folder", ["JPEGImages", "SegmentationClass"])
def test_missing_subfolder(root, folder):
    (root / folder).rename(root / "moved")
    fails(lambda: VocFolder(str(root), "train", 3, 3), root / folder, "voc_folder.dir")


def test_missing_split_lists_those_there_are(root):
    fails(
        lambda: VocFolder(str(root), "trian", 3, 3),
        *("trian.txt", "voc_folder.train", "train, val", "did you mean 'train'?"),
    )


def test_no_split_files(root):
    for path in (root / "ImageSets/Segmentation").iterdir():
        path.unlink()
    fails(lambda: VocFolder(str(root), "train", 3, 3), "ImageSets", "VOC layout")


def test_empty_split(root):
    path = root / "ImageSets/Segmentation/train.txt"
    path.write_text("\n \n")
    fails(lambda: VocFolder(str(root), "train", 3, 3), path, "is empty")


@pytest.mark.parametrize(
    ("folder", "file"), [("JPEGImages", "b.jpg"), ("SegmentationClass", "b.png")]
)
def test_id_without_a_file(root, folder, file):
    (root / folder / file).unlink()
    fails(lambda: VocFolder(str(root), "train", 3, 3), root / folder, "ID 'b'", "train.txt")


def test_many_ids_without_a_file(root):
    (root / "ImageSets/Segmentation/train.txt").write_text("a\nx\ny\nz\n")
    fails(lambda: VocFolder(str(root), "train", 3, 3), "ID 'x' and 2 more")


def test_bad_class_counts(root):
    fails(lambda: VocFolder(str(root), "train", 0, 3), "voc_folder.classes=0")
    fails(lambda: VocFolder(str(root), "train", 3, 256), "voc_folder.void=256")


def test_bad_content_is_named_on_reading(root):
    mask = root / "SegmentationClass/b.png"
    source = VocFolder(str(root), "train", 2, 3)
    fails(lambda: source[0], mask, "id 2", "config.data.voc_folder.classes (now 2)")
    Image.new("L", (5, 4)).save(mask)
    fails(lambda: source[0], mask, "5 x 4", "6 x 4")
    Image.new("RGB", (6, 4)).save(mask)
    fails(lambda: source[0], mask, "colour")
    (root / "JPEGImages/b.jpg").write_bytes(b"")
    fails(lambda: source[0], root / "JPEGImages/b.jpg", "empty")


@pytest.mark.real_data
def test_camvid():
    folder = Path(os.environ.get("TASKFUSION_DATA", "")) / "seg" / "camvid"
    if not folder.is_dir():
        pytest.skip("set TASKFUSION_DATA to the folder that holds seg/camvid")
    for split, length in (("train", 367), ("val", 101), ("test", 233)):
        source = VocFolder(str(folder), split, classes=11, void=11)
        assert len(source) == length
        item = source[length - 1]
        assert item["image"].shape == (360, 480, 3)
        assert set(np.unique(item["mask"])) <= {*range(11), 255}
