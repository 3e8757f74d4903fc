"""Is each method of takeda.py given its best learning rate? Others, for the parts that tell tasks.

    python -m taskfusion_jax.compare --config=configs/takeda_rates.py:small --workdir=runs/rates

In the small setting, the only one this is about, FiLM's generators learn 8 times as fast as the
rest (quickstart.py). Here they do not; SGN's dense layers and the norms of single networks do;
Piggyback's masks learn 4 times as fast (4e-4 at their peak in the first stage).
"""

from configs import common, compared, takeda

_TOLD = ".*_attention/(task|squeeze|excite)/.*"
RUNS = {
    "film_x1": ("film", (".*generator/.*", 1.0)),
    "sgn_x8": ("sgn", (_TOLD, 8.0)),
    "single_x8": ("single", (".*_norm/.*", 8.0)),
    "piggyback1_x4": ("piggyback1", (".*/mask/.*", 0.2)),  # 4e-4 of 2e-3
}


def get_config(arg: str = ""):
    """arg, joined by commas: a run's name for its config alone; `small` (always so); `tiny`."""
    options = common.parse(arg, (*RUNS, "small", "tiny"))
    base = takeda.base(options | {"small"})
    base.name = "takeda_rates"
    runs = {}
    for name, (method, rule) in RUNS.items():
        rules = (rule, *base.optimiser.lr_rules)  # the first match counts
        changes = takeda.RUNS[method](base)
        runs[name] = changes | {"optimiser": {"lr_rules": rules}}
    return compared.comparison(base, runs, {"Learning rates": tuple(RUNS)}, options)
