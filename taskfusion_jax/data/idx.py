"""MNIST's file format, idx: gray images and their labels in two files, gzipped or not."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from taskfusion_jax.data.classes import names_of, spread
from taskfusion_jax.data.labelled import InMemory
from taskfusion_jax.errors import UserError

_FIELD = "config.data.idx"
_IMAGES, _LABELS = "images-idx3-ubyte", "labels-idx1-ubyte"
_UBYTE = 8  # the format's code for uint8
_TRAIN, _TEST, _ALL = "train-", "t10k-", ""


class Idx(InMemory):
    """A grain source over a folder with MNIST's files.

    It holds `train-images-idx3-ubyte` and `train-labels-idx1-ubyte`, and the same with `t10k-` for
    testing, each with or without `.gz`. Where there is no `t10k-`, the images of `train-` or of
    `images-idx3-ubyte` are divided: `test_fraction` of each class, evenly spaced, are for testing.
    Class i is `names[i]`, and where there are no names, the number.

    Item i is `{"image": uint8 [H, W, 3] RGB, "label": int}`, gray, and enlarged where a side is
    shorter than `min_side`. The images are kept in memory.

    Attributes:
      labels: names of the classes.
      label_ids: int [N], the class of each item.

    Raises:
      UserError: a file is missing, damaged or not of this format, images and labels differ in
        number, a label has no name, or a split has no images.
    """

    def __init__(
        self,
        dir: str,
        split: str,
        names: tuple[str, ...],
        test_fraction: float,
        min_side: int = 0,
    ):
        if not Path(dir).is_dir():
            raise UserError(f"{dir} is not a folder: set {_FIELD}.dir to one with MNIST's files")
        if not 0.0 <= test_fraction <= 1.0:
            raise UserError(f"{_FIELD}.test_fraction={test_fraction} must be within 0..1")
        self.dir, self.split, self.min_side = str(dir), split, min_side
        first, divided = _layout(Path(dir))
        trained, path = _read_labels(Path(dir), first)
        self.labels = names_of(trained, names, path, f"{_FIELD}.names")
        part = first if divided or split == "train" else _TEST
        ids, path = _read_labels(Path(dir), part)
        names_of(ids, self.labels, path, f"{_FIELD}.names")  # those of training
        images, image_path = _read(Path(dir), part + _IMAGES, 3)
        if len(images) != len(ids):
            raise UserError(
                f"{image_path} holds {len(images)} images, but {path} {len(ids)} labels: "
                "copy both again"
            )
        if divided:
            chosen = spread(ids, test_fraction) == (split == "test")
            images, ids = images[chosen], ids[chosen]
        if not len(ids):
            raise UserError(f"{dir} has no images to {split} with: change {_FIELD}.test_fraction")
        self.images, self.label_ids = images, ids

    def __repr__(self) -> str:
        return f"Idx(dir={self.dir!r}, split={self.split!r}, length={len(self)})"


def _layout(root: Path) -> tuple[str, bool]:
    """Returns how the names of the training files begin, and whether testing shares them."""
    if _file(root, _TEST + _IMAGES):
        return _TRAIN, False
    for prefix in (_TRAIN, _ALL):
        if _file(root, prefix + _IMAGES):
            return prefix, True
    raise UserError(
        f"{root} holds neither {_TRAIN}{_IMAGES}[.gz] nor {_IMAGES}[.gz]: "
        f"set {_FIELD}.dir to a folder with MNIST's files"
    )


def _file(root: Path, name: str) -> Path | None:
    return next((p for p in (root / name, root / f"{name}.gz") if p.is_file()), None)


def _read_labels(root: Path, prefix: str) -> tuple[np.ndarray, Path]:
    ids, path = _read(root, prefix + _LABELS, 1)
    return ids.astype(np.int64), path


def _read(root: Path, name: str, dimensions: int) -> tuple[np.ndarray, Path]:
    """Returns uint8 of so many dimensions, and the file: a magic number, sizes, then the bytes."""
    path = _file(root, name)
    if path is None:
        raise UserError(f"{root} has no {name}[.gz]: add it, or change {_FIELD}.dir")
    try:
        data = path.read_bytes()
        data = gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} is damaged ({error}): copy or download it again") from error
    magic = bytes((0, 0, _UBYTE, dimensions))
    if data[:4] != magic:
        raise UserError(
            f"{path} does not begin with the bytes {magic.hex(' ')} of such a file, but with "
            f"{data[:4].hex(' ') or 'nothing'}: copy or download it again"
        )
    sizes = struct.Struct(f">{dimensions}I")
    start = len(magic) + sizes.size
    shape = sizes.unpack_from(data, len(magic)) if len(data) >= start else (0,)
    wanted = start + math.prod(shape)
    if len(data) != wanted:
        raise UserError(
            f"{path} has {len(data)} bytes where its header asks for {wanted}: "
            "copy or download it again"
        )
    if not math.prod(shape):
        raise UserError(f"{path} is of no images: copy or download it again")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape), path
