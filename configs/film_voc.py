"""The setting of paper 004: six tasks on PASCAL VOC with SBD masks, 128x128, batch 32, Adam 1e-4.

    python -m taskfusion_jax.data.voc_sbd --data_dir=DATA
    python -m taskfusion_jax.main --config=configs/film_voc.py --workdir=runs/film_voc \
        --config.data.tfds.data_dir=DATA

478,000 steps are the paper's 300 epochs of 8,498 images per task. Never run to the end here.
Another folder in VOC layout, such as CamVid with cars, people and cyclists as objects:

    --config.data.source=voc_folder --config.data.voc_folder.dir=camvid \
    --config.data.voc_folder.classes=11 --config.data.voc_folder.void=11 \
    --config.data.voc_folder.test=test --config.data.foreground="(8, 9, 10)"
"""

from configs import common, quickstart

OPTIONS = ("m1", "m2", "m3", "small", "tiny")

SINGLE = common.rows((4, 5, 5, 6, 6, 6), (0, 0, 0))
ALL = common.rows((2, 4, 4, 5, 4, 4), (3, 3, 3))


def get_config(arg: str = ""):
    """Builds the config.

    arg, joined by commas: `m1`, `m2` or `m3` trains one stage with that way of combining tasks,
    as the paper compares them (without it: single tasks first, then M3, so that one run shows
    M1 and M3); `small` takes network, sizes and stages of quickstart.py, for two CPU cores; `tiny`
    takes one step on tiny images.
    """
    options = common.parse(arg, OPTIONS)
    config = common.get_config()
    config.name = "film_voc"
    config.data.source = "tfds"
    config.data.tfds.name = "voc_sbd"
    mode = options & {"m1", "m2", "m3"}
    if len(mode) + ("small" in options) > 1:
        raise ValueError("m1, m2, m3 and small each bring stages of their own: choose one")
    if mode:
        combine = mode.pop().upper()
        rows = SINGLE if combine == "M1" else ALL
        config.stages = {"all": common.stage(478_000, rows, combine)}
    else:
        config.stages = {
            "single": common.stage(318_000, SINGLE, "M1"),
            "combined": common.stage(160_000, ALL, "M3"),
        }
    config.schedule = tuple(sorted(config.stages, reverse=True))
    config.checkpoint.every = 5000
    config.log_every = 100
    if "small" in options:
        quickstart.small(config)
    return common.tiny(config) if "tiny" in options else config
