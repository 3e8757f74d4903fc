"""COCO (Lin et al., ECCV 2014): instance annotations painted into class maps."""

import json
import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pycocotools import mask as coco_mask

from taskfusion_jax.data.images import VOID, decode_image
from taskfusion_jax.errors import UserError, did_you_mean

_FIELD = "config.data.coco"
_PREFIX = "instances_"
_LISTS = ("images", "annotations", "categories")
_MAX_SIDE = 65535  # that of a JPEG; pycocotools crashes on sides and coordinates of millions
_FAR = 10  # how far outside a polygon may reach, as a multiple of the longer side


class _Entry(NamedTuple):
    """An image with its instances in the order of painting.

    file: its name in the folder of the split.
    height, width: in pixels, as annotated.
    ids: the class of each instance, 255 for a crowd.
    counts: their compressed run lengths, with a space (which these never hold) between two.
    """

    file: str
    height: int
    width: int
    ids: bytes
    counts: bytes


class Coco:
    """A grain source over a folder in COCO's layout.

    The folder holds `annotations/instances_SPLIT.json` and the images in `SPLIT/`. Class 0 is the
    background and class i the i-th category by ascending id, so COCO's 80 categories are 81
    classes. Where instances overlap, the smaller lies on top; a crowd region is void where no
    other instance is. Polygons of fewer than three points cover nothing.

    Item i is `{"image": uint8 [H, W, 3] RGB, "mask": uint8 [H, W]}`, in the order of the
    annotation file; the mask holds class ids 0..classes-1 and 255 = void. Images of which a side is
    below `min_side`, of which COCO has some, are left out. The pixels are taken as stored: a
    camera's orientation tag is not applied.

    The annotations are kept as run lengths alone, some 300 bytes for each instance.

    Raises:
      UserError: from the constructor, if a folder, the annotation file or an image is missing, the
        annotations cannot be used, or they do not have `classes` classes; from an item, if its
        image cannot be used (see `data.images`) or is not of the annotated size.
    """

    has_masks = True
    labels: tuple[str, ...] = ()

    def __init__(self, dir: str, split: str, classes: int, min_side: int = 0):
        self.dir, self.split, self.classes = str(dir), split, classes
        path = _annotation_file(Path(dir), split)
        annotated = _read_json(path)
        class_of = _class_ids(path, annotated["categories"], classes)
        every = _entries(path, annotated, class_of)
        self._entries = [e for e in every if min(e.height, e.width) >= min_side]
        if every and not self._entries:
            raise UserError(f"{path} has no image of {min_side} pixels: lower config.data.size")
        _check_complete(Path(dir) / split, path, [e.file for e in self._entries])

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        entry = self._entries[index]
        path = os.path.join(self.dir, self.split, entry.file)
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}): check the path") from error
        image = decode_image(data, path, exif=False)
        height, width = image.shape[:2]
        if (height, width) != (entry.height, entry.width):
            raise UserError(
                f"{path} is {width} x {height} pixels as stored, but annotated as {entry.width} x "
                f"{entry.height} in {_PREFIX}{self.split}.json: give the image that was annotated"
            )
        return {"image": image, "mask": _paint(entry)}

    def __repr__(self) -> str:
        return f"Coco(dir={self.dir!r}, split={self.split!r}, length={len(self)})"


def _paint(entry: _Entry) -> np.ndarray:
    """Returns uint8 [H, W].

    Not by `coco_mask.decode`: every call of it warns that a later NumPy will refuse its arrays
    (version 2.0.11), it takes three times as long, and no filter of warnings is safe in threads.
    """
    ids = np.zeros(entry.height * entry.width, np.uint8)  # column by column, as run lengths go
    for i, counts in zip(entry.ids, entry.counts.split(), strict=True):
        runs = _decompress(counts)
        np.copyto(ids, i, where=np.repeat(np.arange(len(runs)) % 2 == 1, runs))
    return np.ascontiguousarray(ids.reshape(entry.width, entry.height).T)


def _annotation_file(root: Path, split: str) -> Path:
    if not root.is_dir():
        raise UserError(f"{root} is not a folder: set {_FIELD}.dir to a folder in COCO's layout")
    folder = root / "annotations"
    path = folder / f"{_PREFIX}{split}.json"
    if not path.is_file():
        known = [p.stem.removeprefix(_PREFIX) for p in folder.glob(f"{_PREFIX}*.json")]
        if not known:
            raise UserError(
                f"{folder} holds no {_PREFIX}SPLIT.json: set {_FIELD}.dir to a folder in COCO's "
                "layout"
            )
        raise UserError(
            f"{path} does not exist: set {_FIELD}.train and {_FIELD}.test to what there is "
            f"({', '.join(sorted(known))}){did_you_mean(split, known)}"
        )
    return path


def _read_json(path: Path) -> dict[str, list]:
    # Not by pycocotools.coco.COCO, which prints, and asserts or fails wherever something is amiss.
    try:
        with open(path, encoding="utf-8-sig") as file:
            annotated = json.load(file)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): check the path") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({_line(error)}): copy or download it again") from error
    for name in _LISTS:
        if not isinstance(annotated, dict) or not isinstance(annotated.get(name), list):
            raise UserError(
                f"{path} is not COCO: it has no list {name!r}; "
                "give a file of instance annotations in its place"
            )
    return annotated


