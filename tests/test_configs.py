"""Every config takes one step through the real loop, on tiny images."""

import io
import json

import numpy as np
import pytest
import tensorflow_datasets as tfds
from ml_collections import ConfigDict
from PIL import Image

from configs import (
    film_folder,
    film_pets,
    film_voc,
    matsumoto,
    matsumoto_blocks,
    matsumoto_masks,
    matsumoto_orders,
    vit_pretrain,
)
from taskfusion_jax import comparison, train
from taskfusion_jax.experiment import Experiment
from taskfusion_jax.task_files import read_shared


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (40, 36, 3), np.uint8)


def objects(classes) -> np.ndarray:
    """A mask whose upper half is the first class, the lower half the second."""
    return np.repeat(np.array(classes, np.uint8), (20, 20))[:, None] * np.ones(36, np.uint8)


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / "voc"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for i in range(3):
        Image.fromarray(picture(i)).save(root / f"JPEGImages/{i}.jpg")
        Image.fromarray(objects((0, 5))).save(root / f"SegmentationClass/{i}.png")
    (root / "ImageSets/Segmentation/train.txt").write_text("0\n1\n")
    (root / "ImageSets/Segmentation/val.txt").write_text("1\n2\n")
    return root


class SmallPets(tfds.core.GeneratorBasedBuilder):
    """Two images in each split, with the masks of oxford_iiit_pet: 1 pet, 2 background."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = None  # nothing to download

    def _info(self):
        image, mask = tfds.features.Image(), tfds.features.Image(shape=(None, None, 1))
        features = tfds.features.FeaturesDict({"image": image, "segmentation_mask": mask})
        return tfds.core.DatasetInfo(builder=self, features=features, disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples() for split in ("train", "test")}

    def _generate_examples(self):
        for i in range(2):
            yield i, {"image": _png(picture(i)), "segmentation_mask": _png(objects((2, 1)))}


def _png(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def results_of(config: ConfigDict, workdir) -> dict:
    config.evaluate.frechet_layers = ("relu1_2",)
    assert train.run(config, workdir) == 0
    results = json.loads((workdir / "results.json").read_text())
    assert (workdir / "report.html").exists()
    assert all(np.isfinite(value) for value in results["metrics"].values())
    return results


@pytest.mark.slow
def test_film_voc_on_a_folder(voc, tmp_path):
    config = film_voc.get_config("tiny")
    config.data.source, config.data.voc_folder.dir = "voc_folder", str(voc)
    results = results_of(config, tmp_path / "run")
    assert results["steps"] == 2
    assert "segmentation/iou" in results["metrics"]
    assert "restoration+segmentation/M3/psnr" in results["metrics"]


@pytest.mark.slow  # tests/data reads what TFDS writes
def test_film_pets_from_tfds(tmp_path):
    SmallPets(data_dir=str(tmp_path), file_format="array_record").download_and_prepare()
    config = film_pets.get_config("m2,tiny")
    config.data.tfds.update({"name": "small_pets", "data_dir": str(tmp_path)})
    results = results_of(config, tmp_path / "run")
    assert results["steps"] == 1
    assert "segmentation+style_1/M2/iou" in results["metrics"]


def test_film_folder(voc, tmp_path):
    folder = voc / "JPEGImages"
    for split in ("train", "test"):
        (folder / split).mkdir()
    for i, split in enumerate(("train", "train", "test")):
        (folder / f"{i}.jpg").rename(folder / split / f"{i}.jpg")
    results = results_of(film_folder.get_config(f"{folder},m3,tiny"), tmp_path / "run")
    assert not [name for name in results["metrics"] if "segmentation" in name]
    assert "restoration+style_1/M3/psnr" in results["metrics"]


def test_vit_pretrain(tmp_path):
    """Mixed and augmented, its average is what it leaves for others."""
    config = vit_pretrain.get_config("tiny")
    config.stages.classes.rows.classes = 2
    assert train.run(config, tmp_path / "run") == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert 0 <= results["metrics"]["classes/accuracy"] <= 1
    assert sorted(p.name for p in (tmp_path / "run" / "figures").glob("*.png")) == [
        "predictions.png"
    ]
    left = read_shared(tmp_path / "run" / "tasks")
    assert "base/block_3/qkv/kernel" in left and not any("head" in name for name in left)


@pytest.mark.parametrize("option", ["m1", "m2", "m3"])
def test_one_stage_options_of_film_voc(option):
    config = film_voc.get_config(option)
    assert config.schedule == ("all",)
    assert config.stages["all"].combine == option.upper()
    assert sum(config.stages["all"].rows.values()) == 32  # the batch of the paper


@pytest.mark.parametrize("module", [matsumoto, matsumoto_orders, matsumoto_blocks, matsumoto_masks])
def test_every_run_of_paper_003_makes_sense(module):
    """Every stage can begin."""
    config = module.get_config("tiny")
    for (name, _), run in comparison.members(config).items():
        experiment = Experiment(run)
        assert run.name == f"{config.name}_{name}"
        for stage in experiment.stages:
            experiment.abstract_state(stage)


@pytest.mark.parametrize("arg", ["", "small"])
@pytest.mark.parametrize("module", [matsumoto, matsumoto_orders, matsumoto_masks])
def test_runs_of_paper_003_see_as_many_rows_of_each_task(module, arg):
    shown = {}
    for (name, _), run in comparison.members(module.get_config(arg)).items():
        for stage in (run.stages[key] for key in run.schedule):
            for task, rows in stage.rows.items():
                shown.setdefault(task, {}).setdefault(name, 0)
                shown[task][name] += rows * stage.steps
    assert shown
    for task, counts in shown.items():
        assert len(set(counts.values()) - {0}) == 1, task
