"""Writes a run's networks in one of the formats, with their card and their check."""

import time
from pathlib import Path

import numpy as np

from taskfusion_jax.engine.compile import jit
from taskfusion_jax.engine.files import write_text
from taskfusion_jax.exporting.card import model_card, tasks_json
from taskfusion_jax.exporting.network import Network, networks
from taskfusion_jax.exporting.stablehlo_files import write_stablehlo
from taskfusion_jax.exporting.torch_files import write_torch
from taskfusion_jax.inference.model import load

_USE = {
    "torch": (
        'import model\n\nnet = model.load("{name}.safetensors")\ny = net(x{c})  # x: [B, 3, H, W]'
    ),
    "stablehlo": (
        "from pathlib import Path\nfrom jax import export\n\n"
        'net = export.deserialize(bytearray(Path("{name}.stablehlo").read_bytes()))\n'
        "y = net.call(x{c})  # x: [B, {side}, {side}, 3]"
    ),
}
_NOTE = {
    "torch": "`model.py` needs PyTorch and safetensors, and nothing of taskfusion_jax.",
    "stablehlo": "Any number of images of that size; cpu, cuda and tpu; needs jax and flatbuffers.",
}


def export(
    workdir: Path, form: str, output: Path, task: str = "", size: int = 0, licence: str = ""
) -> list[Network]:
    """Writes the networks of a run's newest checkpoint; returns them.

    Args:
      workdir: folder of the run.
      form: one of `FORMATS`.
      output: a folder, made if absent.
      task: one task alone; "" = all.
      size: side of the images, for stablehlo; 0 = as in training.
      licence: of the training data, for the card.

    Raises:
      UserError: no run, no such task, or a method that cannot be exported.
    """
    model = load(workdir)
    made = networks(model, task)
    size = size or model.config.data.size
    output.mkdir(parents=True, exist_ok=True)
    if form == "torch":
        write_torch(made, output, tasks_json(model, made))
    else:
        write_stablehlo(made, output, size)
    c = ", c" if made[0].slots else ""
    use = _USE[form].format(name=made[0].name, c=c, side=size)
    card = model_card(model, made, use, "python check.py", licence, _NOTE[form])
    write_text(output / "README.md", card)
    return made


def gain(workdir: Path, task: str) -> str:
    """What folding a task in saves, parameters and the time of a pass of eight images; "" where
    each task has parameters of its own anyway."""
    model = load(workdir)
    if not model.method.told:
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
