"""Half a percent per task: a small vision transformer that stands still learns three more tasks.

    python -m examples.half_a_percent

A ViT is trained once on the handwritten digits 0 to 3. Then it learns to tell 4, 5 and 6 apart,
after that 7, 8 and 9, and four kinds of shapes: by a new output layer alone, by low-rank changes
(LoRA, rank 1, about half a percent of the network for each task), and by training all its weights.
The table says what each adds, learns and keeps: mean accuracy over the three tasks was 0.59, 0.64
and 0.74 as learnt, and 0.59, 0.64 and 0.30 at the end (seed 0). That took 19 minutes on two CPU
cores that much other work shared, and six minutes of CPU time. Running it again skips what is done;
`--quick` takes one step per task.
"""

from pathlib import Path

import numpy as np
from absl import flags

import taskfusion_jax
from configs import common, compared, vit_continual
from examples.pictures import contact_sheet
from taskfusion_jax import cli, compare
from taskfusion_jax.counts import count
from taskfusion_jax.data.sources import build_source
from taskfusion_jax.engine.files import read_json

WORKDIR = cli.define_workdir()
QUICK = flags.DEFINE_bool("quick", False, "One step on tiny images.")
RUNS = ("head", "lora", "finetune")
DIGITS = {"source": "digits", "flip": False}
TASKS = {
    vit_continual.PRETRAIN: {**DIGITS, "keep": (0, 1, 2, 3)},
    "digits_1": {**DIGITS, "keep": (4, 5, 6)},
    "digits_2": {**DIGITS, "keep": (7, 8, 9)},
    "shapes": {"source": "shapes", "keep": (0, 1, 2, 3)},
}


def config():
    """vit_continual.py with three of its ways, on digits and in fewer steps."""
    base = vit_continual.base("embedded", small=True)
    base.name, base.parts.lora.rank, base.evaluate.class_incremental = "half_a_percent", 1, False
    loss, base.tasks, base.data_of, base.stages = {"label_cross_entropy": 1.0}, {}, {}, {}
    for slot, (name, data) in enumerate(TASKS.items(), 1):
        base.tasks[name] = {"kind": "classification", "slot": slot, "loss": loss}
        base.tasks[name].labels = len(data["keep"])
        base.data_of[name] = common.following(base.data)
        base.data_of[name].update(data)
        steps, rate = (300, 1e-3) if name == vit_continual.PRETRAIN else (150, 1e-2)
        steps = 1 if QUICK.value else steps
        base.stages[name] = common.stage(steps, {name: 32}, "M1", rate, schedule="cosine")
    base.schedule, base.slots = tuple(TASKS)[1:], len(TASKS) + 1
    if QUICK.value:
        base.vit.variant, base.evaluate.images = "micro/16", 8
    runs = {vit_continual.PRETRAIN: vit_continual.pretrain(base)}
    runs |= {name: vit_continual.run(base, name) for name in RUNS}
    made = compared.comparison(base, runs, {"Three ways": RUNS}, set())
    made.once, made.shown = (vit_continual.PRETRAIN,), ("accuracy", "average_accuracy")
    return made


def main() -> int:
    """Trains all, prints a table, draws what two of them say at the end."""
    workdir = Path(WORKDIR.value or "runs/examples/half_a_percent")
    if code := compare.run(config(), workdir, None):
        return code
    print(f"{'':10}{'% a task adds':>14}{'as learnt':>11}{'at the end':>12}")
    rows, labels = {}, []
    for name in RUNS:
        model = taskfusion_jax.load(workdir / "runs" / f"{name}_seed0")
        results = read_json(model.workdir / "results.json")
        tasks = list(model.config.schedule)
        learnt = np.mean([results["matrix"][task][f"{task}/accuracy"] for task in tasks])
        end = np.mean([results["metrics"][f"{task}/accuracy"] for task in tasks])
        added = max(count(model.config)["percent_per_task"].values())
        print(f"{name:10}{added:14.2f}{learnt:11.3f}{end:12.3f}")
        rows[name], labels = _told(model, tasks[0])
    contact_sheet(workdir / "told.png", "The first task at the end", labels, rows)
    print(f"All tables and figures: {workdir / 'report.html'}")
    return 0


def _told(model, task: str) -> tuple[list[np.ndarray], list[str]]:
    """Seven test images of a task with a green frame where the model tells the class, else red."""
    source = build_source(model.config.data_of[task], "test", seed=0)
    items = [source[i] for i in np.linspace(0, len(source) - 1, 7).astype(int)]
    frames = []
    for item in items:
        right = int(np.argmax(model(item["image"], **{task: 1}))) == item["label"]
        colour = np.array((0, 150, 60) if right else (200, 30, 30), np.uint8)
        frame = np.tile(colour, (*np.add(item["image"].shape[:2], 6), 1))
        frame[3:-3, 3:-3] = item["image"]
        frames.append(frame)
    return frames, [source.labels[item["label"]] for item in items]


if __name__ == "__main__":
    cli.run(main)
