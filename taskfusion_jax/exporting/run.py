"""Writes a run's networks in one of the formats, with their card and their check."""

import time
from pathlib import Path

import numpy as np

from taskfusion_jax.engine.compile import jit
from taskfusion_jax.engine.files import write_text
from taskfusion_jax.errors import UserError, did_you_mean
from taskfusion_jax.exporting.card import model_card
from taskfusion_jax.exporting.form import Format
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
    model: Model, form: str, output: Path, task: str = "", side: int = 0, licence: str = ""
) -> list[Network]:
    """Writes the networks of a run; returns them.

    Args:
      model: the run.
      form: a key of `FORMATS`.
      output: a folder, made if absent.
      task: one task alone; "" = all.
      side: of the images, for a format that wants one, and of the examples; 0 = as it likes.
      licence: of the training data, for the card.

    Raises:
      UserError: no such format or task, a method that cannot be exported, or a package that the
        format needs is missing.
    """
    made, written = networks(model, task), format_of(form)
    output.mkdir(parents=True, exist_ok=True)
    written.write(model, made, output, side)
    words = {"name": made[0].name, "side": side or model.config.data.size}
    words |= {"c": ", c", "pair": ', "c": c'} if made[0].slots else {"c": "", "pair": ""}
    card = model_card(model, made, written.use.format(**words), licence, written.note)
    write_text(output / "README.md", card)
    return made


def format_of(name: str) -> Format:
    """One of `FORMATS`. Raises UserError for another."""
    if name not in FORMATS:
        raise UserError(f"--format: no '{name}'{did_you_mean(name, FORMATS)}")
    return FORMATS[name]


def gain(model: Model, task: str) -> str:
    """What folding a task in saves, parameters and the time of a pass of eight images; "" where
    each task has parameters of its own anyway."""
    if not model.method.one_network:
        return ""
    lines = []
    for network in (*networks(model)[:1], *networks(model, task)):
        x, c = network.example(8, model.config.data.size)
        run, params = jit(network.run_flat), dict(network.params)
        seconds = [_seconds(run, params, x, c) for _ in range(6)]
        count = sum(x.size for x in params.values())
        lines.append((count, 8 / min(seconds[1:])))
    (before, slow), (after, fast) = lines
    return (
        f"{task} alone: {after:,} parameters in place of {before:,}, "
        f"{fast:.0f} images/s in place of {slow:.0f} (JAX, batches of 8)"
    )


def _seconds(run, *inputs) -> float:
    began = time.perf_counter()
    np.asarray(run(*inputs))
    return time.perf_counter() - began
