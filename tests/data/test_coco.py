"""COCO's layout: class maps as NumPy paints them, and what is said about files that do not fit."""

import json
import pickle

import grain
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from configs import common
from taskfusion_jax.data.coco import Coco
from taskfusion_jax.data.image_folder import ImageFolder
from taskfusion_jax.data.scenes import Scenes
from taskfusion_jax.data.shapes import SHAPES
from taskfusion_jax.data.sources import build_source
from tests.fails import fails

H, W = 12, 16
IMAGE = np.random.default_rng(0).integers(0, 256, (H, W, 3), np.uint8)
GRAY = IMAGE[..., 0]
CATEGORIES = [{"id": i, "name": f"c{i}"} for i in (18, 1, 90)]  # classes 2, 1 and 3


def _box(top, left, bottom, right):
    return [left, top, right, top, right, bottom, left, bottom]


def _inside(*boxes):
    """The pixels of boxes as bool [H, W]."""
    mask = np.zeros((H, W), bool)
    for top, left, bottom, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def _runs(mask):
    """Lengths of runs, column by column, zeros first, counted one pixel at a time."""
    runs, value = [0], False
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


def _uncompressed(mask):
    return {"size": [H, W], "counts": _runs(mask)}


def _compressed(mask):
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [H, W], "counts": rle["counts"].decode()}


def _annotation(image, category, segmentation, crowd=0):
    return {"image_id": image, "category_id": category, "segmentation": segmentation} | (
        {"iscrowd": crowd} if crowd else {}
    )


ANNOTATIONS = [
    # Image 7: the smallest comes first and last, and must lie on top of both others.
    _annotation(7, 1, [_box(4, 4, 6, 6)]),
    _annotation(7, 18, [_box(2, 2, 9, 10)]),
    _annotation(7, 90, [_box(0, 0, 4, 4), _box(8, 8, 12, 14)]),
    # Image 3: run lengths of both kinds, and a crowd below them.
    _annotation(3, 90, _uncompressed(_inside((1, 1, 3, 5)))),
    _annotation(3, 18, _uncompressed(_inside((0, 0, 6, 16))), crowd=1),
    _annotation(3, 1, _compressed(_inside((5, 5, 12, 8), (0, 10, 2, 12)))),
]
FILES = {7: "b.png", 3: "a.png", 5: "c.png"}


@pytest.fixture
def root(tmp_path):
    for split in ("train2017", "val2017"):
        (tmp_path / split).mkdir(parents=True)
        Image.fromarray(IMAGE).save(tmp_path / split / "b.png")
        Image.fromarray(255 - IMAGE).save(tmp_path / split / "a.png")
        Image.fromarray(GRAY).save(tmp_path / split / "c.png")
    (tmp_path / "annotations").mkdir()
    write(tmp_path)
    write(tmp_path, split="val2017", images=[_image(5)], annotations=[])
    return tmp_path


def _image(id, **changes):
    return {"id": id, "file_name": FILES.get(id, "c.png"), "height": H, "width": W} | changes


def write(root, split="train2017", **changes):
    """Writes an annotation file; returns its path."""
    annotated = {"images": [_image(i) for i in FILES], "categories": CATEGORIES}
    annotated |= {"annotations": ANNOTATIONS} | changes
    annotated["annotations"] = [{"id": 100 + i} | a for i, a in enumerate(annotated["annotations"])]
    path = root / "annotations" / f"instances_{split}.json"
    path.write_text(json.dumps(annotated))
    return path


def _one(root, segmentation, **changes):
    """The mask of an image with one annotation."""
    annotation = _annotation(5, 1, segmentation) | changes
    write(root, images=[_image(5)], annotations=[annotation])
    return Coco(str(root), "train2017", 4)[0]["mask"]


def _refused(root, words, **changes):
    path = write(root, **changes)
    fails(lambda: Coco(str(root), "train2017", 4), path, *words)


