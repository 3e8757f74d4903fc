"""Any folder of images, without masks; its subfolders may be classes."""

import hashlib
import os
from pathlib import Path

import numpy as np

from taskfusion_jax.data.images import SUFFIXES, enlarge, read_image
from taskfusion_jax.errors import UserError, did_you_mean

_FIELD = "config.data.image_folder"


class ImageFolder:
    """A grain source over all images below a folder, sorted by relative path.

    If the folder has `train/` beside `test/` or `val/`, those are the splits ("test" takes `val/`
    where there is no `test/`). Otherwise about `test_fraction` of the images are "test" and the
    rest "train", chosen by a hash of each relative path: the two are disjoint, the same on every
    machine, and an image keeps its split when others come or go. Hidden files are left out.

    Item i is `{"image": uint8 [H, W, 3] RGB}`; a side below `min_side` is an error. With
    `labelled`, every subfolder of the split (of the folder, if it is not divided) is a class, in
    the order of their names; an item has its `"label": int` too, and images are enlarged where a
    side is shorter than `min_side`.

    Attributes:
      labels: names of the classes; none unless `labelled`.
      label_ids: int [N], the class of each item, if `labelled`.

    Raises:
      UserError: from the constructor, if the folder is missing, the split is unknown or holds no
        image, an image is in no class, or splits differ in their classes; from an item, if its
        file cannot be used (see `data.images`).
    """

    has_masks = False
    classes = 0

    def __init__(
        self,
        dir: str,
        split: str,
        test_fraction: float,
        min_side: int = 0,
        labelled: bool = False,
    ):
        root = Path(dir)
        if not root.is_dir():
            raise UserError(f"{dir} is not a folder: set {_FIELD}.dir to a folder of images")
        if not 0.0 <= test_fraction <= 1.0:
            raise UserError(f"{_FIELD}.test_fraction={test_fraction} must be within 0..1")
        self.dir, self.split, self.test_fraction = str(dir), split, test_fraction
        self._min_side = min_side
        self.labels: tuple[str, ...] = ()
        folders = _split_folders(root)
        known = folders or ("train", "test")
        if split not in known:
            raise UserError(
                f"{dir} has no split {split!r}{did_you_mean(split, known)}: "
                f"set {_FIELD}.split to one of {', '.join(known)}"
            )
        if folders:
            self._files = [f"{folders[split]}/{f}" for f in _images_below(root / folders[split])]
        else:
            wanted = split == "test"
            self._files = [
                f for f in _images_below(root) if (_fraction_of(f) < test_fraction) == wanted
            ]
        if not self._files:
            raise UserError(
                f"{dir} has no images in split {split!r} ({', '.join(SUFFIXES)}): "
                f"change {_FIELD}.dir" + ("" if folders else f" or {_FIELD}.test_fraction")
            )
        if labelled:
            self.labels = _classes(root, sorted(set(folders.values())))
            inside = f"{folders[split]}/" if folders else ""
            self.label_ids = self._class_ids(inside)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        path = os.path.join(self.dir, self._files[index])
        if not self.labels:
            return {"image": read_image(path, self._min_side)}
        image = enlarge(read_image(path), self._min_side)
        return {"image": image, "label": int(self.label_ids[index])}

    def _class_ids(self, inside: str) -> np.ndarray:
        """The class of each file: the first folder of its path below `inside`."""
        ids = {name: i for i, name in enumerate(self.labels)}
        names = [file.removeprefix(inside).partition("/") for file in self._files]
        for (_, slash, _), file in zip(names, self._files, strict=True):
            if not slash:
                raise UserError(
                    f"{os.path.join(self.dir, file)} is in no class's folder: move it into one, or "
                    f"set {_FIELD}.labels=False"
                )
        return np.array([ids[name] for name, _, _ in names])

    def __repr__(self) -> str:
        return (
            f"ImageFolder(dir={self.dir!r}, split={self.split!r}, "
            f"test_fraction={self.test_fraction}, length={len(self)})"
        )


def _split_folders(root: Path) -> dict[str, str]:
    """Returns the subfolder of each split, or nothing if the folder is not divided."""
    folders = {name: name for name in ("train", "test", "val") if (root / name).is_dir()}
    if "train" not in folders or len(folders) < 2:
        return {}
    folders.setdefault("test", "val")
    return folders


def _classes(root: Path, folders: list[str]) -> tuple[str, ...]:
    """Returns the names of the subfolders, which must be the same in all splits."""
    found = {folder: _subfolders(root / folder) for folder in folders or ["."]}
    first, *others = found
    for other in others:
        differing = sorted(set(found[first]) ^ set(found[other]))
        if differing:
            has, lacks = (first, other) if differing[0] in found[first] else (other, first)
            raise UserError(
                f"{root / lacks} has no folder '{differing[0]}' as {root / has} has: give both the "
                "same classes"
            )
    return tuple(found[first])


def _subfolders(root: Path) -> list[str]:
    return sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))


def _images_below(root: Path) -> list[str]:
    """Returns the relative paths, with `/`, of all images below a folder."""
    found = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [s for s in subfolders if not s.startswith(".")]
        found += [
            Path(folder, name).relative_to(root).as_posix()
            for name in names
            if not name.startswith(".") and name.lower().endswith(SUFFIXES)
        ]
    return sorted(found)


def _fraction_of(file: str) -> float:
    """Returns a number in 0..1 that depends on nothing but the name."""
    digest = hashlib.sha256(os.fsencode(file)).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
