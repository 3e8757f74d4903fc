"""Five tasks one after another: fine-tuning forgets, masks on a frozen network do not.

    python -m examples.five_tasks_in_a_row

Two U-Nets learn to colour gray photographs, to paint in two styles and to find things of thirty
kinds, one after another. One goes on training all its weights; of the other only the first task
moves them, and each later task learns which of them to leave out: one bit per weight. After every
task the first one is measured again: seed 0 came to 17.1 dB with both (in so few steps colours stay
faint: the gray photograph has 17.1 dB too), and at the end 6.0 dB were left of it by training on
and 17.1 dB, to the last bit, by masks. That took seven minutes on two CPU cores, beside tests.
Running it again skips what is done; `--quick` takes one step per task.
"""

from pathlib import Path

import numpy as np
from absl import flags

from configs import compared, matsumoto
from examples.pictures import contact_sheet
from taskfusion_jax import cli, compare
from taskfusion_jax.engine.files import read_json

WORKDIR = cli.define_workdir()
QUICK = flags.DEFINE_bool("quick", False, "One step on tiny images.")
RUNS = ("finetune", "piggyback")
ORDER = ("colourisation", "style_1", "style_2", "segmentation_1", "segmentation_2")
FIRST, SECOND, *_ = ORDER


def config():
    """matsumoto.py with two of its methods."""
    base = matsumoto.base({"tiny" if QUICK.value else "small"})
    base.name = "five_tasks"
    runs = {name: matsumoto.run(base, name, ORDER) for name in RUNS}
    return matsumoto.with_measures(compared.comparison(base, runs, {"Five tasks": RUNS}, set()))


def main() -> int:
    """Trains both, prints a table, draws a picture."""
    workdir = Path(WORKDIR.value or "runs/examples/five_tasks_in_a_row")
    if code := compare.run(config(), workdir, None):
        return code
    print(f"PSNR of {FIRST} after each task, dB")
    print(" " * 12 + "".join(f"{name:>16}" for name in ORDER))
    rows = {}
    for name in RUNS:
        run = workdir / "runs" / f"{name}_seed0"
        matrix = read_json(run / "results.json")["matrix"]
        scores = [matrix[stage][f"{FIRST}/psnr"] for stage in ORDER]
        print(f"{name:12}" + "".join(f"{score:16.2f}" for score in scores))
        for task in (FIRST, SECOND):
            begun = ORDER.index(task)
            shown = [_pictures(run, stage)[task] for stage in ORDER[begun:]]
            blank = [np.ones(shown[0].shape)] * begun
            rows[f"{name}+{task}"] = [*blank, *shown]
    title = "What is left of a task after each task"
    contact_sheet(workdir / "forgetting.png", title, ORDER, rows)
    print(f"All tables: {workdir / 'report.html'}")
    return 0


def _pictures(run: Path, stage: str) -> dict[str, np.ndarray]:
    """Task -> the network's output for one test image after the stage."""
    with np.load(run / "evaluations" / f"{stage}.npz") as arrays:
        outputs = {name.partition("/")[0]: name for name in arrays if name.endswith("/output")}
        return {task: arrays[name][1] for task, name in outputs.items()}


if __name__ == "__main__":
    cli.run(main)