def test_smaller_instances_lie_on_larger_ones(root):
    source = Coco(str(root), "train2017", 4)
    expected = np.zeros((H, W), np.uint8)
    expected[_inside((2, 2, 9, 10))] = 2  # 56 pixels
    expected[_inside((0, 0, 4, 4), (8, 8, 12, 14))] = 3  # 40 pixels
    expected[_inside((4, 4, 6, 6))] = 1
    assert (len(source), source.has_masks, source.classes) == (3, True, 4)
    item = source[0]
    assert set(item) == {"image", "mask"}
    np.testing.assert_array_equal(item["image"], IMAGE)
    np.testing.assert_array_equal(item["mask"], expected)
    assert item["mask"].dtype == np.uint8 and item["mask"].flags.c_contiguous


def test_crowds_are_void_where_no_other_instance_is(root):
    expected = np.zeros((H, W), np.uint8)
    expected[_inside((0, 0, 6, 16))] = 255
    expected[_inside((5, 5, 12, 8), (0, 10, 2, 12))] = 1
    expected[_inside((1, 1, 3, 5))] = 3
    item = Coco(str(root), "train2017", 4)[1]
    np.testing.assert_array_equal(item["image"], 255 - IMAGE)
    np.testing.assert_array_equal(item["mask"], expected)


def test_an_image_without_annotations_is_background_and_gray_becomes_rgb(root):
    item = Coco(str(root), "train2017", 4)[2]
    np.testing.assert_array_equal(item["image"], np.repeat(GRAY[..., None], 3, axis=-1))
    assert item["mask"].shape == (H, W) and not item["mask"].any()


def test_the_order_in_the_file_does_not_matter(root):
    before = [item["mask"] for item in Coco(str(root), "train2017", 4)]
    write(root, annotations=ANNOTATIONS[::-1], categories=CATEGORIES[::-1])
    after = [item["mask"] for item in Coco(str(root), "train2017", 4)]
    np.testing.assert_array_equal(before, after)


def test_a_slanted_polygon_against_points_in_triangles(root):
    """A pixel is inside by its centre; pycocotools may differ within a pixel of an edge."""
    a, b, c = np.array([[1.25, 0.5], [14.75, 4.1], [3.4, 11.3]])
    mask = _one(root, [np.concatenate([a, b, c]).tolist()])
    y, x = np.mgrid[:H, :W] + 0.5
    distances = []
    for (x0, y0), (x1, y1) in ((a, b), (b, c), (c, a)):
        cross = (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0)
        distances.append(cross / np.hypot(x1 - x0, y1 - y0))
    depth = np.min(distances, axis=0)
    assert (depth > 1).sum() > 20
    assert (mask[depth > 1] == 1).all() and (mask[depth < -1] == 0).all()
    assert abs(mask.sum() - 0.5 * abs(np.linalg.det([b - a, c - a]))) < 6


@pytest.mark.parametrize("seed", range(5))
def test_both_kinds_of_run_lengths_of_noise(root, seed):
    mask = np.random.default_rng(seed).random((H, W)) < (seed + 1) / 6
    np.testing.assert_array_equal(_one(root, _compressed(mask)), mask)
    np.testing.assert_array_equal(_one(root, _uncompressed(mask)), mask)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")
@pytest.mark.parametrize("seed", range(5))
def test_random_polygons_as_pycocotools_decodes_them(root, seed):
    points = np.random.default_rng(seed).uniform(-4, 20, (3, 14)).round(2).tolist()
    rle = coco_mask.merge(coco_mask.frPyObjects(points, H, W))
    np.testing.assert_array_equal(_one(root, points), coco_mask.decode(rle))


def test_long_compressed_runs(root):
    """Runs above 2^10 take three characters each."""
    mask = np.zeros((300, 400), bool)
    mask[:, 100:250] = mask[3:200, 300:] = True
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    Image.new("RGB", (400, 300)).save(root / "train2017/c.png")
    segmentation = {"size": [300, 400], "counts": rle["counts"].decode()}
    image = _image(5, height=300, width=400)
    write(root, images=[image], annotations=[_annotation(5, 1, segmentation)])
    np.testing.assert_array_equal(Coco(str(root), "train2017", 4)[0]["mask"], mask)


def test_polygons_at_and_over_the_border(root):
    np.testing.assert_array_equal(_one(root, [_box(-3, -2, 5, 40)]), _inside((0, 0, 5, W)))


