"""Other ways to learn a mask: ternary, or from a similar task's mask.

    python -m taskfusion_jax.compare --config=configs/matsumoto_masks.py:small \
        --workdir=runs/masks

One segmentation as the base, then two styles. In `warm` the second style's mask begins as the
first one's, so that what is stored of it may be the difference. (Scaled gradients,
`config.piggyback.gradient`, change next to nothing under Adam, which scales them again.) Data and
flags as in matsumoto.py.
"""

from configs import common, compared, matsumoto

ORDER = ("segmentation_1", "style_1", "style_2")
RUNS = ("plain", "ternary", "warm")


def get_config(arg: str = ""):
    """arg, joined by commas: a run's name for its config alone; small; tiny."""
    options = common.parse(arg, (*RUNS, "small", "tiny"))
    base = matsumoto.base(options)
    base.name = "matsumoto_masks"
    runs = {name: matsumoto.run(base, "piggyback", ORDER) for name in RUNS}
    runs["ternary"]["piggyback"]["ternary"] = True
    first, second = (base.tasks[name].slot for name in ORDER[1:])
    copy = (f"net/task_{first}/mask", f"net/task_{second}/mask")
    runs["warm"]["stages"]["style_2"]["copy"] = (copy,)
    made = compared.comparison(base, runs, {"Ways to learn a mask": RUNS}, options)
    return matsumoto.with_measures(made)
