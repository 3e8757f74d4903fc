"""Any folder of images: which files, which split, which errors."""

import pickle

import numpy as np
import pytest
from PIL import Image

from taskfusion_jax.data.image_folder import ImageFolder
from tests.fails import fails


def write(root, *names):
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((3, 4, 3), i, np.uint8)).save(root / name)


def values(source):
    """Returns the number that `write` gave each image of the source."""
    return [int(source[i]["image"][0, 0, 0]) for i in range(len(source))]


def test_recursive_sorted_and_without_other_files(tmp_path):
    write(tmp_path, "b/2.png", "a.PNG", "b/1.png", ".hidden.png", ".cache/x.png")
    (tmp_path / "notes.txt").write_text("no image")
    source = ImageFolder(dir=str(tmp_path), split="train", test_fraction=0.0)
    assert values(source) == [1, 2, 0]
    assert not source.has_masks
    assert set(source[0]) == {"image"}


def test_split_by_name_is_disjoint_and_complete(tmp_path):
    write(tmp_path, *(f"{i:03d}.png" for i in range(200)))
    train = values(ImageFolder(str(tmp_path), "train", 0.25))
    test = values(ImageFolder(str(tmp_path), "test", 0.25))
    assert sorted(train + test) == list(range(200))
    assert 30 <= len(test) <= 70  # 50 expected, standard deviation 6


def test_split_of_a_file_does_not_depend_on_the_others(tmp_path):
    write(tmp_path / "one", *(f"{i}.png" for i in range(20)))
    write(tmp_path / "two", *(f"{i}.png" for i in range(40)))
    one = set(values(ImageFolder(str(tmp_path / "one"), "test", 0.5)))
    two = set(values(ImageFolder(str(tmp_path / "two"), "test", 0.5)))
    assert one == {i for i in two if i < 20}


@pytest.mark.parametrize("other", ["test", "val"])
def test_split_folders_are_used(tmp_path, other):
    write(tmp_path, "train/x/a.png", f"{other}/b.png", "stray.png")
    assert values(ImageFolder(str(tmp_path), "train", 0.5)) == [0]
    assert values(ImageFolder(str(tmp_path), "test", 0.5)) == [1]


def test_all_three_split_folders(tmp_path):
    write(tmp_path, "train/a.png", "test/b.png", "val/c.png")
    assert [values(ImageFolder(str(tmp_path), s, 0.5)) for s in ("train", "test", "val")] == [
        *([0], [1], [2])
    ]


def labelled(root, split="train", fraction=0.0, min_side=0):
    return ImageFolder(str(root), split, fraction, min_side, labelled=True)


def test_subfolders_are_classes(tmp_path):
    write(tmp_path, "dog/x/1.png", "cat/2.png", "dog/0.png", "eel/1.png")
    source = labelled(tmp_path)
    assert source.labels == ("cat", "dog", "eel")
    assert not source.has_masks and source.classes == 0
    assert values(source) == [1, 2, 0, 3]
    assert [source[i]["label"] for i in range(4)] == source.label_ids.tolist() == [0, 1, 1, 2]
    assert type(source[0]["label"]) is int and set(source[0]) == {"image", "label"}
    assert source[0]["image"].shape == (3, 4, 3)
    assert labelled(tmp_path, min_side=6)[0]["image"].shape == (6, 8, 3)
    assert ImageFolder(str(tmp_path), "train", 0.0).labels == ()


def test_classes_of_split_folders(tmp_path):
    write(tmp_path, "train/b/0.png", "train/a/1.png", "test/a/2.png", "test/b/3.png", "stray.png")
    for split, expected in (("train", [1, 0]), ("test", [2, 3])):
        source = labelled(tmp_path, split)
        assert source.labels == ("a", "b")
        assert values(source) == expected and source.label_ids.tolist() == [0, 1]


def test_a_folder_divided_by_name_has_its_classes_in_both_splits(tmp_path):
    write(tmp_path, *(f"{c}/{i}.png" for c in "ab" for i in range(40)))
    train, test = (labelled(tmp_path, split, 0.3) for split in ("train", "test"))
    assert train.labels == test.labels == ("a", "b")
    assert set(test.label_ids) == set(train.label_ids) == {0, 1}
    for source in (train, test):
        assert [v // 40 for v in values(source)] == source.label_ids.tolist()


def test_mistakes_in_folders_of_classes(tmp_path):
    write(tmp_path / "one", "a/0.png", "b.png")
    fails(lambda: labelled(tmp_path / "one"), tmp_path / "one/b.png", "class", ".labels=False")
    write(tmp_path / "two", "train/a/0.png", "train/c/0.png", "test/a/1.png", "test/b/1.png")
    for split in ("train", "test"):
        fails(
            lambda s=split: labelled(tmp_path / "two", s), "two/train has no folder 'b'", "two/test"
        )
    write(tmp_path / "three", "train/a/0.png", "test/1.png")
    fails(lambda: labelled(tmp_path / "three"), "three/test has no folder 'a'")


def test_repr_is_stable_and_pickle_keeps_it(tmp_path):
    write(tmp_path, "a.png")
    source = ImageFolder(str(tmp_path), "train", 0.0)
    expected = f"ImageFolder(dir={str(tmp_path)!r}, split='train', test_fraction=0.0, length=1)"
    assert repr(source) == expected
    assert repr(pickle.loads(pickle.dumps(source))) == expected


def test_errors(tmp_path):
    fails(lambda: ImageFolder(str(tmp_path / "x"), "train", 0.1), "x is not a folder", ".dir")
    fails(lambda: ImageFolder(str(tmp_path), "train", 0.1), tmp_path, "no images", ".dir")
    write(tmp_path, "a.png")
    fails(lambda: ImageFolder(str(tmp_path), "tets", 0.1), "'tets'", "did you mean 'test'?")
    fails(lambda: ImageFolder(str(tmp_path), "test", 0.0), "no images", "test_fraction")
    fails(lambda: ImageFolder(str(tmp_path), "test", 1.5), "test_fraction=1.5", "0..1")
    (tmp_path / "a.png").write_bytes(b"junk")
    source = ImageFolder(str(tmp_path), "train", 0.0)
    fails(lambda: source[0], tmp_path / "a.png", "not an image")