def test_polygons_without_area_cover_nothing(root):
    line = [1.0, 1.0, 9.0, 9.0]
    assert not _one(root, [line]).any()
    np.testing.assert_array_equal(_one(root, [line, _box(1, 1, 3, 3)]), _inside((1, 1, 3, 3)))


def test_orientation_tag_is_not_applied(root):
    """Masks are drawn on the pixels as stored."""
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(IMAGE).save(root / "train2017/b.png", exif=exif)
    np.testing.assert_array_equal(Coco(str(root), "train2017", 4)[0]["image"], IMAGE)


def test_images_in_subfolders(root):
    (root / "train2017/deep").mkdir()
    (root / "train2017/c.png").rename(root / "train2017/deep/d.png")
    write(root, images=[_image(5, file_name="deep/d.png")], annotations=[])
    assert Coco(str(root), "train2017", 4)[0]["image"].shape == (H, W, 3)


def test_repr_is_stable_and_pickle_keeps_it(root, capfd):
    source = Coco(str(root), "train2017", 4)
    assert repr(source) == f"Coco(dir={str(root)!r}, split='train2017', length=3)"
    (root / "annotations/instances_train2017.json").unlink()  # read once, never again
    copy = pickle.loads(pickle.dumps(source))
    assert repr(copy) == repr(source)
    for i in range(3):
        np.testing.assert_array_equal(copy[i]["mask"], source[i]["mask"])
    assert capfd.readouterr() == ("", "")


def test_registered_and_read_by_grain(root):
    data = common.get_config().data
    assert (data.coco.train, data.coco.test, data.coco.classes) == ("train2017", "val2017", 81)
    data.update({"source": "coco", "size": 8})
    data.coco.update({"dir": str(root), "classes": 4})
    assert len(build_source(data, "test", seed=0)) == 1
    source = build_source(data, "train", seed=0)
    dataset = grain.MapDataset.source(source).to_iter_dataset(grain.ReadOptions(num_threads=2))
    for item, same in zip(dataset, source, strict=True):
        np.testing.assert_array_equal(item["mask"], same["mask"])
    data.size = 64
    fails(lambda: build_source(data, "train", seed=0), "no image of 64 pixels")


def test_small_images_are_left_out(root):
    path = root / "annotations/instances_train2017.json"
    annotated = json.loads(path.read_text())
    having = {annotation["image_id"] for annotation in annotated["annotations"]}
    (bare,) = (image for image in annotated["images"] if image["id"] not in having)
    before = len(Coco(str(root), "train2017", 4, min_side=12))
    bare["height"] = 11
    path.write_text(json.dumps(annotated))
    assert len(Coco(str(root), "train2017", 4, min_side=11)) == before
    assert len(Coco(str(root), "train2017", 4, min_side=12)) == before - 1


def test_every_source_says_how_many_classes_its_masks_may_hold(root):
    assert Scenes("train", 16, 1, 0, 1).classes == 1 + len(SHAPES)
    assert ImageFolder(str(root), "train", 0.0).classes == 0


def test_missing_folders(root):
    fails(lambda: Coco(str(root / "x"), "train2017", 4), root / "x", "coco.dir")
    (root / "train2017").rename(root / "moved")
    fails(lambda: Coco(str(root), "train2017", 4), root / "train2017", "put the images")


def test_missing_annotations_list_those_there_are(root):
    fails(
        lambda: Coco(str(root), "train2071", 4),
        *("instances_train2071.json", "coco.train", "train2017, val2017", "did you mean"),
    )
    for path in (root / "annotations").iterdir():
        path.unlink()
    fails(lambda: Coco(str(root), "train2017", 4), root / "annotations", "instances_SPLIT.json")


@pytest.mark.parametrize("content", [b"", b"{", b"<html>", b"\xff\xfe\x00", b"[" * 100_000])
def test_annotations_that_are_no_json(root, content):
    path = write(root)
    path.write_bytes(content)
    fails(lambda: Coco(str(root), "train2017", 4), path, "is no JSON")


