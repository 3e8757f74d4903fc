"""From `config.data` to a source.

A source is what grain reads from: `len(source)`, `source[i]` -> `{"image": uint8 [H, W, 3],
"mask": uint8 [H, W]}` with class ids, 255 = void, and no mask where `source.has_masks` is false.
`source.classes` is how many class ids its masks may hold, background included.

`source.labels` are the names of the classes of whole images, `()` where they have none. Items of a
labelled source have `"label": int` and no mask, and `source.label_ids`, int [N], tells the class of
every item without decoding images.
"""

import math
import weakref

from ml_collections import ConfigDict

from taskfusion_jax.data.classes import Kept, data_set
from taskfusion_jax.errors import UserError, did_you_mean

_open = weakref.WeakValueDictionary()
"""The sources in use, by what they are made of: tasks with parts of one data set share it."""


def _scenes(data: ConfigDict, split: str, seed: int):
    from taskfusion_jax.data.scenes import Scenes

    return Scenes(split, data.size, data.scenes.length, seed, data.scenes.max_objects)


def _voc_folder(data: ConfigDict, split: str, seed: int):
    from taskfusion_jax.data.voc_folder import VocFolder

    o = data.voc_folder
    return VocFolder(o.dir, o[split], o.classes, o.void, data.size)


def _image_folder(data: ConfigDict, split: str, seed: int):
    from taskfusion_jax.data.image_folder import ImageFolder

    o = data.image_folder
    return ImageFolder(o.dir, split, o.test_fraction, data.size, o.labels)


def _tfds(data: ConfigDict, split: str, seed: int):
    from taskfusion_jax.data.tfds import Tfds

    o = data.tfds
    return Tfds(
        *(o.name, o[split], o.data_dir, o.image_key, o.mask_key, o.classes, o.mask_ids),
        *(data.size, o.label_key),
    )


def _coco(data: ConfigDict, split: str, seed: int):
    from taskfusion_jax.data.coco import Coco

    return Coco(data.coco.dir, data.coco[split], data.coco.classes, data.size)


def _room(data: ConfigDict) -> int:
    """Side that small images are enlarged to, so that the smallest training crop has the size."""
    return math.ceil(data.size / data.scale)


def _shapes(data: ConfigDict, split: str, seed: int):
    from taskfusion_jax.data.labelled_shapes import LabelledShapes

    # The test images are the same for every seed, as those of other labelled sources are.
    return LabelledShapes(split, _room(data), data.shapes.length, seed if split == "train" else 0)


def _digits(data: ConfigDict, split: str, seed: int):
    from taskfusion_jax.data.digits import Digits

    return Digits(split, _room(data))


def _idx(data: ConfigDict, split: str, seed: int):
    from taskfusion_jax.data.idx import Idx

    return Idx(data.idx.dir, split, data.idx.names, data.idx.test_fraction, _room(data))


def _npz(data: ConfigDict, split: str, seed: int):
    from taskfusion_jax.data.npz import Npz

    return Npz(data.npz.train, data.npz.test, split, _room(data))


SOURCES = {
    "scenes": _scenes,
    "voc_folder": _voc_folder,
    "image_folder": _image_folder,
    "tfds": _tfds,
    "coco": _coco,
    "shapes": _shapes,
    "digits": _digits,
    "idx": _idx,
    "npz": _npz,
}


def build_source(data: ConfigDict, split: str, seed: int):
    """Builds the source `data.source` with the options of the same name, or, where `data.keep` or
    `data.per_class` say so, a part of it. All images are tested, however few are learnt from.

    Args:
      data: `config.data`.
      split: `train` or `test`.
      seed: of sources that draw their images, and of the images that `data.per_class` chooses.

    Raises:
      UserError: an unknown source, or whatever the source finds wrong.
    """
    if data.source not in SOURCES:
        raise UserError(
            f"config.data.source: no '{data.source}'{did_you_mean(data.source, SOURCES)}"
        )
    key = data_set(data), data.size, data.scale, split, seed
    source = _open.get(key)
    if source is None:
        source = _open[key] = SOURCES[data.source](data, split, seed)
    per_class = data.per_class if split == "train" else 0
    if data.keep or per_class:
        return Kept(source, data.keep, per_class, seed)
    return source
