"""What sources of labelled images have in common that keep them in memory."""

import numpy as np

from taskfusion_jax.data.images import enlarge, gray_to_rgb


class InMemory:
    """Items are `{"image": uint8 [H, W, 3] RGB, "label": int}`, enlarged where a side is shorter
    than `min_side`. Subclasses set `labels` and what follows.

    Attributes:
      label_ids: int [N], the class of each item.
      min_side: see above.
      images: uint8 [N, H, W] or [N, H, W, 1 or 3].
    """

    has_masks = False
    classes = 0

    label_ids: np.ndarray
    min_side: int
    images: np.ndarray

    def __len__(self) -> int:
        return len(self.label_ids)

    def __getitem__(self, index: int) -> dict:
        image = enlarge(self._image(index), self.min_side)
        return {"image": image, "label": int(self.label_ids[index])}

    def _image(self, index: int) -> np.ndarray:
        return gray_to_rgb(self.images[index])
