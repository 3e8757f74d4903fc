"""FiLM fusion on Oxford-IIIT Pet from TFDS: the pet is cut out, its border ignored.

    python -m taskfusion_jax.main --config=configs/film_pets.py --workdir=runs/film_pets

Prepare the data set once, with TensorFlow (`pip install -e ".[tensorflow]"`):

    tfds build oxford_iiit_pet --file_format=array_record
"""

from configs import common, film_voc


def get_config(arg: str = ""):
    """arg: as in film_voc.py."""
    config = film_voc.get_config(arg)
    config.name = "film_pets"
    # Stored masks hold 1 pet, 2 background, 3 border.
    config.data.tfds.update({"name": "oxford_iiit_pet", "classes": 2, "mask_ids": (255, 1, 0, 255)})
    if not {"small", "tiny"} & common.parse(arg, film_voc.OPTIONS):
        for name, steps in (("single", 80_000), ("combined", 40_000), ("all", 120_000)):
            if name in config.stages:
                config.stages[name].steps = steps
    return config
