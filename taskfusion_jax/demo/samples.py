"""Images to try a run with, from what lies inside the installed packages; nothing is downloaded."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from PIL import Image

from taskfusion_jax.data.photographs import PHOTOGRAPHS, pyramid
from taskfusion_jax.data.scenes import Scenes
from taskfusion_jax.data.sources import build_source
from taskfusion_jax.inference.model import Model
from taskfusion_jax.tasks.base import Task

SIDE = 256
"""Of the scenes, in pixels, unless the run was trained on larger ones."""
LONGEST = 384
"""Longest side of the photographs, in pixels."""
_EMBEDDED = ("scenes", "shapes", "digits")  # sources of data that need no files
_LABELLED = 6  # images of each labelled data set


@dataclasses.dataclass(frozen=True)
class Sample:
    """An image, uint8 [H, W, 3], and what it is called."""

    name: str
    image: np.ndarray


def samples(model: Model) -> list[Sample]:
    """For runs that make images, scenes as in training, one with the damage that each task undoes,
    and photographs; for classifications, images of their own test data where that is embedded.

    No scene or photograph was trained on by a run of the embedded data.
    """
    found = list(_labelled(model))
    if not found or any(task.makes_image for task in model.tasks.values()):
        found += [*_scenes(model), *_photographs()]
    return found


def _scenes(model: Model) -> Iterator[Sample]:
    damaging = [task for task in model.tasks.values() if _spoils(task)]
    side, count = max(SIDE, model.config.data.size), max(16, 1 + len(damaging))
    scenes = Scenes("test", side, count, 0, max_objects=3)
    yield Sample("scene", scenes[0]["image"])
    for index, task in enumerate(damaging, 1):
        damaged = task.corrupt(np.random.default_rng(index), scenes[index]["image"])
        yield Sample(task.name, damaged)


def _spoils(task: Task) -> bool:
    """Whether its inputs are made from clean images by taking something away."""
    return type(task).corrupt is not Task.corrupt


def _photographs() -> Iterator[Sample]:
    for path in PHOTOGRAPHS["test"]:
        image = pyramid(path)[0].copy()
        image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
        yield Sample(path.rpartition("/")[2].partition(".")[0], np.array(image))


def _labelled(model: Model) -> Iterator[Sample]:
    """Images of every classification's own data, spread over its test split."""
    for name, task in model.tasks.items():
        data = model.config.data_of.get(name, model.config.data)
        if not task.labels or data.source not in _EMBEDDED:
            continue
        source = build_source(data, "test", model.config.seed)
        for place in np.linspace(0, len(source) - 1, _LABELLED).astype(int).tolist():
            item = source[place]
            yield Sample(model.classes[name][item["label"]], item["image"])
