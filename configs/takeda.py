"""The comparison of paper 004: eight methods on six tasks, three ways to learn combinations.

    python -m taskfusion_jax.compare --config=configs/takeda.py:small --workdir=runs/takeda

trains them on the embedded data on two CPU cores. In full (`takeda.py`, 478,000 steps each) it is
for accelerators and wants PASCAL VOC, see film_voc.py. Every run has two stages, single tasks
first, so that each task is seen as often in each run. Fields that all runs share are flags, such as
--config.base.data.source=voc_folder, --config.seeds="(0, 1, 2)"; stages and learning rates are set
here, as runs differ in them. One of the runs alone:

    python -m taskfusion_jax.main --config=configs/takeda.py:sgn,small --workdir=runs/sgn
    python -m taskfusion_jax.describe --config=configs/takeda.py:sgn
"""

from configs import common, compared, film_voc, quickstart

METHODS = ("film", "encin", "sgn", "sgn_bias", "single", "shared_enc", "piggyback1", "piggyback2")
WAYS = ("film_m1", "film_m2", "film")

# Table 2 of the paper. Its PSNR and FID are in units of their own; IoU and sizes compare.
_PUBLISHED = {
    "segmentation/iou": (0.5907, 0.5689, 0.4299, 0.4454, 0.5639, 0.5545, 0.4030, 0.6014),
    "restoration+segmentation/iou": (0.5755, 0.5752, 0.4700, 0.4625),
    "segmentation+style_1/iou": (0.5457, 0.5403, 0.5011, 0.4555),
    "parameters": (1698435, 1695747, 1765363, 1902243, 10075410, 9572370, 1688835, 1688835),
}


def get_config(arg: str = ""):
    """arg, joined by commas: a run's name for its config alone; `small`; `tiny`."""
    options = common.parse(arg, (*RUNS, "small", "tiny"))
    config = base(options)
    runs = {name: changes(config) for name, changes in RUNS.items()}
    published = {name: {} for name in METHODS}
    for key, values in _PUBLISHED.items():
        for name, value in zip(METHODS, values, strict=False):  # half of them cannot combine
            published[name][key] = value
    tables = {"Methods": METHODS, "Ways to learn combinations": WAYS}
    paper = {"Paper 004, table 2": published}
    return compared.comparison(config, runs, tables, options, paper)


def base(options: set[str]):
    """What all runs share. options: `small` for two CPU cores, about five minutes a run; `tiny`."""
    config = film_voc.get_config()
    config.name = "takeda"
    if "small" in options:
        quickstart.small(config)
        config.data.source = "scenes"
        config.stages.single.steps, config.stages.combined.steps = 180, 120
    config.evaluate.every_stage = False
    return common.tiny(config) if "tiny" in options else config


def _told(method: str, combine: str = "M3"):
    """A method that trains single tasks first and then, unless by M1, combinations too."""

    def changes(base):
        rows = base.stages.combined.rows
        rows = common.only_single(rows) if combine == "M1" else rows
        return {"method": method, "stages": {"combined": {"combine": combine, "rows": rows}}}

    return changes


def _piggyback(name: str):
    """One task's network in two stages, then, in two more, masks on it for the others."""

    def changes(base):
        stages = {}
        for part, moving in (("base", "base"), ("masks", "task_.*")):
            for suffix, stage in (("1", base.stages.single), ("2", base.stages.combined)):
                rows = {
                    k: n if (k == name) == (part == "base") else 0
                    for k, n in common.only_single(stage.rows).items()
                }
                trainable = f"net/{moving}/.*|critic/.*"
                stages[f"{part}_{suffix}"] = {
                    **stage.to_dict(),
                    "rows": rows,
                    "combine": "M1",
                    "trainable": trainable,
                }
        # As Piggyback has it, masks learn at 1e-4 (at their peak in the first stage, where it
        # has one), whatever the rate of the rest.
        rule = (".*/mask/.*", 1e-4 / base.stages.single.lr)
        return {
            "method": "piggyback",
            "piggyback": {"base": (name,)},
            "schedule": tuple(stages),
            "stages": stages,
            "optimiser": {"lr_rules": (rule, *base.optimiser.lr_rules)},
        }

    return changes


RUNS = {
    "film": _told("film"),
    "encin": _told("encin"),
    "sgn": _told("sgn"),
    "sgn_bias": _told("sgn_bias"),
    "single": _told("single", "M1"),
    "shared_enc": _told("shared_enc", "M1"),
    "piggyback1": _piggyback("completion"),
    "piggyback2": _piggyback("segmentation"),
    "film_m1": _told("film", "M1"),
    "film_m2": _told("film", "M2"),
}
