"""Paper 003's tasks in three orders: does it matter which task comes first?

    python -m taskfusion_jax.compare --config=configs/matsumoto_orders.py:small \
        --workdir=runs/orders

`piggyback` learns masks on the network of the first task, so only that one matters to the others;
`finetune` goes on from the task before. Data and flags as in matsumoto.py.
"""

from configs import common, compared, matsumoto

ORDERS = {
    "paper": matsumoto.TASKS,
    "style_first": ("style_1", "style_2", "colourisation", "segmentation_2", "segmentation_1"),
    "colour_first": ("colourisation", "segmentation_2", "style_1", "segmentation_1", "style_2"),
}
METHODS = ("piggyback", "finetune")


def get_config(arg: str = ""):
    """arg, joined by commas: a run's name for its config alone; small; tiny."""
    names = {m: tuple(f"{m}_{order}" for order in ORDERS) for m in METHODS}
    options = common.parse(arg, (*sum(names.values(), ()), "small", "tiny"))
    base = matsumoto.base(options)
    base.name = "matsumoto_orders"
    runs = {
        f"{method}_{name}": matsumoto.run(base, method, order)
        for method in METHODS
        for name, order in ORDERS.items()
    }
    for changes in runs.values():
        for stage in changes["stages"].values():
            stage["start"] = ""  # always from the task before
    tables = {"Masks on the first task's network": names["piggyback"]}
    tables["Fine-tuning"] = names["finetune"]
    made = compared.comparison(base, runs, tables, options)
    return matsumoto.with_measures(made)
