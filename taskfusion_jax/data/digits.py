"""The 1,797 handwritten digits that lie inside the wheel of scikit-learn."""

import numpy as np
from sklearn.datasets import load_digits

from taskfusion_jax.data.classes import spread
from taskfusion_jax.data.labelled import InMemory

_HIGHEST = 16  # of the levels of gray as stored
_TEST = 0.2  # share of each digit that is for testing


class Digits(InMemory):
    """A grain source over Alpaydin and Kaynak's digits (UCI, 1998), 8 x 8 pixels, 10 classes.

    Nothing is downloaded. Of each digit every fifth is for testing: 1,442 train, 355 test.

    Item i is `{"image": uint8 [side, side, 3] RGB, "label": int}`, enlarged to `min_side`.

    Attributes:
      labels: "0" to "9".
      label_ids: int [N], the class of each item.
    """

    def __init__(self, split: str, min_side: int = 0):
        self.split, self.min_side = split, min_side
        found = load_digits()
        chosen = spread(found.target, _TEST) == (split == "test")
        levels = np.round(found.images[chosen] * (255 / _HIGHEST))
        self.images, self.label_ids = levels.astype(np.uint8), found.target[chosen]
        self.labels = tuple(map(str, found.target_names))

    def __repr__(self) -> str:
        return f"Digits(split={self.split!r}, length={len(self)})"
