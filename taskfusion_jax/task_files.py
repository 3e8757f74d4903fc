"""A trained network as files: one for what all tasks share, and a small one for each task.

`shared.safetensors` holds the shared parameters; `TASK.safetensors` what only that task has, its
masks at one bit per weight (two for ternary masks). A task is opened without the others, and only
on the shared parameters that it was trained with. Every file holds the checksum of its contents,
so bits that flipped are found.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from taskfusion_jax.engine.files import write_bytes
from taskfusion_jax.errors import UserError
from taskfusion_jax.methods.masks import binarise, ternarise
from taskfusion_jax.tasks.base import RESERVED, check_name

FORMAT = "taskfusion_jax task files 1"
Arrays = dict[str, np.ndarray]

_SHARED, _SUFFIX = RESERVED, ".safetensors"
_MASK = "mask/"  # what the names of a task's masks begin with


def checksum(shared: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal, of the names, shapes, types and bytes of arrays."""
    return _checksum(shared, {})


def write_shared(folder: Path, shared: Mapping[str, Any]) -> str:
    """Writes `shared.safetensors` and returns its checksum, which tasks belong to.

    Args:
      folder: made if absent.
      shared: arrays by name.
    """
    _write(folder, _SHARED, _plain(shared), {})
    return checksum(shared)


def write_task(
    folder: Path,
    name: str,
    own: Mapping[str, Any],
    belongs_to: str,
    threshold: float = 0.005,
    ternary: bool = False,
    slot: int = 0,
) -> None:
    """Writes `NAME.safetensors`.

    Args:
      folder: made if absent.
      name: of the task.
      own: the task's arrays by name, without its `task_SLOT/`. Of those below `mask/` only the
        mask is kept, everything else as it is.
      belongs_to: the checksum of the shared parameters.
      threshold: as in `methods.masks`.
      ternary: as in `methods.masks`.
      slot: by which `list_tasks` sorts.

    Raises:
      UserError: the name cannot be a file's, or masks of 0 and 1 would not be masks of themselves.
    """
    check_name(name)
    if not 0 <= threshold < 1:
        raise UserError(f"config.piggyback.threshold={threshold} must be at least 0, below 1")
    arrays = _plain(own)
    shapes = {key: x.shape for key, x in arrays.items() if key.startswith(_MASK)}
    arrays |= {key: _pack(arrays[key], threshold, ternary) for key in shapes}
    words = {"task": name, "slot": slot, "belongs_to": belongs_to}
    _write(folder, name, arrays, {**words, "ternary": ternary, "shapes": shapes})


def list_tasks(folder: Path) -> dict[str, Path]:
    """Task -> file, by slot, then by name; files that cannot be read come last.

    Raises:
      UserError: no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of task files")
    paths = sorted(path for path in folder.glob(f"*{_SUFFIX}") if path.stem != _SHARED)
    return {path.stem: path for path in sorted(paths, key=_slot)}


def read_shared(folder: Path) -> Arrays:
    """The arrays of `shared.safetensors` by name. Raises UserError as `read_task`."""
    path = folder / f"{_SHARED}{_SUFFIX}"
    arrays, words = _read(path)
    if words:
        raise UserError(f"{path}: not what all tasks share, but the task '{words.get('task')}'")
    return arrays


def read_task(path: Path, belongs_to: str, packed: bool = False) -> Arrays:
    """A task's arrays by name, with 1 and 0, and -1 if ternary, in place of the masks' values.

    Masks of these numbers are the same masks, so the arrays do what the trained ones did.

    Args:
      path: of the file.
      belongs_to: the checksum of the shared parameters at hand.
      packed: leave masks as bits, which `methods.masks.masked` takes as well.

    Raises:
      UserError: the file is missing, damaged, of another kind, or belongs to other parameters.
    """
    arrays, words = _read(path)
    if "belongs_to" not in words:
        raise UserError(f"{path}: not a task, but what all tasks share; give a task's file")
    if words["task"] != path.stem:
        raise UserError(
            f"{path}: holds the task '{words['task']}': name it {words['task']}{_SUFFIX} again"
        )
    if words["belongs_to"] != belongs_to:
        raise UserError(
            f"{path}: belongs to another base, {words['belongs_to'][:12]}, not {belongs_to[:12]}; "
            f"put it beside the {_SHARED}{_SUFFIX} that it was written with"
        )
    if packed:
        return arrays
    masks = {key: _unpack(arrays[key], tuple(shape)) for key, shape in words["shapes"].items()}
    return arrays | masks


def _plain(arrays: Mapping[str, Any]) -> Arrays:
    # Safetensors writes what lies in memory, whatever the order of the axes.
    return {name: np.asarray(x, order="C") for name, x in arrays.items()}


def _checksum(arrays: Mapping[str, Any], words: dict) -> str:
    digest = hashlib.sha256()
    for name, x in sorted(_plain(arrays).items()):
        digest.update(json.dumps([name, x.shape, x.dtype.name]).encode())
        digest.update(x.reshape(-1).view(np.uint8))
    if words:
        digest.update(json.dumps(words, sort_keys=True).encode())
    return digest.hexdigest()


def _pack(values: np.ndarray, threshold: float, ternary: bool) -> np.ndarray:
    """Real-valued masks of N weights -> uint8 [1, ceil(N / 8)], a bit per weight that counts.

    If ternary, [2, ceil(N / 8)]: the second row has a bit per weight that is negated.
    """
    step = ternarise if ternary else binarise
    mask = np.asarray(step(jnp.asarray(values.reshape(-1)), threshold))
    planes = (mask != 0, mask < 0) if ternary else (mask != 0,)
    return np.stack([np.packbits(plane) for plane in planes])


def _unpack(packed: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The inverse: 1, 0 and -1 as float32, in the weights' shape."""
    bits = np.unpackbits(packed, axis=1, count=int(np.prod(shape))).astype(np.int8)
    mask = bits[0] - 2 * bits[1] if len(bits) > 1 else bits[0]
    return mask.astype(np.float32).reshape(shape)


def _write(folder: Path, name: str, arrays: Arrays, words: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    words = json.loads(json.dumps(words))  # as they will be read
    metadata = {"format": FORMAT, "checksum": _checksum(arrays, words)}
    if words:
        metadata["words"] = json.dumps(words, sort_keys=True)
    write_bytes(folder / f"{name}{_SUFFIX}", save(arrays, metadata))


def _read(path: Path) -> tuple[Arrays, dict]:
    """All arrays of one of our files, as they were written, and what it says about them."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; write the tasks' files again, or give their folder")
    try:
        arrays, metadata = _open(path)
        words = json.loads(metadata.get("words", "{}"))
        whole = arrays is None or _checksum(arrays, words) == metadata.get("checksum")
        damage = "" if whole else "its checksum differs"
    except Exception as error:  # what is left of a damaged file may raise anything
        damage = str(error).partition("\n")[0][:200] or type(error).__name__
    if damage:
        raise UserError(
            f"{path}: damaged or no safetensors file ({damage}); write or copy it again"
        )
    if arrays is None:
        raise UserError(f"{path}: not one of our files, whose format is '{FORMAT}'")
    return arrays, words


def _open(path: Path) -> tuple[Arrays | None, dict[str, str]]:
    """The arrays and the metadata of a file, neither if it is not one of ours."""
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            return None, {}
        return {name: file.get_tensor(name) for name in sorted(file.keys())}, metadata


def _slot(path: Path) -> float:
    try:
        with safe_open(path, framework="numpy") as file:
            return json.loads(file.metadata()["words"])["slot"]
    except Exception:  # whoever opens it is told why
        return float("inf")
