"""Evaluates a finished or running run again and rewrites its table, figures and report.

python -m taskfusion_jax.evaluate --workdir=runs/quickstart [--images=1000]
"""

from pathlib import Path

from absl import flags

from taskfusion_jax import cli

_WORKDIR = cli.define_workdir()
_IMAGES = flags.DEFINE_integer("images", None, "Test images per task; default: as in the config.")


def main() -> None:
    """Evaluates `--workdir`."""
    workdir = Path(cli.required(_WORKDIR))
    # Slow to import, so --help and bad flags answer at once.
    from taskfusion_jax.after_stage import evaluate_again
    from taskfusion_jax.engine.progress import make_console

    evaluate_again(workdir, _IMAGES.value, make_console())


if __name__ == "__main__":
    cli.run(main)
