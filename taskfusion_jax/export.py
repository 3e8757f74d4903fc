"""Writes what a run has learnt for others: PyTorch, ONNX, StableHLO for any JAX, or a web page.

    python -m taskfusion_jax.export --workdir=runs/quickstart --format=torch --output=exported
    python exported/check.py

    python -m taskfusion_jax.export --workdir=runs/quickstart --format=web --output=page
    python -m http.server --directory page --bind 127.0.0.1 8000

The folder holds a file for each network, what runs it, a model card (README.md) and a check that
compares it with JAX. A network that is told its task is one file; where each task has parameters
of its own (masks, blocks, heads), each is a file; `--format=torch_shared` then writes what tasks
share once, and masks at a bit per weight. `--task=style_1` writes one task alone, with the task
vector folded into its norms.
"""

from pathlib import Path

from absl import flags

from taskfusion_jax import cli

_WORKDIR = cli.define_workdir()
_FORMAT = flags.DEFINE_string("format", "torch", "torch, torch_shared, onnx, stablehlo, web.")
_OUTPUT = flags.DEFINE_string("output", None, "Folder to write; made if absent, else empty.")
_TASK = flags.DEFINE_string("task", "", "This task alone, with its vector folded in.")
_SIZE = flags.DEFINE_integer("size", 0, "Side of the images; default: any, or as in training.", 0)
_LICENCE = flags.DEFINE_string("data_licence", "", "Licence of the training data, for the card.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace an earlier export in this folder.")


def main() -> None:
    """Exports `--workdir`."""
    workdir, output = Path(cli.required(_WORKDIR)), Path(cli.required(_OUTPUT))
    from taskfusion_jax.engine.progress import make_console
    from taskfusion_jax.exporting.folder import check_free
    from taskfusion_jax.exporting.run import export, format_of, gain
    from taskfusion_jax.inference.model import load

    check_free(output, _OVERWRITE.value)  # before the seconds that a network takes
    format_of(_FORMAT.value)
    model = load(workdir)
    words = _TASK.value, _SIZE.value, _LICENCE.value, _OVERWRITE.value
    made = export(model, _FORMAT.value, output, *words)
    console = make_console()
    names = ", ".join(network.name for network in made)
    console.print(f"{output}: {names}; README.md says how to use it, check.py compares it with JAX")
    if _TASK.value:
        console.print(gain(model, made[0]))


if __name__ == "__main__":
    cli.run(main)
