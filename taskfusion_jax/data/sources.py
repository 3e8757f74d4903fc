"""From `config.data` to a source.

A source is what grain reads from: `len(source)`, `source[i]` -> `{"image": uint8 [H, W, 3],
"mask": uint8 [H, W]}` with class ids, 255 = void, and no mask where `source.has_masks` is false.
`source.classes` is how many class ids its masks may hold, background included.
"""

from ml_collections import ConfigDict

from taskfusion_jax.errors import UserError, did_you_mean


def _scenes(data: ConfigDict, split: str, seed: int):
    from taskfusion_jax.data.scenes import Scenes

    return Scenes(split, data.size, data.scenes.length, seed, data.scenes.max_objects)


def _voc_folder(data: ConfigDict, split: str, seed: int):
    from taskfusion_jax.data.voc_folder import VocFolder

    o = data.voc_folder
    return VocFolder(o.dir, o[split], o.classes, o.void, data.size)


def _image_folder(data: ConfigDict, split: str, seed: int):
    from taskfusion_jax.data.image_folder import ImageFolder

    return ImageFolder(data.image_folder.dir, split, data.image_folder.test_fraction, data.size)


def _tfds(data: ConfigDict, split: str, seed: int):
    from taskfusion_jax.data.tfds import Tfds

    o = data.tfds
    return Tfds(
        *(o.name, o[split], o.data_dir, o.image_key, o.mask_key, o.classes, o.mask_ids), data.size
    )


def _coco(data: ConfigDict, split: str, seed: int):
    from taskfusion_jax.data.coco import Coco

    return Coco(data.coco.dir, data.coco[split], data.coco.classes, data.size)


SOURCES = {
    "scenes": _scenes,
    "voc_folder": _voc_folder,
    "image_folder": _image_folder,
    "tfds": _tfds,
    "coco": _coco,
}


def build_source(data: ConfigDict, split: str, seed: int):
    """Builds the source `data.source` with the options of the same name.

    Args:
      data: `config.data`.
      split: `train` or `test`.
      seed: of sources that draw their images.

    Raises:
      UserError: an unknown source, or whatever the source finds wrong.
    """
    if data.source not in SOURCES:
        raise UserError(
            f"config.data.source: no '{data.source}'{did_you_mean(data.source, SOURCES)}"
        )
    return SOURCES[data.source](data, split, seed)
