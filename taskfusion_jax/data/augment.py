"""RandAugment (Cubuk et al., NeurIPS 2020): a few random operations of one strength."""

import dataclasses

import grain
import numpy as np
from PIL import Image, ImageEnhance, ImageOps

_GRAY = (128, 128, 128)  # where an operation moves the edge of the image inwards
_HIGHEST = 10  # strength


def _enhanced(enhancer):
    """Factors of 0.1 to 1.9, 1 being the image as it is."""
    return lambda image, amount: enhancer(image).enhance(1 + 0.9 * amount)


def _rotated(image: Image.Image, amount: float) -> Image.Image:
    """By up to 30 degrees."""
    return image.rotate(30 * amount, Image.Resampling.BILINEAR, fillcolor=_GRAY)


def _moved(image: Image.Image, rows: tuple[float, ...]) -> Image.Image:
    """rows: 2 x 3, from a place in the result to one in the image, in pixels."""
    transform, resample = Image.Transform.AFFINE, Image.Resampling.BILINEAR
    return image.transform(image.size, transform, rows, resample, fillcolor=_GRAY)


def _shear_x(image: Image.Image, amount: float) -> Image.Image:
    shear = 0.3 * amount
    return _moved(image, (1, shear, -shear * image.height / 2, 0, 1, 0))


def _shear_y(image: Image.Image, amount: float) -> Image.Image:
    shear = 0.3 * amount
    return _moved(image, (1, 0, 0, shear, 1, -shear * image.width / 2))


def _translate_x(image: Image.Image, amount: float) -> Image.Image:
    return _moved(image, (1, 0, 0.45 * amount * image.width, 0, 1, 0))


def _translate_y(image: Image.Image, amount: float) -> Image.Image:
    return _moved(image, (1, 0, 0, 0, 1, 0.45 * amount * image.height))


OPERATIONS = {
    "identity": lambda image, amount: image,
    "autocontrast": lambda image, amount: ImageOps.autocontrast(image),
    "equalize": lambda image, amount: ImageOps.equalize(image),
    "rotate": _rotated,
    "posterize": lambda image, amount: ImageOps.posterize(image, 8 - round(4 * abs(amount))),
    "solarize": lambda image, amount: ImageOps.solarize(image, round(256 * (1 - abs(amount)))),
    "color": _enhanced(ImageEnhance.Color),
    "contrast": _enhanced(ImageEnhance.Contrast),
    "brightness": _enhanced(ImageEnhance.Brightness),
    "sharpness": _enhanced(ImageEnhance.Sharpness),
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
"""(image, amount in -1..1) -> image. The paper's fourteen; ranges are those of AutoAugment (Cubuk
et al., CVPR 2019, table 6), and all but the first three change more with a larger amount."""


@dataclasses.dataclass(frozen=True)
class Augment(grain.transforms.RandomMap):
    """Random operations on the image, one after another, the same one perhaps twice.

    Attributes:
      count: how many.
      strength: 0..10; the direction is drawn.
    """

    count: int
    strength: float

    def random_map(self, element: dict, rng: np.random.Generator) -> dict:
        """element: image uint8 [H, W, 3], and what else stays as it is."""
        operations = tuple(OPERATIONS.values())
        image = Image.fromarray(np.ascontiguousarray(element["image"]))
        for _ in range(self.count):
            operation = operations[rng.integers(len(operations))]
            sign = 1 if rng.random() < 0.5 else -1
            image = operation(image, sign * self.strength / _HIGHEST)
        return {**element, "image": np.asarray(image)}
