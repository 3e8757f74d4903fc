"""The folder of an export: all of its files, or none."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from taskfusion_jax.engine.files import read_json, write_json
from taskfusion_jax.errors import OUT_OF_ROOM, UserError
from taskfusion_jax.inference.files import make_folder

LIST = "files.json"
"""Names what belongs to the export; while it is not there the folder is not whole."""
_PARTIAL = ".partial_"


def check_free(output: Path, overwrite: bool) -> None:
    """Raises UserError where something is in an export's way."""
    if output.exists() and not output.is_dir():
        raise UserError(f"--output={output} is a file: give a folder")
    if overwrite or not output.is_dir():
        return
    if any(not path.name.startswith(_PARTIAL) for path in output.iterdir()):
        raise UserError(f"--output={output} is not empty: give another, or --overwrite")


@contextlib.contextmanager
def whole_folder(output: Path, overwrite: bool) -> Iterator[Path]:
    """A new folder to write files into, which go to `output` when all are there.

    Those of an earlier export go, as its list names them; other files are left alone.

    Raises:
      UserError: `output` is no folder or not empty, cannot be written, or has another file where
        one is to be.
    """
    check_free(output, overwrite)
    make_folder(output)
    try:
        partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=output))
    except OSError as error:
        if error.errno in OUT_OF_ROOM:
            raise
        raise UserError(
            f"--output={output} cannot be written ({error.strerror}): give another folder"
        ) from error
    try:
        yield partial
        _move(partial, output)
    finally:
        for path in output.glob(f"{_PARTIAL}*"):  # of exports that were killed, too
            shutil.rmtree(path, ignore_errors=True)


def _move(partial: Path, output: Path) -> None:
    new = sorted(path.name for path in partial.iterdir())
    before = _listed(output)
    foreign = [name for name in new if os.path.lexists(output / name) and name not in before]
    if foreign:
        raise UserError(
            f"{output / foreign[0]} is of no earlier export: move it away, or give another --output"
        )
    (output / LIST).unlink(missing_ok=True)
    for name in before - set(new):
        (output / name).unlink(missing_ok=True)
    for name in new:
        os.replace(partial / name, output / name)
    write_json(output / LIST, new)


def _listed(output: Path) -> set[str]:
    """What an earlier export's list names, in this folder and nowhere else."""
    try:
        names = read_json(output / LIST)
    except (OSError, ValueError):
        return set()
    names = names if isinstance(names, list) else []
    return {n for n in names if isinstance(n, str) and n == os.path.basename(n) and n.strip(".")}
