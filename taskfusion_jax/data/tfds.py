"""Any TensorFlow Datasets data set that is prepared as array_record, read without TensorFlow."""

import difflib
import functools

import numpy as np
import tensorflow_datasets as tfds

from taskfusion_jax.data import voc_sbd
from taskfusion_jax.data.images import (
    VOID,
    check_sides,
    decode_ids,
    decode_image,
    enlarge,
    id_table,
    look_up,
)
from taskfusion_jax.errors import UserError, did_you_mean

_FIELD = "config.data.tfds"


class Tfds:
    """A grain source over a prepared TFDS data set.

    `name` is what `tfds.builder` takes ("oxford_iiit_pet", "voc_sbd", "name/config:1.0.0"), `split`
    may be a slice ("train[:90%]"), and `data_dir=""` means TFDS's own default folder. `mask_key=""`
    means that there are no masks.

    `mask_ids[v]` is the class id of stored value v, and 255 makes it void; `()` keeps ids that are
    0..classes-1 and 255 already. The masks of oxford_iiit_pet hold 1 pet, 2 background, 3 border:
    `classes=2, mask_ids=(255, 1, 0, 255)` gives 0 background, 1 pet, 255 border. A set with void
    first, such as ADE20K with its 150 classes: `mask_ids=(255, *range(150))`.

    Item i is `{"image": uint8 [H, W, 3] RGB, "mask": uint8 [H, W]}`, "mask" only with a mask_key.
    A side below `min_side` is an error. With a `label_key`, which names a feature of class labels,
    there are no masks whatever `mask_key` is: the item is `{"image", "label": int}`, and images
    are enlarged where a side is shorter than `min_side`.
    The pixels are taken as stored: a camera's orientation tag is not applied, as the masks of TFDS
    data sets are drawn without it.

    Attributes:
      labels: names of the classes; none without a label_key.

    Raises:
      UserError: from the constructor, if the name, split or a key is unknown or the data set is
        not prepared; from an item, if its image, mask or label cannot be used (see `data.images`).
    """

    def __init__(
        self,
        name: str,
        split: str,
        data_dir: str,
        image_key: str,
        mask_key: str,
        classes: int,
        mask_ids: tuple[int, ...],
        min_side: int = 0,
        label_key: str = "",
    ):
        self.name, self.split, self.data_dir = name, split, data_dir
        mask_key, classes = ("", 0) if label_key else (mask_key, classes)
        self.image_key, self.mask_key, self.classes = image_key, mask_key, classes
        self.label_key, self.labels = label_key, ()
        self.has_masks, self._min_side = bool(mask_key), min_side
        self._table = _mask_table(classes, tuple(mask_ids)) if mask_key else None
        builder = _prepared_builder(name, data_dir)
        for field, key in (("image_key", image_key), ("mask_key", mask_key)):
            if key or field == "image_key":
                _check_image_feature(builder, field, key)
        if label_key:
            self.labels = _label_names(builder, label_key)
        self._records = _records(builder, split)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        record = self._records[index]
        where = f"{self.name} {self.split}, example {index}"
        image = decode_image(record[self.image_key], f"{where}, {self.image_key}", exif=False)
        if self.labels:
            label = self._label(record, where)
            return {"image": enlarge(image, self._min_side), "label": label}
        check_sides(image, where, self._min_side)
        if not self.has_masks:
            return {"image": image}
        where = f"{where}, {self.mask_key}"
        raw = decode_ids(record[self.mask_key], where)
        if raw.shape != image.shape[:2]:
            raise UserError(
                f"{where} is {raw.shape[1]} x {raw.shape[0]} pixels, but its image is "
                f"{image.shape[1]} x {image.shape[0]}: prepare the data set again"
            )
        hint = f"set {_FIELD}.classes={self.classes} and {_FIELD}.mask_ids to what the masks hold"
        return {"image": image, "mask": look_up(raw, self._table, where, hint)}

    def _label(self, record: dict, where: str) -> int:
        label = int(record[self.label_key])
        if not 0 <= label < len(self.labels):
            raise UserError(
                f"{where}, {self.label_key} is {label}, none of the {len(self.labels)} classes: "
                f"name another split in {_FIELD}"
            )
        return label

    @functools.cached_property
    def label_ids(self) -> np.ndarray:
        """int [N], the class of each item, read once without decoding images."""
        return np.array([int(record[self.label_key]) for record in self._records])

    def __repr__(self) -> str:
        return (
            f"Tfds(name={self.name!r}, split={self.split!r}, data_dir={self.data_dir!r}, "
            f"length={len(self)})"
        )


