"""FiLM fusion on any folder of images: all tasks that need no masks.

    python -m taskfusion_jax.main --config=configs/film_folder.py:my_photos --workdir=runs/mine

Your own painting: --config.tasks.style_1.painting=my_painting.jpg
"""

from configs import film_voc


def get_config(arg: str = ""):
    """arg: the folder; options of film_voc.py may follow after commas (my_photos,tiny)."""
    folder, _, rest = arg.partition(",")
    if not folder or folder == "tiny":
        raise ValueError("name a folder of images after the colon: film_folder.py:my_photos")
    config = film_voc.get_config(rest)
    config.name = "film_folder"
    config.data.source = "image_folder"
    config.data.image_folder.dir = folder
    del config.tasks.segmentation
    for name in ("restoration+segmentation", "segmentation+style_1"):
        del config.combined[name]
    for stage in config.stages.values():
        stage.rows = {name: n for name, n in stage.rows.items() if "segmentation" not in name}
    if not {"small", "tiny"} & set(rest.split(",")):
        for name, steps in (("single", 40_000), ("combined", 20_000), ("all", 60_000)):
            if name in config.stages:
                config.stages[name].steps = steps
    return config
