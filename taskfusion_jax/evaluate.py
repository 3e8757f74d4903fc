"""Evaluates a finished or running run again and rewrites its table, figures and report.

python -m taskfusion_jax.evaluate --workdir=runs/quickstart [--images=1000]
"""

from pathlib import Path

from absl import flags
from rich.console import Console

from taskfusion_jax import cli
from taskfusion_jax.after_stage import evaluate_stage
from taskfusion_jax.engine.progress import make_console
from taskfusion_jax.errors import UserError
from taskfusion_jax.evaluator import Evaluator
from taskfusion_jax.inference.restored import restore_run
from taskfusion_jax.report.render import show_results, write_results
from taskfusion_jax.workdir import Workdir

_WORKDIR = cli.define_workdir()
_IMAGES = flags.DEFINE_integer("images", None, "Test images per task; default: as in the config.")


def run(workdir: Path, images: int | None, console: Console) -> None:
    """Evaluates the newest checkpoint of a run, in place of its stage's last evaluation.

    Args:
      workdir: folder of the run.
      images: test images per task; None = as in its config.
      console: shows progress and the table.

    Raises:
      UserError: there is no run or no checkpoint, or its data is gone.
    """
    folder = Workdir(workdir)
    options = folder.config().evaluate
    streams = options.only_learnt or options.class_incremental
    if images is not None and streams and images != options.images:
        raise UserError(
            f"--images={images}: {workdir} was measured on {options.images} images "
            "after every stage, and numbers of others would not compare; leave it out"
        )
    changes = {} if images is None else {"images": images}
    experiment, folder, state, meta = restore_run(workdir, **changes)
    evaluator = Evaluator(experiment)
    (stage,) = (stage for stage in experiment.stages if stage.name == meta["stage"])
    evaluate_stage(evaluator, state, stage, folder, console, meta["seconds"], lambda: None)
    write_results(experiment, folder)
    show_results(folder, console)


def main() -> None:
    """Evaluates `--workdir`."""
    run(Path(cli.required(_WORKDIR)), _IMAGES.value, make_console())


if __name__ == "__main__":
    cli.run(main)
