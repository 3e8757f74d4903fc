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


PETS = {"image_key": "image", "mask_key": "segmentation_mask", "classes": 2}
PETS |= {"mask_ids": (255, 1, 0, 255), "name": "tiny_pets", "split": "train"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("tfds"))
    TinyPets(data_dir=folder, file_format="array_record").download_and_prepare()
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
