"""Residual blocks of paper 003 that other tasks put masks on: which task should they come from?

    python -m taskfusion_jax.compare --config=configs/matsumoto_blocks.py:small \
        --workdir=runs/blocks

The paper puts masks on the blocks of colourisation to paint, and finds the pictures poor. Here the
blocks come from colourisation (`one`), from colourisation, restoration and completion together
(`three`, whose inputs tell them apart), from the other style (`style`), or are style_1's own
(`own`, without masks). Data and flags as in matsumoto.py.
"""

from configs import common, compared, matsumoto

RUNS = ("own", "one", "three", "style")
_BASES = {
    "one": ("colourisation",),
    "three": ("colourisation", "restoration", "completion"),
    "style": ("style_2",),
}


def get_config(arg: str = ""):
    """arg, joined by commas: a run's name for its config alone; small; tiny."""
    options = common.parse(arg, (*RUNS, "small", "tiny"))
    base = matsumoto.base(options)
    base.name = "matsumoto_blocks"
    runs = {"own": matsumoto.run(base, "resblock", ("style_1",))}
    for name, tasks in _BASES.items():
        runs[name] = _masked(base, tasks)
    made = compared.comparison(base, runs, {"Masks for style_1": RUNS}, options)
    return matsumoto.with_measures(made)


def _masked(base, tasks: tuple[str, ...]) -> dict:
    """An autoencoder, blocks of some tasks in equal shares, and style_1's masks on them."""
    changes = matsumoto.run(base, "resblock_piggyback", (tasks[0], "style_1"))
    repairs = common.get_config().tasks
    more = [name for name in tasks if name not in base.tasks]
    slots = {name: slot for slot, name in enumerate(more, base.slots)}
    changes["slots"] = base.slots + len(more)
    changes["tasks"] |= {name: {**repairs[name].to_dict(), "slot": slots[name]} for name in more}
    for name in more:
        changes["tasks"][name]["loss"] = {"l2": 30.0}
    changes["piggyback"]["base"] = tasks
    first = changes["stages"][tasks[0]]
    count = sum(first["rows"].values())
    first["rows"] = {
        name: count // len(tasks) + (i < count % len(tasks)) for i, name in enumerate(tasks)
    }
    return changes
