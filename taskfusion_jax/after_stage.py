"""What is measured when a stage ends, and kept in the run's folder."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from taskfusion_jax.engine import distributed
from taskfusion_jax.engine.provenance import provenance
from taskfusion_jax.engine.state import State
from taskfusion_jax.errors import UserError
from taskfusion_jax.evaluator import Evaluator
from taskfusion_jax.inference.restored import restore_run
from taskfusion_jax.report.render import show_results, write_results
from taskfusion_jax.stages import Stage
from taskfusion_jax.workdir import Workdir


def evaluate_stage(
    evaluator: Evaluator,
    state: State,
    stage: Stage,
    folder: Workdir,
    console: Console,
    seconds: float,
    check_stop: Callable[[], None],
) -> None:
    """Measures the network as it is after (or within) a stage, and keeps that in the folder.

    Args:
      evaluator: of the run's experiment.
      state: the run's state.
      stage: where the state is.
      folder: the run's folder.
      console: shows which task is at hand.
      seconds: training time so far, for the record.
      check_stop: called between tasks; may raise to stop.
    """
    experiment = evaluator.experiment
    tasks = evaluator.learnt(stage)
    with console.status("evaluating") as status:

        def progress(name):
            check_stop()
            count = len(evaluator.of_task[name])
            status.update(f"evaluating {name} ({len(tasks)} tasks, {count} images each)")

        params = experiment.eval_params(state)
        metrics, pictures, sweeps = evaluator(params, stage.options.combine, progress, tasks)
        learnt = evaluator.learnt(stage, only=True)
        prompts = evaluator.class_incremental.prompts(params, learnt)
        if evaluator.options.class_incremental:
            status.update("evaluating all classes at once")
            later = experiment.stages[1 : stage.index + 1]
            base_moved = any(experiment.moves(s, "net/base/") for s in later)
            metrics |= evaluator.class_incremental(params, learnt, base_moved)
    values = {
        "metrics": metrics,
        "sweeps": sweeps,
        "step": int(state.step),
        "seconds": round(seconds, 1),
        "data": evaluator.data,
        "data_of": evaluator.data_of,
        "labels": evaluator.labels,
        "prompts": prompts,
        "frechet": evaluator.features.name if evaluator.features else "",
        **provenance(),
    }
    if distributed.is_main():
        folder.save_evaluation(stage.name, values, pictures)


def evaluate_again(workdir: Path, images: int | None, console: Console) -> None:
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
