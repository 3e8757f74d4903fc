"""What the masks of a folder of task files look like: zeros, likeness, and how small they can be.

Shares of zeros per layer and likeness are those of paper 003, section 5 (table 3, figures 4 to 8
and 10); its outlook asks how far masks can be compressed.
"""

import lzma
import math
from pathlib import Path

import numpy as np
import zstandard

from taskfusion_jax.errors import UserError
from taskfusion_jax.task_files import checksum, list_tasks, read_shared, read_task

_MASK = "mask/"

Mask = dict[str, np.ndarray]
"""Layer -> uint8 in the weights' shape: 0 where a weight does not count, 1 where it does, 3 where
it is negated, so that two masks differ where their exclusive or is not 0."""


def study(folder: Path, base_name: str) -> dict:
    """Returns numbers about all masks of a folder, ready for JSON.

    Args:
      folder: of task files; tasks without masks are passed over.
      base_name: what the base's task is called, whose mask is all ones.

    Returns:
      `base`: the given name; `weights`: how many are masked; `layers`: {layer: its weights};
      `similarity`: {task: {earlier task or base: share of equal mask values}};
      `tasks`: {task: what follows} in the order of `list_tasks`:

      - `zeros`: share of zeros, and `zeros_per_layer`: {layer: share of zeros}.
      - `entropy`: bits per weight that a code must spend that knows each layer's shares only.
      - `bytes`: {`packed`, `zstd`, `lzma`}: size of the packed bits, layer by layer, as they are
        and compressed (zstd level 19, lzma preset 9).
      - `difference`: the exclusive or with the most similar earlier task's mask: {`task`,
        `entropy`, `zstd`}; None for the first task.
      - `low_rank`: {`energy`, `random`, `weights`}, see `_low_rank`.

    Raises:
      UserError: a file cannot be read, there are no masks, or they mask different weights.
    """
    masks = _masks(folder, base_name)
    layers = next(iter(masks.values()))
    seen = {base_name: {name: np.ones_like(x) for name, x in layers.items()}}
    similarity, tasks = {}, {}
    for task, mask in masks.items():
        shares = similarity[task] = {other: _similarity(mask, x) for other, x in seen.items()}
        nearest = max(list(masks)[: len(seen) - 1], key=shares.get, default=None)
        apart = nearest and {"task": nearest, **_difference(mask, masks[nearest])}
        tasks[task] = {**_numbers(mask), "difference": apart}
        seen[task] = mask
    sizes = {name: x.size for name, x in layers.items()}
    return {
        "base": base_name,
        "weights": sum(sizes.values()),
        "layers": sizes,
        "similarity": similarity,
        "tasks": tasks,
    }


def _masks(folder: Path, base_name: str) -> dict[str, Mask]:
    """task -> its mask, all on the same weights."""
    paths, belongs_to = list_tasks(folder), checksum(read_shared(folder))
    masks = {task: _mask(path, belongs_to) for task, path in paths.items()}
    masks = {task: mask for task, mask in masks.items() if mask}
    if not masks:
        raise UserError(f"{folder}: no task has masks; write tasks of the method piggyback there")
    if base_name in masks:
        raise UserError(f"{paths[base_name]}: the base '{base_name}' is all ones, but has masks")
    first, *others = masks
    for other in others:
        if _shapes(masks[other]) != _shapes(masks[first]):
            raise UserError(
                f"{paths[other]} masks other weights than {paths[first].name}; study tasks of one "
                "config.piggyback.masked together"
            )
    return masks


def _mask(path: Path, belongs_to: str) -> Mask:
    arrays = read_task(path, belongs_to)
    return {
        name.removeprefix(_MASK): (x != 0) + 2 * (x < 0).astype(np.uint8)
        for name, x in arrays.items()
        if name.startswith(_MASK)
    }


def _shapes(mask: Mask) -> dict[str, tuple[int, ...]]:
    return {name: x.shape for name, x in mask.items()}


def _similarity(mask: Mask, other: Mask) -> float:
    equal = sum(int(np.count_nonzero(x == other[name])) for name, x in mask.items())
    return equal / _size(mask)


def _size(mask: Mask) -> int:
    return sum(x.size for x in mask.values())


def _numbers(mask: Mask) -> dict:
    zeros = {name: int(np.count_nonzero(x == 0)) for name, x in mask.items()}
    packed = _packed(mask)
    return {
        "zeros": sum(zeros.values()) / _size(mask),
        "zeros_per_layer": {name: zeros[name] / x.size for name, x in mask.items()},
        "entropy": _entropy(mask),
        "bytes": {
            "packed": len(packed),
            "zstd": _zstd(packed),
            "lzma": len(lzma.compress(packed, preset=9)),
        },
        "low_rank": _low_rank(mask),
    }


def _difference(mask: Mask, other: Mask) -> dict:
    xor = {name: x ^ other[name] for name, x in mask.items()}
    return {"entropy": _entropy(xor), "zstd": _zstd(_packed(xor))}


def _entropy(mask: Mask) -> float:
    """Bits per weight: each layer's entropy of the shares of its values, by its weights."""
    bits = 0.0
    for x in mask.values():
        counts = np.bincount(x.reshape(-1), minlength=1)
        shares = counts[counts > 0] / x.size
        bits -= float(np.sum(shares * np.log2(shares))) * x.size
    return abs(bits) / _size(mask)  # no -0


def _packed(mask: Mask) -> bytes:
    """A bit per weight that counts, layer by layer; a second one each if some are negated."""
    planes = (1, 2) if any(x.max(initial=0) > 1 for x in mask.values()) else (1,)
    return b"".join(np.packbits(x & bit > 0).tobytes() for x in mask.values() for bit in planes)


def _zstd(content: bytes) -> int:
    return len(zstandard.ZstdCompressor(level=19).compress(content))


def _low_rank(mask: Mask) -> dict:
    """How much of the masks few singular vectors hold.

    Each layer's mask, less its mean, is a matrix of a column per output. `energy` is the share of
    all squared singular values, over all layers, that the largest eighth of each layer's has;
    `random` the same for the same values in random places. Both are None where every layer is
    constant. `weights` is the share of weights in such matrices: vectors are left out.
    """
    matrices = [x.reshape(-1, x.shape[-1]) for x in mask.values() if x.ndim > 1 and x.size]
    rng = np.random.default_rng(0)
    return {
        "energy": _top_share(matrices),
        "random": _top_share([rng.permuted(x.reshape(-1)).reshape(x.shape) for x in matrices]),
        "weights": sum(x.size for x in matrices) / _size(mask),
    }


def _top_share(matrices: list[np.ndarray]) -> float | None:
    top = total = 0.0
    for x in matrices:
        values = np.float32([0, 1, 0, -1])[x]
        values -= np.float32(values.mean(dtype=np.float64))
        # The squared singular values are the eigenvalues of the smaller product with itself.
        product = values.T @ values if len(x) > x.shape[1] else values @ values.T
        energies = np.linalg.eigvalsh(product.astype(np.float64))  # rising
        top += float(energies[-math.ceil(len(energies) / 8) :].sum())
        total += float(energies.sum())
    return top / total if total > 0 else None