@pytest.mark.parametrize("content", ["[]", "3", "{}", '{"images": [], "annotations": {}}'])
def test_json_that_is_not_coco(root, content):
    path = write(root)
    path.write_text(content)
    fails(lambda: Coco(str(root), "train2017", 4), path, "is not COCO", "has no list")


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("images", [{"id": 7}]),
        ("images", [_image(7, height="12")]),
        ("images", [_image(7, width=10**6)]),
        ("images", [_image(7, file_name=None)]),
        ("images", ["b.png"]),
        ("annotations", [{"image_id": 7}]),
        ("categories", [{"name": "cat"}]),
        ("categories", [{"id": 1}, {"id": "2"}]),
        ("categories", [1]),
    ],
)
def test_entries_that_are_not_as_in_coco(root, name, entries):
    _refused(root, ["is not COCO", repr(name)], **{name: entries})


def test_no_images_or_one_id_twice(root):
    _refused(root, ["lists no images"], images=[], annotations=[])
    _refused(root, ["two images of one id"], images=[_image(7), _image(7)], annotations=[])


def test_class_count_names_both_numbers(root):
    fails(
        lambda: Coco(str(root), "train2017", 81),
        *("3 categories", "4 classes", "coco.classes=81", "set it to 4"),
    )
    _refused(root, ["255 categories", "254"], categories=[{"id": i} for i in range(255)])


def test_unknown_category_and_image(root):
    _refused(
        root,
        ["annotation 100", "category 4", "does not list"],
        annotations=[_annotation(7, 4, [_box(0, 0, 2, 2)])],
    )
    _refused(
        root,
        ["annotation 100", "image 8", "does not list"],
        annotations=[_annotation(8, 1, [_box(0, 0, 2, 2)])],
    )


@pytest.mark.parametrize(
    ("segmentation", "word"),
    [
        (None, "empty"),
        ([], "empty"),
        ([1, 1, 5, 1, 5, 5], "not a list of x and y"),
        ([[1, 1, 5, 1, 5, 5, 7]], "not a list of x and y"),
        ([["1", "1", "5", "1", "5", "5"]], "cannot be drawn"),
        ([[1, 1, 5, 1, 2e8, 3e8]], "far outside"),  # crashes pycocotools
        ([[1, 1, 5, 1, 5, float("nan")]], "far outside"),
        ([[1, 1, 5, 1, 5, float("inf")]], "far outside"),
        ({"counts": [0, 192]}, "size"),
        ({"size": [H, W]}, "counts"),
        ({"size": [W, H], "counts": [0, H * W]}, "size"),
        ({"size": [H, W], "counts": [3, 4]}, "192 pixels"),  # uninitialised by pycocotools
        ({"size": [H, W], "counts": [3, -3, 192]}, "192 pixels"),
        ({"size": [H, W], "counts": [3, 190]}, "192 pixels"),
        ({"size": [H, W], "counts": []}, "192 pixels"),
        ({"size": [H, W], "counts": [0.5, 191.5]}, "192 pixels"),
        ({"size": [H, W], "counts": ""}, "192 pixels"),
        ({"size": [H, W], "counts": "34"}, "192 pixels"),
        ({"size": [H, W], "counts": "`"}, "end early"),
        ({"size": [H, W], "counts": "hello world"}, "character"),
        ({"size": [H, W], "counts": "é"}, "cannot be drawn"),
        ({"size": [H, W], "counts": 5}, "cannot be drawn"),
    ],
)
def test_segmentations_that_cannot_be_drawn(root, segmentation, word):
    changes = {"annotations": [_annotation(7, 1, segmentation)]}
    _refused(root, ["annotation 100", word], **changes)


def test_missing_images_are_found_at_once(root):
    (root / "train2017/b.png").unlink()
    fails(lambda: Coco(str(root), "train2017", 4), root / "train2017", "no file 'b.png' of")
    (root / "train2017/a.png").unlink()
    fails(lambda: Coco(str(root), "train2017", 4), "'b.png' and 1 more")


def test_bad_images_are_named_on_reading(root):
    source = Coco(str(root), "train2017", 4)
    path = root / "train2017/b.png"
    Image.new("RGB", (H, W)).save(path)
    fails(lambda: source[0], path, "12 x 16", "16 x 12", "instances_train2017.json")
    path.write_bytes(b"")
    fails(lambda: source[0], path, "empty")
    path.unlink()
    fails(lambda: source[0], path, "cannot be read")