def _mask_table(classes: int, mask_ids: tuple[int, ...]) -> np.ndarray:
    if not 1 <= classes <= 255:
        raise UserError(f"{_FIELD}.classes={classes} must be 1..255 (255 itself means void)")
    if len(mask_ids) > 256 or any(i != VOID and not 0 <= i < classes for i in mask_ids):
        raise UserError(
            f"{_FIELD}.mask_ids={mask_ids} must hold at most 256 ids, each 0..{classes - 1} or 255 "
            "for void: correct it or raise the number of classes"
        )
    if mask_ids:
        return id_table(range(len(mask_ids)), mask_ids)
    return id_table((*range(classes), VOID), (*range(classes), VOID))


def _prepared_builder(name: str, data_dir: str) -> tfds.core.DatasetBuilder:
    try:
        builder = tfds.builder(name, data_dir=data_dir or None)
    except tfds.core.DatasetNotFoundError as error:
        # Only near names: the list of all is hundreds long.
        known = tfds.list_builders(with_community_datasets=False)
        hint = did_you_mean(name, difflib.get_close_matches(name, known))
        raise UserError(f"{_FIELD}.name={name!r} is not a TFDS data set{hint}") from error
    except (ValueError, AssertionError) as error:  # an unknown config or version
        raise UserError(f"{_FIELD}.name={name!r} cannot be used: {_first_line(error)}") from error
    if not builder.is_prepared():
        raise UserError(
            f"{_FIELD}.name={name!r} is not prepared in {_FIELD}.data_dir={data_dir!r}: "
            f"{_how_to_prepare(name, builder)}"
        )
    return builder


def _how_to_prepare(name: str, builder: tfds.core.DatasetBuilder) -> str:
    root = builder.data_dir_root
    if isinstance(builder, voc_sbd.VocSbd):
        return f"run `python -m taskfusion_jax.data.voc_sbd --data_dir={root}`"
    return (
        f"run `tfds build {name} --data_dir={root} --file_format=array_record` "
        "(that step alone needs `pip install tensorflow`)"
    )


def _image_keys(builder: tfds.core.DatasetBuilder) -> list[str]:
    features = builder.info.features.items()
    return [key for key, feature in features if isinstance(feature, tfds.features.Image)]


def _check_image_feature(builder: tfds.core.DatasetBuilder, field: str, key: str) -> None:
    features, images = builder.info.features, _image_keys(builder)
    if key not in images:
        what = f"is {features[key]}, not an image" if key in features else "does not exist"
        raise UserError(
            f"{_FIELD}.{field}={key!r} {what} in {builder.info.full_name}"
            f"{did_you_mean(key, images)}"
        )


def _label_names(builder: tfds.core.DatasetBuilder, key: str) -> tuple[str, ...]:
    features = builder.info.features
    known = [k for k, f in features.items() if isinstance(f, tfds.features.ClassLabel)]
    if key not in known:
        what = f"is {features[key]}, not a class label" if key in features else "does not exist"
        raise UserError(
            f"{_FIELD}.label_key={key!r} {what} in {builder.info.full_name}"
            f"{did_you_mean(key, known)}"
        )
    return tuple(features[key].names)


def _records(builder: tfds.core.DatasetBuilder, split: str):
    """Returns TFDS's own random-access source, its images left encoded."""
    encoded = {key: tfds.decode.SkipDecoding() for key in _image_keys(builder)}
    try:
        return builder.as_data_source(split=split, decoders=encoded)
    except NotImplementedError as error:
        raise UserError(
            f"{builder.info.full_name} is prepared as {builder.info.file_format.value}, which "
            f"needs TensorFlow: remove {builder.data_dir} and "
            f"{_how_to_prepare(builder.name, builder)}"
        ) from error
    except ValueError as error:
        raise UserError(
            f"{_FIELD}.split={split!r} cannot be used ({_first_line(error)}): "
            f"the splits are {', '.join(builder.info.splits)}"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
