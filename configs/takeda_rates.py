"""Is each method of takeda.py given its best learning rate? Others, for the parts that tell tasks.

    python -m taskfusion_jax.compare --config=configs/takeda_rates.py:small --workdir=runs/rates

In the small setting FiLM's generators learn 8 times as fast as the rest (quickstart.py). Here they
do not, SGN's dense layers do, and Piggyback's masks learn more slowly.
"""

from configs import common, compared, takeda

_TOLD = ".*_attention/(task|squeeze|excite)/.*"
RUNS = {
    "film_x1": ("film", (".*generator/.*", 1.0)),
    "sgn_x8": ("sgn", (_TOLD, 8.0)),
    "sgn_x03": ("sgn", (_TOLD, 0.3)),
    "piggyback1_x01": ("piggyback1", (".*/mask/.*", 0.1)),
}


def get_config(arg: str = ""):
    """arg, joined by commas: a run's name for its config alone; `small`; `tiny`."""
    options = common.parse(arg, (*RUNS, "small", "tiny"))
    base = takeda.base(options)
    base.name = "takeda_rates"
    runs = {}
    for name, (method, rule) in RUNS.items():
        rules = (rule, *base.optimiser.lr_rules)  # the first match counts
        runs[name] = takeda.RUNS[method](base) | {"optimiser": {"lr_rules": rules}}
    if chosen := options & set(RUNS):
        return compared.alone(base, runs, chosen)
    return compared.comparison(base, runs, {"Learning rates": tuple(RUNS)}, {})
