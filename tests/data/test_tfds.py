"""Any TFDS data set: a small one is prepared here, as array_record and without TensorFlow."""

import io
import pickle
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from taskfusion_jax.data.tfds import Tfds
from tests.fails import fails

IMAGE = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
STORED = np.array([[1, 2, 3, 1, 2, 3]] * 4, np.uint8)  # as in oxford_iiit_pet


def png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


class TinyPets(tfds.core.GeneratorBasedBuilder):
    """Three images; the first is gray, the mask of the last has another size."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = None  # nothing to download

    def _info(self):
        image, mask = tfds.features.Image(), tfds.features.Image(shape=(None, None, 1))
        features = {"image": image, "segmentation_mask": mask, "file_name": tfds.features.Text()}
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i in range(3):
            image = IMAGE[..., 0] if i == 0 else IMAGE
            mask = STORED[:2] if i == 2 else STORED
            yield i, {"image": png(image), "segmentation_mask": png(mask), "file_name": str(i)}


DIGITS = np.random.default_rng(1).integers(0, 256, (6, 28, 28, 1), np.uint8)
IDS = (0, 2, 1, 1, 2, -1)


class TinyDigits(tfds.core.GeneratorBasedBuilder):
    """Gray images with class labels in TFDS's form of MNIST; the last is of no class."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = None  # nothing to download

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(28, 28, 1)),
            "label": tfds.features.ClassLabel(names=["cat", "dog", "eel"]),
            "coarse": tfds.features.ClassLabel(num_classes=2),
        }
        return tfds.core.DatasetInfo(
            builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for i, (image, id) in enumerate(zip(DIGITS, IDS, strict=True)):
            yield i, {"image": png(image[..., 0]), "label": id, "coarse": i % 2}


LABELLED = {"name": "tiny_digits", "split": "train[:5]", "image_key": "image", "label_key": "label"}
LABELLED |= {"mask_key": "segmentation_mask", "classes": 21, "mask_ids": ()}  # as is the default

PETS = {"image_key": "image", "mask_key": "segmentation_mask", "classes": 2}
PETS |= {"mask_ids": (255, 1, 0, 255), "name": "tiny_pets", "split": "train"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("tfds"))
    for builder in (TinyPets, TinyDigits):
        builder(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder


def test_items(data_dir):
    source = Tfds(**PETS, data_dir=data_dir)
    assert len(source) == 3
    assert source.has_masks
    np.testing.assert_array_equal(source[0]["image"], np.stack([IMAGE[..., 0]] * 3, -1))
    np.testing.assert_array_equal(source[1]["image"], IMAGE)
    np.testing.assert_array_equal(source[1]["mask"], [[1, 0, 255, 1, 0, 255]] * 4)
    assert source[1]["image"].dtype == source[1]["mask"].dtype == np.uint8
    assert "tensorflow" not in sys.modules


def test_ids_as_they_are(data_dir):
    source = Tfds(**PETS | {"classes": 4, "mask_ids": ()}, data_dir=data_dir)
    np.testing.assert_array_equal(source[1]["mask"], STORED)


def test_void_first_and_an_offset(data_dir):
    source = Tfds(**PETS | {"classes": 3, "mask_ids": (255, *range(3))}, data_dir=data_dir)
    np.testing.assert_array_equal(source[1]["mask"], STORED - 1)


def test_without_masks(data_dir):
    source = Tfds(**PETS | {"mask_key": ""}, data_dir=data_dir)
    assert not source.has_masks
    assert set(source[2]) == {"image"}


def test_labels(data_dir):
    source = Tfds(**LABELLED, data_dir=data_dir)
    assert source.labels == ("cat", "dog", "eel")
    assert not source.has_masks and source.classes == 0
    for i in range(5):
        item = source[i]
        assert set(item) == {"image", "label"} and type(item["label"]) is int
        assert item["label"] == source.label_ids[i] == IDS[i]
        np.testing.assert_array_equal(item["image"], np.repeat(DIGITS[i], 3, axis=-1))
    assert Tfds(**LABELLED, data_dir=data_dir, min_side=32)[0]["image"].shape == (32, 32, 3)
    assert Tfds(**PETS, data_dir=data_dir).labels == ()
    assert "tensorflow" not in sys.modules


def test_labels_without_names(data_dir):
    source = Tfds(**LABELLED | {"label_key": "coarse"}, data_dir=data_dir)
    assert source.labels == ("0", "1") and source.label_ids.tolist() == [0, 1, 0, 1, 0]


def test_labels_are_read_without_decoding_images_and_once(data_dir, monkeypatch):
    source = pickle.loads(pickle.dumps(Tfds(**LABELLED, data_dir=data_dir)))
    monkeypatch.setattr("PIL.Image.open", None)
    assert source.label_ids.tolist() == list(IDS[:5])
    source._records = None
    assert source.label_ids.tolist() == list(IDS[:5])


def test_labels_that_cannot_be_used(data_dir):
    def source(**changes):
        return lambda: Tfds(**LABELLED | changes, data_dir=data_dir)

    fails(source(label_key="lable"), "tfds.label_key='lable'", "did you mean 'label'?")
    fails(source(label_key="image"), "tfds.label_key='image'", "not a class label")
    unlabelled = source(split="train")()
    fails(lambda: unlabelled[5], "tiny_digits train, example 5", "label is -1", "3 classes")


def test_slice_repr_and_pickle(data_dir):
    source = Tfds(**PETS | {"split": "train[1:2]"}, data_dir=data_dir)
    expected = f"Tfds(name='tiny_pets', split='train[1:2]', data_dir={data_dir!r}, length=1)"
    assert repr(source) == expected
    copy = pickle.loads(pickle.dumps(source))
    assert repr(copy) == expected
    np.testing.assert_array_equal(copy[0]["mask"], source[0]["mask"])


def test_not_prepared_says_how(tmp_path):
    command = f"`tfds build tiny_pets --data_dir={tmp_path} --file_format=array_record`"
    fails(lambda: Tfds(**PETS, data_dir=str(tmp_path)), "tiny_pets", "not prepared", command)
    command = f"`python -m taskfusion_jax.data.voc_sbd --data_dir={tmp_path}`"
    fails(lambda: Tfds(**PETS | {"name": "voc_sbd"}, data_dir=str(tmp_path)), command)


def test_a_data_set_of_tfds_itself_that_is_not_prepared(tmp_path):
    command = f"`tfds build oxford_iiit_pet --data_dir={tmp_path} --file_format=array_record`"
    fails(lambda: Tfds(**PETS | {"name": "oxford_iiit_pet"}, data_dir=str(tmp_path)), command)


def test_prepared_for_tensorflow_only(tmp_path, data_dir):
    builder = tfds.builder("tiny_pets", data_dir=data_dir)
    builder.info.set_file_format("tfrecord", override=True, override_if_initialized=True)
    folder = tmp_path / "tiny_pets" / "1.0.0"
    folder.mkdir(parents=True)
    builder.info.write_to_directory(folder)
    fails(
        lambda: Tfds(**PETS, data_dir=str(tmp_path)), "tfrecord", folder, "--file_format=array_rec"
    )


def test_unknown_names(data_dir):
    def source(**changes):
        return lambda: Tfds(**PETS | changes, data_dir=data_dir)

    fails(source(name="oxford_iit_pet"), "tfds.name", "did you mean 'oxford_iiit_pet'?")
    fails(source(name="qqqqqqqq"), "tfds.name='qqqqqqqq' is not a TFDS data set")
    fails(source(name="tiny_pets/big"), "tfds.name='tiny_pets/big'", "cannot be used")
    fails(source(name="tiny_pets:9.9.9"), "tfds.name", "9.9.9")
    fails(source(split="trian"), "tfds.split='trian'", "the splits are train")
    fails(source(split="train[:x]"), "tfds.split")
    fails(source(image_key="imag"), "tfds.image_key='imag'", "did you mean 'image'?")
    fails(source(image_key=""), "tfds.image_key=''")
    fails(source(mask_key="file_name"), "tfds.mask_key='file_name'", "not an image")
    fails(source(classes=0), "tfds.classes=0")
    fails(source(mask_ids=(0, 7)), "tfds.mask_ids=(0, 7)")


def test_bad_content_is_named_on_reading(data_dir):
    source = Tfds(**PETS, data_dir=data_dir)
    fails(lambda: source[2], "tiny_pets train, example 2", "6 x 2", "6 x 4")
    source = Tfds(**PETS | {"mask_ids": (255, 1)}, data_dir=data_dir)
    fails(lambda: source[1], "example 1, segmentation_mask", "id 2", "tfds.mask_ids")
    source = Tfds(**PETS | {"mask_key": "image"}, data_dir=data_dir)
    fails(lambda: source[1], "example 1, image", "colour")
