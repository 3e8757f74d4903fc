"""Writes a run's networks in one of the formats, with their card and their check."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np

from taskfusion_jax.engine.compile import jit
from taskfusion_jax.engine.files import write_text
from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.exporting.card import model_card
from taskfusion_jax.exporting.folder import whole_folder
from taskfusion_jax.exporting.format import Format
from taskfusion_jax.exporting.network import Network, networks
from taskfusion_jax.exporting.onnx_files import ONNX
from taskfusion_jax.exporting.stablehlo_files import STABLEHLO
from taskfusion_jax.exporting.torch_files import TORCH
from taskfusion_jax.exporting.torch_shared import TORCH_SHARED
from taskfusion_jax.exporting.web_files import WEB
from taskfusion_jax.inference.model import Model

FORMATS = {
    "torch": TORCH,
    "torch_shared": TORCH_SHARED,
    "onnx": ONNX,
    "stablehlo": STABLEHLO,
    "web": WEB,
}


def export(
    model: Model,
    form: str,
    output: Path,
    task: str = "",
    side: int = 0,
    licence: str = "",
    overwrite: bool = False,
) -> list[Network]:
    """Writes the networks of a run, all files or none; returns them.

    Args:
      model: the run.
      form: a key of `FORMATS`.
      output: a folder, made if absent.
      task: one task alone; "" = all.
      side: of the images, for a format that wants one, and of the examples; 0 = as it likes.
      licence: of the training data, for the card.
      overwrite: whether a folder that is not empty is written into; an earlier export there goes.

    Raises:
      UserError: no such format or task, a method that cannot be exported, a package that the
        format needs is missing, or the folder is not empty or cannot be written.
    """
    written, made = format_of(form), networks(model, task)
    size = side or model.config.data.size
    words = {"name": made[0].name, "side": size}
    words |= {"c": ", c", "pair": ', "c": c'} if made[0].slots else {"c": "", "pair": ""}
    use, size = written.use.format(**words), size if written.one_size else made[0].size
    with whole_folder(output, overwrite) as folder:
        written.write(model, made, folder, side)
        card = model_card(model, made, use, size, licence, written.note)
        write_text(folder / "README.md", card)
    return made


def format_of(name: str) -> Format:
    """One of `FORMATS`. Raises UserError for another."""
    if name not in FORMATS:
        raise UserError(f"--format: no '{name}'{did_you_mean(name, FORMATS)}")
    return FORMATS[name]


def gain(model: Model, network: Network) -> str:
    """What a task's network saves beside the whole run: parameters, and the time of a pass of eight
    images with masks, blocks or norms put together in it."""
    x, c = network.example(8, model.config.data.size)
    vectors = np.tile(network.task.vector, (8, 1))
    apart = jit(lambda params, x: network.run_flat(params, x, c))
    whole = jit(lambda params, x: model.method.apply(params, x, vectors))
    runs = ((apart, dict(network.params)), (whole, model.params))
    after, before = (sum(p.size for p in jax.tree.leaves(params)) for _, params in runs)
    fast, slow = (8 / seconds for seconds in _seconds(runs, x))
    return (
        f"{network.task.name} alone: {after:,} parameters in place of {before:,}, "
        f"{fast:.0f} images/s in place of {slow:.0f} (JAX, batches of 8)"
    )


def _seconds(runs: Sequence[tuple[Callable, dict]], x: np.ndarray) -> list[float]:
    """Of the fastest pass of each, in turn, as other work may come and go."""
    found: list[list[float]] = [[] for _ in runs]
    for _ in range(21):  # the first ones compile
        for times, (run, params) in zip(found, runs, strict=True):
            began = time.perf_counter()
            np.asarray(run(params, x))
            times.append(time.perf_counter() - began)
    return [min(times[1:]) for times in found]
