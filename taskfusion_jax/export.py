"""Writes what a run has learnt for others: PyTorch, or StableHLO for any JAX.

    python -m taskfusion_jax.export --workdir=runs/quickstart --format=torch --output=exported
    python exported/check.py

The folder holds a file for each network, the code that runs it, a model card (README.md) and a
check that compares it with JAX. A network that is told its task is one file; where each task has
parameters of its own (masks, blocks, heads), each is a file. `--task=style_1` writes one task
alone, with the task vector folded into its norms.
"""

from pathlib import Path

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


def main() -> None:
    """Exports `--workdir`."""
    workdir, output = Path(cli.required(_WORKDIR)), Path(cli.required(_OUTPUT))
    from taskfusion_jax.engine.progress import make_console
    from taskfusion_jax.errors import UserError
    from taskfusion_jax.exporting.run import export, gain

    if output.exists() and not output.is_dir():
        raise UserError(f"--output={output} is a file: give a folder")
    if output.is_dir() and any(output.iterdir()) and not _OVERWRITE.value:
        raise UserError(f"--output={output} is not empty: give another, or --overwrite")
    made = export(workdir, _FORMAT.value, output, _TASK.value, _SIZE.value, _LICENCE.value)
    console = make_console()
    names = ", ".join(network.name for network in made)
    console.print(f"{output}: {names}; README.md says how to use it, check.py compares it with JAX")
    if _TASK.value and (saved := gain(workdir, _TASK.value)):
        console.print(saved)


if __name__ == "__main__":
    cli.run(main)
