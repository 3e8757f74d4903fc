"""A task that comes later: the shared network stands still, only the task's own row is trained.

    python -m taskfusion_jax.compare --config=configs/added_task.py:small --workdir=runs/added

`joint` trains all six tasks together; `row` trains five, then the sixth with everything frozen but
the generators' matrices, of which only its own row gets a gradient, so that the old tasks stay as
they are, bit for bit; `row_out` also trains what the task changes of the output layer; `mask`
trains a mask on the convolutions and no row, `mask_row` both; `finetune` lets the whole network
move instead, which forgets the old tasks.
"""

import math

from configs import common, compared, takeda

RUNS = ("joint", "row", "row_out", "mask", "mask_row", "finetune")
ROW = r"net/.*(generator|gate)/kernel|critic/.*"


def get_config(arg: str = ""):
    """arg, joined by commas: the task that comes later (style_2 without it); a run; small; tiny."""
    options = common.parse(arg, (*RUNS, *common.SINGLE[1:], "small", "tiny"))
    base = takeda.base(options)
    base.name = "added_task"
    later = (options & set(common.SINGLE)) or {"style_2"}
    first, second = (
        {k: stage.rows[k] for k in common.SINGLE}
        for stage in (base.stages.single, base.stages.combined)
    )
    steps = [base.stages[name].steps for name in ("single", "combined")]
    # As many rows of the new task as `joint` has in both stages, at the first one's rate.
    new = {
        k: math.ceil((steps[0] * first[k] + steps[1] * n) / steps[1]) if k in later else 0
        for k, n in second.items()
    }
    without = {k: 0 if k in later else n for k, n in first.items()}
    base.stages.single.rows, base.stages.combined.rows = first, second
    base.stages.combined.combine = "M1"
    base.combined = {}
    base.evaluate.every_stage = True

    def later_alone(method, trainable, at_first=".*"):
        before = {"rows": without, "trainable": at_first}
        after = {"rows": new, "lr": base.stages.single.lr, "trainable": trainable}
        return {"method": method, "stages": {"single": before, "combined": after}}

    own = "|".join(f"net/task_{base.tasks[name].slot}/.*" for name in sorted(later))
    first = "net/base/.*|critic/.*"
    # Masks at four times Piggyback's rate, which was the better of two in takeda_rates.py.
    rate = (".*/mask/.*", 4e-4 / base.stages.single.lr)
    masks = {
        "piggyback": {"base": tuple(k for k in common.SINGLE if k not in later), "own": ""},
        "optimiser": {"lr_rules": (rate, *base.optimiser.lr_rules)},
    }
    runs = {
        "joint": {},
        "row": later_alone("film", ROW),
        "row_out": later_alone("film_out", f"{own}|{ROW}", first),
        "mask": masks | later_alone("film_piggyback", own, first),
        "mask_row": masks | later_alone("film_piggyback", f"{own}|{ROW}", first),
        "finetune": later_alone("film", ".*"),
    }
    return compared.comparison(base, runs, {"A task that comes later": RUNS}, options)
