"""Real photographs that lie inside the wheels of scikit-image and scikit-learn.

Nothing is downloaded. The two splits share no photograph. Each is kept as a pyramid of
halved copies, so a crop costs the same however much of the photograph it shows.
"""

import dataclasses
import functools
import math
import random
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from taskfusion_jax.errors import UserError

_SKIMAGE = "skimage/data/"
_SKLEARN = "sklearn/datasets/images/"

PHOTOGRAPHS = {
    "train": (
        _SKLEARN + "flower.jpg",
        _SKIMAGE + "chelsea.png",
        _SKIMAGE + "rocket.jpg",
        _SKIMAGE + "motorcycle_left.png",  # its stereo twin is the same scene: left out
        _SKIMAGE + "hubble_deep_field.jpg",
        _SKIMAGE + "retina.jpg",
        _SKIMAGE + "ihc.png",
        _SKIMAGE + "camera.png",
        _SKIMAGE + "grass.png",
        _SKIMAGE + "gravel.png",
    ),
    "test": (
        _SKLEARN + "china.jpg",
        _SKIMAGE + "astronaut.png",
        _SKIMAGE + "coffee.png",
        _SKIMAGE + "brick.png",
    ),
}

_LUMA = (0.299, 0.587, 0.114)


@functools.cache
def pyramid(name: str) -> tuple[Image.Image, ...]:
    """Returns RGB copies of a photograph: full size, half, quarter, ... down to 8 pixels.

    Read once per process. Raises `UserError` where the wheel came without its pictures.
    """
    package, _, inside = name.partition("/")
    spec = find_spec(package)
    path = Path(spec.origin).parent / inside if spec else None
    if path is None or not path.is_file():
        wheel = {"skimage": "scikit-image", "sklearn": "scikit-learn"}[package]
        raise UserError(f"photograph {name} not found: install {wheel} from its wheel (pip)")
    with Image.open(path) as image:
        levels = [image.convert("RGB")]
    while min(levels[-1].size) >= 16:
        levels.append(levels[-1].reduce(2))
    return tuple(levels)


@dataclasses.dataclass(frozen=True)
class Crop:
    """A turned square window into a photograph, with a change of colour.

    name: the photograph, one of `PHOTOGRAPHS`.
    centre, half: middle and half side of the window, in pixels of the full photograph.
    turn: angle in radians.
    mirrored: left and right exchanged.
    colours: 3 x 4 row-major matrix from (R, G, B, 1) to the new colours, 0..255.
    """

    name: str
    centre: tuple[float, float]
    half: float
    turn: float
    mirrored: bool
    colours: tuple[float, ...]

    def render(self, width: int, height: int) -> Image.Image:
        """Returns the window as an RGB image; its longer side shows the whole window."""
        levels = pyramid(self.name)
        step = 2 * self.half / max(width, height)
        level = min(max(math.floor(math.log2(step) + 0.5), 0), len(levels) - 1)
        scale = levels[level].width / levels[0].width
        a, b = step * scale * math.cos(self.turn), step * scale * math.sin(self.turn)
        mirror = -1 if self.mirrored else 1
        x, y = self.centre[0] * scale, self.centre[1] * scale
        rows = (
            *(mirror * a, -b, x - (mirror * a * width - b * height) / 2),
            *(mirror * b, a, y - (mirror * b * width + a * height) / 2),
        )
        crop = levels[level].transform(
            (width, height), Image.Transform.AFFINE, rows, Image.Resampling.BILINEAR
        )
        return crop.convert("RGB", self.colours)


def random_crop(draw: random.Random, names: tuple[str, ...], smallest: float) -> Crop:
    """Returns a random window into one of `names`, in the photograph's own colours.

    smallest: least side of the window as a share of the largest that fits, in (0, 1].
    """
    name = draw.choice(names)
    width, height = pyramid(name)[0].size
    turn = draw.uniform(-0.2, 0.2)
    spread = abs(math.cos(turn)) + abs(math.sin(turn))
    half = min(width, height) / 2 / spread * draw.uniform(smallest, 1)
    reach = half * spread  # half the side of the upright square around the turned window
    centre = draw.uniform(reach, width - reach), draw.uniform(reach, height - reach)
    plain = (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
    return Crop(name, centre, half, turn, draw.random() < 0.5, plain)


def jittered(draw: random.Random, crop: Crop) -> Crop:
    """Returns `crop` with random brightness, contrast, saturation and tint.

    Saturation only sinks: it keeps photographs calmer than the objects drawn on them.
    """
    saturation, contrast = draw.uniform(0.45, 0.95), draw.uniform(0.7, 1.05)
    lift = 128 * (1 - contrast) + draw.uniform(-40, 35)
    rows = []
    for channel in range(3):
        gain = contrast * draw.uniform(0.8, 1.2)
        for source in range(3):
            own = saturation * (channel == source)
            rows.append(gain * (own + (1 - saturation) * _LUMA[source]))
        rows.append(lift)
    return dataclasses.replace(crop, colours=tuple(rows))


def tinted(crop: Crop, colour: tuple[float, float, float], strength: float) -> Crop:
    """Returns `crop` as light and dark of one `colour` (0..255), for use as a texture.

    strength: how far the texture moves the colour, in [0, 1].
    """
    rows = []
    for value in colour:
        rows += [strength * weight * (value + 90) / 200 for weight in _LUMA]
        rows.append(value * (1 - strength * 0.55))
    return dataclasses.replace(crop, colours=tuple(rows))