def _class_ids(path: Path, categories: list[dict], classes: int) -> dict[int, int]:
    """Returns the class of each category id: 1 for the lowest."""
    try:
        ids = sorted({category["id"] for category in categories})
    except (KeyError, TypeError) as error:
        raise _not_coco(path, "categories", error) from error
    found = len(ids) + 1
    if found > VOID:
        raise UserError(
            f"{path} has {len(ids)} categories, but a mask holds {VOID - 1} beside background and "
            "void: merge or remove categories"
        )
    if found != classes:
        raise UserError(
            f"{path} has {len(ids)} categories, {found} classes with the background, but "
            f"{_FIELD}.classes={classes}: set it to {found}"
        )
    return {id: 1 + i for i, id in enumerate(ids)}


def _entries(path: Path, annotated: dict[str, list], class_of: dict[int, int]) -> list[_Entry]:
    try:
        of_image = {image["id"]: [] for image in annotated["images"]}
        sizes = [(image["height"], image["width"]) for image in annotated["images"]]
        good = all(isinstance(image["file_name"], str) for image in annotated["images"])
        if not good or not all(isinstance(s, int) and 1 <= s <= _MAX_SIDE for s in sum(sizes, ())):
            raise ValueError("file names and sizes must be text and pixels")
    except (KeyError, TypeError, ValueError) as error:
        raise _not_coco(path, "images", error) from error
    if not sizes:
        raise UserError(f"{path} lists no images: copy it again or name another split")
    if len(of_image) < len(sizes):
        raise UserError(f"{path} has two images of one id: number the images anew")
    try:
        for a in annotated["annotations"]:
            if a["category_id"] not in class_of:
                raise UserError(
                    f"{path}: annotation {a['id']} has category {a['category_id']}, which the "
                    "file does not list: add it to the categories or remove the annotation"
                )
            if a["image_id"] not in of_image:
                raise UserError(
                    f"{path}: annotation {a['id']} is of image {a['image_id']}, which the "
                    "file does not list: add it to the images or remove the annotation"
                )
            of_image[a["image_id"]].append(a)
        return [_entry(path, i, of_image[i["id"]], class_of) for i in annotated["images"]]
    except (KeyError, TypeError) as error:
        raise _not_coco(path, "annotations", error) from error


def _entry(path: Path, image: dict, annotations: list[dict], class_of: dict[int, int]) -> _Entry:
    instances = []
    for a in annotations:
        try:
            rle = _run_lengths(a.get("segmentation"), image["height"], image["width"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{path}: the segmentation of annotation {a['id']} cannot be drawn "
                f"({_line(error)}): correct it or remove the annotation"
            ) from error
        if rle:
            id = VOID if a.get("iscrowd") else class_of[a["category_id"]]
            instances.append((id, int(coco_mask.area(rle)), rle["counts"]))
    instances.sort(key=lambda instance: (instance[0] != VOID, -instance[1]))
    ids, counts = bytes(i for i, _, _ in instances), b" ".join(c for _, _, c in instances)
    return _Entry(image["file_name"], image["height"], image["width"], ids, counts)


def _run_lengths(segmentation: list | dict | None, height: int, width: int) -> dict | None:
    """Returns polygons or run lengths as compressed run lengths; None where nothing is covered.

    pycocotools takes run lengths that end early and crashes on coordinates far outside, so both
    are looked for here.

    Raises:
      ValueError, KeyError or TypeError: not what COCO's format says.
    """
    if not segmentation:
        raise ValueError("it is empty, and a box alone is not enough")
    if isinstance(segmentation, dict):
        size, runs = segmentation["size"], segmentation["counts"]
        if isinstance(runs, str):
            runs = _decompress(runs.encode("ascii"))
        if size != [height, width]:
            raise ValueError(f"its size is {size}, that of the image {[height, width]}")
        good = all(isinstance(run, int) and run >= 0 for run in runs)
        if not good or sum(runs) != height * width:
            raise ValueError(f"its run lengths do not add up to {height * width} pixels")
        return coco_mask.frPyObjects({"size": size, "counts": runs}, height, width)
    far = _FAR * max(height, width)
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) % 2:
            raise ValueError("a polygon is not a list of x and y")
        if not math.isfinite(sum(polygon)) or max(map(abs, polygon), default=0) > far:
            raise ValueError("a polygon reaches far outside the image")
    polygons = [p for p in segmentation if len(p) >= 6]
    if not polygons:
        return None
    return coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))


def _decompress(counts: bytes) -> list[int]:
    """Returns run lengths from COCO's text: 5 bits a character, differences from the third on."""
    runs, run, shift = [], 0, 0
    for character in counts:
        bits = character - 48
        if not 0 <= bits < 64:
            raise ValueError("its run lengths hold a character that COCO does not use")
        run |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            run -= 1 << shift
        runs.append(run + runs[-2] if len(runs) > 2 else run)
        run, shift = 0, 0
    if shift:
        raise ValueError("its run lengths end early")
    return runs


def _check_complete(folder: Path, path: Path, files: list[str]) -> None:
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist: put the images of {path} there")
    there = set(os.listdir(folder))  # one listing; only files in subfolders are asked for singly
    missing = [f for f in files if f not in there and not (folder / f).is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"{folder} has no file {missing[0]!r}{more} of {path}: add the file or remove its entry"
        )


def _not_coco(path: Path, name: str, error: Exception) -> UserError:
    return UserError(
        f"{path} is not COCO: its {name!r} are not as they should be "
        f"({type(error).__name__}: {_line(error)}); give instance annotations in its place"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
