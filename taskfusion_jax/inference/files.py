"""Which files are read and where what comes of them is written: nowhere but in one folder."""

import collections
import contextlib
import dataclasses
import io
import os
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from taskfusion_jax.data.arrays import to_bytes, to_rgba
from taskfusion_jax.data.images import SUFFIXES
from taskfusion_jax.engine.files import write_bytes
from taskfusion_jax.errors import OUT_OF_ROOM, UserError

_quiet = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Job:
    """One file to read and the one to write, `.png`."""

    source: Path
    target: Path


def find_images(given: Path, output: Path) -> tuple[list[Path], int, list[str]]:
    """The images at a path: the file itself, or those of a folder and the folders below it.

    Links to folders are not followed, and results of earlier runs in `output` are no images.

    Returns:
      (paths in the order of their names, how many other files lie there, a line for each folder
      that cannot be read).

    Raises:
      UserError: there is nothing, or no image.
    """
    if os.path.exists(given) and not os.path.isdir(given):
        return [given], 0, []
    if not os.path.isdir(given):
        raise UserError(f"--input={given}: there is no such file or folder, check the path")
    if _real(given) == _real(output):
        raise UserError(f"--output={output} is the folder of the images: give another folder")
    found, others, closed = [], 0, []
    for folder, below, names in os.walk(given, onerror=lambda e: closed.append(_unreadable(e))):
        below[:] = sorted(
            name
            for name in below
            if not name.startswith(".") and _real(Path(folder, name)) != _real(output)
        )
        for name in sorted(names):
            image = Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
            found += [Path(folder, name)] if image else []
            others += not image
    if not found:
        nothing = f"--input={given} holds no image ({', '.join(SUFFIXES)}): add one"
        raise UserError(closed[0] if closed else nothing)
    return found, others, closed


def _unreadable(error: OSError) -> str:
    return f"{error.filename} cannot be read ({error.strerror}): change its permissions or move it"


def plan(given: Path, images: Sequence[Path], output: Path) -> list[Job]:
    """Where each image's result goes: the same place below `output`, as PNG.

    Files whose results would have one name keep their suffix: a.jpg -> a.jpg.png.
    """
    root = given if os.path.isdir(given) else given.parent
    names = [path.relative_to(root) for path in images]
    targets = [f"{name.with_suffix('')}.png" for name in names]
    whole: set[Path] = set()
    while more := _alike(names, targets) - whole:  # again, as a.jpg.png may be there too
        whole |= more
        targets = [
            f"{name}.png" if name in whole else target
            for name, target in zip(names, targets, strict=True)
        ]
    return [Job(path, output / target) for path, target in zip(images, targets, strict=True)]


def _alike(names: Sequence[Path], targets: Sequence[str]) -> set[Path]:
    """The names whose targets others have too; some file systems tell no A from a."""
    keys = [target.casefold() for target in targets]
    counts = collections.Counter(keys)
    return {name for name, key in zip(names, keys, strict=True) if counts[key] > 1}


def check_source(source: Path, root: Path) -> None:
    """Raises UserError where a file is a link out of its folder `root`."""
    if os.path.islink(source) and not _within(source, root):
        raise UserError(f"{source} is a link to a place outside {root}: copy the file itself")


def check_target(
    target: Path,
    output: Path,
    overwrite: bool,
    read: Collection[tuple[int, int]] = (),
) -> None:
    """Raises UserError where a file would lie outside `output`, on top of something, or of one of
    those that are read, whose `identity` is in `read`."""
    if not _within(target, output):
        raise UserError(f"{target} is a link to a place outside {output}: remove it")
    if identity(target) in read:
        raise UserError(f"{target} would be overwritten, but is itself read: change --output")
    if os.path.isdir(target):
        raise UserError(f"{target} is a folder, where a result should be: move it away")
    if os.path.lexists(target) and not overwrite:
        raise UserError(f"{target} is there already: --overwrite replaces it")


def identity(path: Path) -> tuple[int, int] | None:
    """Device and number of a file, the same for all its names; None where there is none."""
    try:
        facts = os.stat(path)
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def make_folder(output: Path) -> None:
    """Makes the folder of the results. Raises UserError where it cannot be made."""
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in OUT_OF_ROOM:
            raise
        raise UserError(
            f"--output={output} cannot be made ({error.strerror}): give another folder"
        ) from error


def _within(path: Path, folder: Path) -> bool:
    return Path(_real(path)).is_relative_to(_real(folder))


def _real(path: Path) -> str:
    """Without links; unlike `Path.resolve`, of a circle of links too."""
    return os.path.realpath(path)


def write_picture(target: Path, image: np.ndarray, given: np.ndarray | None) -> None:
    """Writes a PNG as `write_file` does.

    Args:
      target: of the file.
      image: float [H, W, 3] in [0, 1], laid on white where it is transparent.
      given: what became `image`, uint8 [H, W, 4] where it is transparent, or None.
    """
    pixels = to_bytes(image) if given is None else to_rgba(image, given)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    write_file(target, file.getvalue())


def write_file(target: Path, content: bytes) -> None:
    """Writes a file, whole or not at all, in a folder that is made if absent.

    Raises:
      UserError: it cannot be written.
      OSError: nothing can be written, as there is no room.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(target, content)
    except OSError as error:
        if error.errno in OUT_OF_ROOM:
            raise
        raise UserError(
            f"{target} cannot be written ({error.strerror}): rename the image, or change --output"
        ) from error


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Nothing reaches the standard error output: libtiff prints what it thinks of a file there,
    beside the one line that is made of it. One thread at a time."""
    with _quiet, contextlib.ExitStack() as stack:
        try:
            kept = os.dup(2)
        except OSError:  # it is closed
            yield
            return
        stack.callback(os.close, kept)
        sys.stderr.flush()
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        stack.callback(os.dup2, kept, 2)
        yield
