"""Mixup (Zhang et al., ICLR 2018): training images blended with others of the same task."""

import dataclasses

import grain
import numpy as np


@dataclasses.dataclass(frozen=True)
class Mixup(grain.transforms.RandomMap):
    """Blends each row of a group with another row of its task; a task's only row stays as it is.

    Attributes:
      turns: name of the task of each row.
      alpha: of Beta(alpha, alpha), from which each row's own share is drawn.
    """

    turns: tuple[str, ...]
    alpha: float

    def random_map(
        self, element: dict[str, np.ndarray], rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """element: a group, see `pipeline.train_batches`."""
        names, rows = np.array(self.turns), np.arange(len(self.turns))
        other = rows.copy()
        for name in dict.fromkeys(self.turns):
            own = rows[names == name]
            if len(own) > 1:
                other[own] = np.roll(own, rng.integers(1, len(own)))
        share = rng.beta(self.alpha, self.alpha, len(rows)).astype(np.float32)
        share[other == rows] = 1
        mixed = {key: _blended(element[key], other, share) for key in ("input", "clean")}
        label = np.stack([element["label"][:, 0], element["label"][other, 0]], axis=1)
        return {**element, **mixed, "label": label, "share": share}


def _blended(images: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    weight = share[:, None, None, None]
    return np.rint(weight * images + (1 - weight) * images[other]).astype(np.uint8)
