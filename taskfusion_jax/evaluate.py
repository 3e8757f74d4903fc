"""Evaluates a finished or running run again and rewrites its table, figures and report.

python -m taskfusion_jax.evaluate --workdir=runs/quickstart [--images=1000]
"""

from pathlib import Path

from absl import flags
from rich.console import Console

from taskfusion_jax import cli
from taskfusion_jax.after_stage import evaluate_stage
from taskfusion_jax.engine.checkpoint import Checkpoints
from taskfusion_jax.engine.progress import make_console
from taskfusion_jax.errors import UserError
from taskfusion_jax.evaluator import Evaluator
from taskfusion_jax.experiment import Experiment
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
    config = folder.config()
    if images is not None:
        if config.evaluate.only_learnt and images != config.evaluate.images:
            raise UserError(
                f"--images={images}: {workdir} was measured on {config.evaluate.images} images "
                "after every stage, and numbers of others would not compare; leave it out"
            )
        config.evaluate.images = images
    # The run's mesh may be of more devices than there are here.
    config.mesh.update({"data": -1, "fsdp": 1, "model": 1})
    experiment = Experiment(config)
    by_name = {stage.name: stage for stage in experiment.stages}
    checkpoints = Checkpoints(folder.path, config.checkpoint.keep, read_only=True)
    restored = checkpoints.restore(lambda meta: experiment.abstract_state(by_name[meta["stage"]]))
    checkpoints.close()
    if restored is None:
        raise UserError(f"{workdir}: no checkpoint yet; let it train until the first save")
    state, _, meta = restored
    evaluator = Evaluator(experiment)
    stage, nothing = by_name[meta["stage"]], lambda: None
    evaluate_stage(evaluator, state, stage, folder, console, meta["seconds"], nothing)
    write_results(experiment, folder)
    show_results(folder, console)


def main() -> None:
    """Evaluates `--workdir`."""
    run(Path(cli.required(_WORKDIR)), _IMAGES.value, make_console())


if __name__ == "__main__":
    cli.run(main)
