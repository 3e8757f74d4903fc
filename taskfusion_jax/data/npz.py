"""Labelled images in NumPy's files, as pixels or as encoded images one after another."""

import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

from taskfusion_jax.data.classes import names_of
from taskfusion_jax.data.images import decode_image
from taskfusion_jax.data.labelled import InMemory
from taskfusion_jax.errors import UserError

_FIELD = "config.data.npz"


class Npz(InMemory):
    """A grain source over a file of NumPy's, one for each split.

    It holds `labels`, integers [N], and either `images`, uint8 [N, H, W], [N, H, W, 1] or
    [N, H, W, 3], or all images encoded (JPEG, PNG, ...) in `data`, uint8, with `offsets`, integers
    [N + 1]: image i is `data[offsets[i]:offsets[i + 1]]`. The names of the classes are `classes`,
    if the training file has it, else numbers.

    Item i is `{"image": uint8 [H, W, 3] RGB, "label": int}`, enlarged where a side is shorter than
    `min_side`. The arrays are kept in memory.

    Attributes:
      labels: names of the classes.
      label_ids: int [N], the class of each item.

    Raises:
      UserError: from the constructor, if a file is missing or damaged, or its arrays are not as
        above; from an item, if its image cannot be decoded (see `data.images`).
    """

    def __init__(self, train: str, test: str, split: str, min_side: int = 0):
        self.path, self.split = str({"train": train, "test": test}[split]), split
        self.min_side = min_side
        trained = _load(str(train), "train", ("labels", "classes"))
        names = trained.get("classes", np.array([])).tolist()
        self.labels = names_of(_labels(trained, train), names, train, "its `classes`")
        names = ("labels", "classes", "images", "data", "offsets")
        arrays = _load(self.path, split, names)
        if "classes" in arrays and tuple(map(str, arrays["classes"])) != self.labels:
            raise UserError(
                f"{self.path} has other `classes` than {train}: give both the same, in one order"
            )
        self.label_ids = _labels(arrays, self.path)
        names_of(self.label_ids, self.labels, self.path, f"`classes` of {train}")
        self.images = arrays.get("images")
        self._data, self._offsets = arrays.get("data"), arrays.get("offsets")
        if self.images is not None:
            _check_images(self.path, self.images, len(self))
        elif self._data is not None and self._offsets is not None:
            _check_encoded(self.path, self._data, self._offsets, len(self))
        else:
            raise UserError(
                f"{self.path} has neither `images` nor `data` and `offsets`: save it with them"
            )

    def _image(self, index: int) -> np.ndarray:
        if self.images is not None:
            return super()._image(index)
        data = self._data[self._offsets[index] : self._offsets[index + 1]].tobytes()
        return decode_image(data, f"{self.path}, image {index}")

    def __repr__(self) -> str:
        return f"Npz(path={self.path!r}, split={self.split!r}, length={len(self)})"


def _load(path: str, split: str, names: tuple[str, ...]) -> Mapping[str, np.ndarray]:
    """Returns those of the named arrays that the file has."""
    if not path:
        raise UserError(f"{_FIELD}.{split} is empty: set it to a file of NumPy's (.npz)")
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names if name in arrays}
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist: set {_FIELD}.{split} to what does") from error
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"{path} cannot be read as NumPy's .npz of plain arrays "
            f"({' '.join(str(error).split())}): save it again"
        ) from error


def _labels(arrays: Mapping[str, np.ndarray], path: str) -> np.ndarray:
    ids = arrays.get("labels")
    if ids is None or ids.ndim != 1 or ids.dtype.kind not in "iu" or not len(ids):
        raise UserError(f"{path} has no `labels`, integers [N]: save it with them")
    return ids.astype(np.int64)


def _check_images(path: str, images: np.ndarray, count: int) -> None:
    gray = images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 1)
    colour = images.ndim == 4 and images.shape[3] == 3
    if images.dtype != np.uint8 or not (gray or colour) or 0 in images.shape:
        raise UserError(
            f"{path}: `images` is {images.dtype} {list(images.shape)}, but must be uint8 "
            "[N, H, W], [N, H, W, 1] or [N, H, W, 3]: save it so"
        )
    _check_count(path, "images", len(images), count)


def _check_encoded(path: str, data: np.ndarray, offsets: np.ndarray, count: int) -> None:
    if data.dtype != np.uint8 or data.ndim != 1:
        raise UserError(f"{path}: `data` must be uint8 [bytes] of encoded images: save it so")
    good = offsets.ndim == 1 and offsets.dtype.kind in "iu" and len(offsets) > 0
    ascending = good and (np.diff(offsets.astype(np.int64)) >= 0).all()
    if not ascending or offsets[0] < 0 or offsets[-1] > len(data):
        raise UserError(
            f"{path}: `offsets` must be ascending integers within 0..{len(data)}, the length of "
            "`data`: save it again"
        )
    _check_count(path, "offsets", len(offsets) - 1, count)


def _check_count(path: str, name: str, found: int, count: int) -> None:
    if found != count:
        raise UserError(
            f"{path}: `{name}` is for {found} images, but there are {count} `labels`: save it again"
        )
