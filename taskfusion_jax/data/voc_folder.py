"""Folders in the layout of PASCAL VOC: images, palette masks, and text files that name splits."""

import os
from pathlib import Path

import numpy as np

from taskfusion_jax.data.images import read_image, read_mask
from taskfusion_jax.errors import UserError, did_you_mean

_FIELD = "config.data.voc_folder"
_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


class VocFolder:
    """A grain source over a folder in VOC layout.

    The folder holds `JPEGImages/ID.{jpg,jpeg,png}`, `SegmentationClass/ID.png` and
    `ImageSets/Segmentation/SPLIT.txt` with one ID per line. VOC 2012 has 21 classes (0 is the
    background) and void 255; CamVid in this layout has 11 classes and void 11.

    Item i is `{"image": uint8 [H, W, 3] RGB, "mask": uint8 [H, W]}`; the mask holds class ids
    0..classes-1 and 255 = void. An image with a side below `min_side` is an error.

    Raises:
      UserError: from the constructor, if a folder, the split file or a file it names is missing,
        or the split is empty; from an item, if its files cannot be used (see `data.images`).
    """

    has_masks = True
    labels: tuple[str, ...] = ()

    def __init__(self, dir: str, split: str, classes: int, void: int, min_side: int = 0):
        if not 1 <= classes <= 255:
            raise UserError(f"{_FIELD}.classes={classes} must be 1..255 (255 itself means void)")
        if not 0 <= void <= 255:
            raise UserError(f"{_FIELD}.void={void} must be 0..255, the id that means void")
        self.dir, self.split, self.classes, self.void = str(dir), split, classes, void
        self._min_side = min_side
        ids = _read_split(Path(dir), split)
        images = _list_files(Path(dir) / "JPEGImages", _IMAGE_SUFFIXES)
        masks = _list_files(Path(dir) / "SegmentationClass", (".png",))
        _check_complete(dir, split, "JPEGImages", ids, images)
        _check_complete(dir, split, "SegmentationClass", ids, masks)
        self._files = [(images[i], masks[i]) for i in ids]

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        image_file, mask_file = self._files[index]
        image = read_image(os.path.join(self.dir, "JPEGImages", image_file), self._min_side)
        path = os.path.join(self.dir, "SegmentationClass", mask_file)
        mask = read_mask(path, self.classes, self.void, image.shape[:2], _FIELD)
        return {"image": image, "mask": mask}

    def __repr__(self) -> str:
        return f"VocFolder(dir={self.dir!r}, split={self.split!r}, length={len(self)})"


def _read_split(root: Path, split: str) -> list[str]:
    if not root.is_dir():
        raise UserError(f"{root} is not a folder: set {_FIELD}.dir to a folder in VOC layout")
    folder = root / "ImageSets" / "Segmentation"
    path = folder / f"{split}.txt"
    if not path.is_file():
        known = [p.stem for p in folder.glob("*.txt")]
        if not known:
            raise UserError(f"{folder} holds no SPLIT.txt: set {_FIELD}.dir to a VOC layout")
        hint = did_you_mean(split, known)
        raise UserError(
            f"{path} does not exist: set {_FIELD}.train and {_FIELD}.test to what there is "
            f"({', '.join(sorted(known))}){hint}"
        )
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    ids = [line.strip() for line in lines if line.strip()]
    if not ids:
        raise UserError(f"{path} is empty: write one image ID per line or name another split")
    return ids


def _list_files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, str]:
    """Returns file name by ID from one directory listing; an earlier suffix wins."""
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist: set {_FIELD}.dir to a folder in VOC layout")
    found = [(*os.path.splitext(name), name) for name in sorted(os.listdir(folder))]
    found = [f for f in found if f[1].lower() in suffixes]
    found.sort(key=lambda f: suffixes.index(f[1].lower()), reverse=True)
    return {stem: name for stem, _, name in found}


def _check_complete(dir, split: str, kind: str, ids: list[str], files: dict[str, str]) -> None:
    missing = [i for i in ids if i not in files]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"{os.path.join(dir, kind)} has no file for ID {missing[0]!r}{more} of {split}.txt: "
            "add the file or remove the line"
        )
