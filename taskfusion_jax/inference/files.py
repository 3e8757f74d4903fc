"""Which files are read and where what comes of them is written: nowhere but in one folder."""

import dataclasses
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from taskfusion_jax.data.images import SUFFIXES
from taskfusion_jax.engine.files import write_bytes
from taskfusion_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Job:
    """One file to read and the one to write, `.png`."""

    source: Path
    target: Path


def find_images(given: Path) -> tuple[list[Path], int]:
    """The images at a path: the file itself, or those of a folder and the folders below it.

    Links to folders are not followed.

    Returns:
      (paths in the order of their names, how many other files lie there).

    Raises:
      UserError: there is nothing, or no image.
    """
    if given.is_file():
        return [given], 0
    if not given.is_dir():
        raise UserError(f"--input={given}: there is no such file or folder")
    found, others = [], 0
    for folder, below, names in os.walk(given):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            image = Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
            found += [Path(folder, name)] if image else []
            others += not image
    if not found:
        raise UserError(f"--input={given} holds no image ({', '.join(SUFFIXES)})")
    return found, others


def plan(given: Path, images: Sequence[Path], output: Path) -> list[Job]:
    """Where each image's result goes: the same place below `output`, as PNG.

    Two files whose names differ in the suffix alone keep theirs: a.jpg -> a.jpg.png.
    """
    root = given if given.is_dir() else given.parent
    names = [path.relative_to(root).with_suffix("") for path in images]
    same = [str(name).casefold() for name in names]
    return [
        Job(
            path,
            output / (f"{path.relative_to(root)}.png" if same.count(key) > 1 else f"{name}.png"),
        )
        for path, name, key in zip(images, names, same, strict=True)
    ]


def check_job(job: Job, root: Path, output: Path, overwrite: bool) -> None:
    """Raises UserError where the source is a link out of its folder or no plain file, or the
    result would lie outside `output` or on top of something."""
    if job.source.is_symlink() and not _within(job.source, root):
        raise UserError(f"{job.source} is a link to a place outside {root}: copy the file itself")
    if not job.source.is_file():
        raise UserError(f"{job.source} is no plain file: remove it")
    if not _within(job.target, output):
        raise UserError(f"{job.target} is a link to a place outside {output}: remove it")
    if job.target.exists() and not overwrite:
        raise UserError(f"{job.target} is there already: --overwrite replaces it")
    if job.target.exists() and os.path.samefile(job.source, job.target):
        raise UserError(f"{job.source} would be overwritten by its own result: change --output")


def _within(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def write_picture(target: Path, image: np.ndarray, alpha: np.ndarray | None) -> None:
    """Writes a PNG, whole or not at all.

    Args:
      target: in a folder that is made if absent.
      image: float [H, W, 3] in [0, 1].
      alpha: uint8 [H, W] or None.

    Raises:
      UserError: it cannot be written.
    """
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    if alpha is not None:
        pixels = np.concatenate([pixels, alpha[..., None]], axis=-1)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, file.getvalue())
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"{target}: a file is in the way of its folder: {error}") from error
