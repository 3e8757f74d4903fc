"""Writes what a run has learnt for others: PyTorch, or StableHLO for any JAX.

    python -m taskfusion_jax.export --workdir=runs/quickstart --format=torch --output=exported
    python exported/check.py

The folder holds a file for each network, the code that runs it, a model card (README.md) and a
check that compares it with JAX. A network that is told its task is one file; where each task has
parameters of its own (masks, blocks, heads), each is a file. `--task=style_1` writes one task
alone, with the task vector folded into its norms.
"""

import time
from pathlib import Path

import numpy as np
from absl import flags

from taskfusion_jax import cli

FORMATS = ("torch", "stablehlo")

_WORKDIR = cli.define_workdir()
_FORMAT = flags.DEFINE_enum("format", "torch", FORMATS, "For PyTorch, or for JAX alone.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write; made if absent, else empty.")
_TASK = flags.DEFINE_string("task", "", "This task alone, with its vector folded in.")
_SIZE = flags.DEFINE_integer("size", 0, "stablehlo: side of the images; default: as in training.")
_LICENCE = flags.DEFINE_string("data_licence", "", "Licence of the training data, for the card.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Write into a folder that is not empty.")

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


def opened(workdir: Path):
    """The run's model. Raises UserError as `taskfusion_jax.load` does."""
    from taskfusion_jax.inference.model import load  # slow to import, so --help answers at once

    return load(workdir)


def export(
    workdir: Path, form: str, output: Path, task: str = "", size: int = 0, licence: str = ""
) -> list:
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
    from taskfusion_jax.engine.files import write_text
    from taskfusion_jax.exporting.card import model_card, tasks_json
    from taskfusion_jax.exporting.network import networks
    from taskfusion_jax.exporting.stablehlo_files import write_stablehlo
    from taskfusion_jax.exporting.torch_files import write_torch

    model = opened(workdir)
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
    """What folding a task in saves: parameters, and time of a pass of eight images."""
    from taskfusion_jax.engine.compile import jit
    from taskfusion_jax.exporting.network import networks

    model = opened(workdir)
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


def main() -> None:
    """Exports `--workdir`."""
    workdir, output = Path(cli.required(_WORKDIR)), Path(cli.required(_OUTPUT))
    from taskfusion_jax.engine.progress import make_console
    from taskfusion_jax.errors import UserError

    if output.exists() and not output.is_dir():
        raise UserError(f"--output={output} is a file: give a folder")
    if output.is_dir() and any(output.iterdir()) and not _OVERWRITE.value:
        raise UserError(f"--output={output} is not empty: give another, or --overwrite")
    made = export(workdir, _FORMAT.value, output, _TASK.value, _SIZE.value, _LICENCE.value)
    console = make_console()
    names = ", ".join(network.name for network in made)
    console.print(f"{output}: {names}; README.md says how to use it, check.py compares it with JAX")
    if _TASK.value:
        console.print(gain(workdir, _TASK.value))


if __name__ == "__main__":
    cli.run(main)
