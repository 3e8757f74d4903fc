"""Three tasks in one network: alone, together, and at half strength.

    python -m examples.fuse_three_tasks

One network learns to mend images, to cut objects out and to paint, first each alone, then two at
once. Then it is asked for what it never learnt: all three at once, and a style at strengths between
0 and 1. One sees rough cut-outs, noise that is half gone, and that all three at once come out weak:
seed 0 came to 19.2 dB in restoration (untouched 16.2) and IoU 0.76 in segmentation (0.32). That
took 20 minutes on two CPU cores that much other work shared, and seven minutes of CPU time. Running
it again draws the pictures again; `--quick` takes one step, to try that it runs.
"""

from pathlib import Path

import numpy as np
from absl import flags

import taskfusion_jax
from configs import quickstart
from examples.pictures import contact_sheet
from taskfusion_jax import cli, train
from taskfusion_jax.data.scenes import Scenes
from taskfusion_jax.engine.files import read_json

WORKDIR = cli.define_workdir()
QUICK = flags.DEFINE_bool("quick", False, "One step on tiny images.")
LEFT_OUT = {"completion", "style_2"}
ASKED = {
    "damaged": {},
    "restoration": {"restoration": 1},
    "segmentation": {"segmentation": 1},
    "style_1": {"style_1": 1},
    "mend, cut out": {"restoration": 1, "segmentation": 1},
    "mend, paint": {"restoration": 1, "style_1": 1},
    "all three": {"restoration": 1, "segmentation": 1, "style_1": 1},
}


def config():
    """The quickstart without two of its tasks, in a quarter of its steps."""
    made = quickstart.get_config("tiny" if QUICK.value else "")
    made.name = "fuse_three_tasks"
    for stage in made.stages.values():
        stage.rows = {name: n for name, n in stage.rows.items() if name not in LEFT_OUT}
        stage.steps = max(1, stage.steps // 4)
    for name in LEFT_OUT:
        del made.tasks[name]
    return made


def main() -> int:
    """Trains, prints a table, draws two pictures."""
    workdir = Path(WORKDIR.value or "runs/examples/fuse_three_tasks")
    if code := train.run(config(), workdir):
        return code
    metrics = read_json(workdir / "results.json")["metrics"]
    print(f"{'':28}{'network':>10}{'untouched':>11}")
    for key in ("restoration/psnr", "segmentation/iou", "restoration+segmentation/M3/iou"):
        print(f"{key:32}{metrics[key]:6.2f}{metrics[f'{key}_identity']:11.2f}")

    model = taskfusion_jax.load(workdir)
    rng, scenes = np.random.default_rng(0), Scenes("test", 64, 100, seed=0, max_objects=3)
    damaged = [model.tasks["restoration"].corrupt(rng, scenes[i]["image"]) for i in (3, 8, 21, 34)]
    rows = {
        f"scene {i}": [model(x, **asked) if asked else x for asked in ASKED.values()]
        for i, x in enumerate(damaged, 1)
    }
    contact_sheet(workdir / "fused.png", "Three tasks, one network", list(ASKED), rows)
    strengths = np.linspace(0, 1, 7)
    strips = {
        name: [model(damaged[1], **{name: float(strength)}) for strength in strengths]
        for name in ("restoration", "segmentation", "style_1")
    }
    labels = [f"{strength:.2f}" for strength in strengths]
    contact_sheet(workdir / "strengths.png", "Strengths from 0 to 1", labels, strips)
    return 0


if __name__ == "__main__":
    cli.run(main)
