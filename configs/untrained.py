"""Combinations that were never trained: which idea makes the sum of two task vectors work?

    python -m taskfusion_jax.compare --config=configs/untrained.py:small --workdir=runs/untrained

The hope of paper 000: train single tasks, then ask for [1, 1, 1]. One triple is left out of all
training, two pairs out of some. `m1` trains single tasks only; `pairs` trains six other pairs with
synthetic targets; `chain` lets tasks act one after another inside the network
(`methods/film_chain.py`); `chain_pairs` does both; `m4` makes the network's output for two tasks
equal its output for one after the other, without any target, on the two pairs too, and `m4_pairs`
only on the six others; `m3` trains all eight pairs with synthetic targets: what is to be reached.
"""

from configs import common, compared, takeda

PAIRS = (
    "completion+restoration",
    "completion+segmentation",
    "completion+style_1",
    "restoration+style_1",
    "restoration+style_2",
    "segmentation+style_2",
)
LEFT_OUT = ("restoration+segmentation", "segmentation+style_1")
TRIPLE = "restoration+segmentation+style_1"
RUNS = {
    "m1": ("film", "M1", ()),
    "pairs": ("film", "M3", PAIRS),
    "chain": ("film_chain", "M1", ()),
    "chain_pairs": ("film_chain", "M3", PAIRS),
    "m4": ("film", "M4", PAIRS + LEFT_OUT),
    "m4_pairs": ("film", "M4", PAIRS),
    "m3": ("film", "M3", PAIRS + LEFT_OUT),
}


def get_config(arg: str = ""):
    """arg, joined by commas: a run's name for its config alone; `small`; `tiny`."""
    options = common.parse(arg, (*RUNS, "small", "tiny"))
    base = takeda.base(options)
    base.name = "untrained"
    for name in (*PAIRS, *LEFT_OUT, TRIPLE):
        by = "mask" if "segmentation" in name else "sequential"
        base.combined[name] = {"by": by, "loss": {"l2": 30.0}}
    halved = {k: max(1, base.stages.single.rows[k] // 2) for k in common.SINGLE}
    base.stages.combined.rows = halved | dict.fromkeys((*PAIRS, *LEFT_OUT), 0)
    runs = {name: _changes(*options) for name, options in RUNS.items()}
    return compared.comparison(base, runs, {"Untrained combinations": tuple(RUNS)}, options)


def _changes(method: str, combine: str, trained: tuple[str, ...]) -> dict:
    rows = {name: int(name in trained) for name in (*PAIRS, *LEFT_OUT)}
    return {"method": method, "stages": {"combined": {"combine": combine, "rows": rows}}}
