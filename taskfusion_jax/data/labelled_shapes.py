"""One object on a photograph, labelled with what it is: the embedded scenes as classes."""

import functools

import numpy as np

from taskfusion_jax.data.scenes import Scenes, paint
from taskfusion_jax.data.shapes import SHAPES


class LabelledShapes:
    """A grain source over `Scenes` of one object each; the classes are the shapes.

    split, size, length, seed: see `Scenes`.

    Item i is `{"image": uint8 [size, size, 3] RGB, "label": int}`, a pure function of
    (seed, split, i).

    Attributes:
      labels: names of the shapes.
    """

    has_masks = False
    classes = 0
    labels: tuple[str, ...] = tuple(shape.name for shape in SHAPES)

    def __init__(self, split: str, size: int, length: int, seed: int):
        self._scenes = Scenes(split, size, length, seed, max_objects=1)

    def __len__(self) -> int:
        return len(self._scenes)

    def __getitem__(self, index: int) -> dict:
        """Raises IndexError outside 0 <= index < length."""
        if not 0 <= index < len(self):
            raise IndexError(f"shape {index} of {len(self)}")
        scene = self._scenes.plan(index)
        image, _ = paint(scene, self._scenes.size)
        return {"image": np.array(image), "label": scene.items[0].kind}

    @functools.cached_property
    def label_ids(self) -> np.ndarray:
        """int [N], the class of each item; planned, not painted."""
        return np.array([self._scenes.plan(i).items[0].kind for i in range(len(self))])

    def __repr__(self) -> str:
        s = self._scenes
        return f"LabelledShapes(split={s.split!r}, size={s.size}, length={s.length}, seed={s.seed})"
