"""Paintings to take a style from: two made wholly in code, or any image file.

A painting is a colour plan and a flow field. Thousands of brush strokes follow the flow, large
ones first; each lays down colour from the plan and a ridge of paint that catches the light.
"""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from taskfusion_jax.data.images import read_image
from taskfusion_jax.errors import UserError, did_you_mean

# Takes x, y (arrays in [0, 1], y down) to angles in radians, or to colours [..., 3] in 0..255.
Field = Callable[[np.ndarray, np.ndarray], np.ndarray]

# (strokes, width, length) of each layer; lengths are shares of the side.
_LAYERS = ((900, 0.030, 0.14), (2600, 0.017, 0.085), (3800, 0.010, 0.055))
_BRISTLES = 3
_JOINTS = 7


def paint(name: str, size: int) -> np.ndarray:
    """Returns the embedded painting `name` ("swirl" or "ember") as uint8 [size, size, 3].

    The same strokes at every size. Raises `UserError` for an unknown name.
    """
    if name not in PAINTINGS:
        raise UserError(f"unknown embedded painting '{name}'{did_you_mean(name, PAINTINGS)}")
    flow, colours = PAINTINGS[name]
    side = 2 * size
    canvas = _ground(colours).resize((side, side), Image.Resampling.BICUBIC)
    ridges = Image.new("L", (side, side), 128)
    rng = np.random.default_rng(7)
    pens = ImageDraw.Draw(canvas), ImageDraw.Draw(ridges)
    for count, width, length in _LAYERS:
        paths = _follow(rng.uniform(-0.03, 1.03, (count, 2)), flow, length)
        _stroke(pens, rng, paths * side, width * side, colours(*paths[:, _JOINTS // 2].T))
    return np.array(_lit(canvas, ridges).reduce(2))


def load_painting(spec: str, size: int, style: str = "<style>") -> np.ndarray:
    """Returns a style image as uint8 RGB [height, width, 3] whose shorter side is `size`.

    spec: "embedded:swirl", "embedded:ember", or the path of an image file.
    style: the task whose `config.tasks.<style>.painting` says so, named in errors.
    Raises `UserError` for an unknown painting and for a missing or unreadable file.
    """
    kind, _, name = spec.partition(":")
    try:
        if kind == "embedded":
            return paint(name, size)
        image = Image.fromarray(read_image(spec))
    except UserError as error:
        known = " or ".join(f"embedded:{painting}" for painting in PAINTINGS)
        raise UserError(f"config.tasks.{style}.painting: {error}; or use {known}") from error
    scale = size / min(image.size)
    width, height = (max(round(side * scale), size) for side in image.size)
    return np.array(image.resize((width, height), Image.Resampling.LANCZOS))


def _ground(colours: Field) -> Image.Image:
    """The colour plan laid in thinly, for where no stroke will reach."""
    y, x = np.mgrid[0:128, 0:128] / 128
    return Image.fromarray(np.clip(colours(x, y), 0, 255).astype(np.uint8))


def _follow(starts: np.ndarray, flow: Field, length: float) -> np.ndarray:
    """Paths along the flow: [count, 2] starts to [count, joints, 2]."""
    path = [starts]
    for _ in range(_JOINTS - 1):
        angle = flow(*path[-1].T)
        path.append(path[-1] + length / (_JOINTS - 1) * np.stack([np.cos(angle), np.sin(angle)], 1))
    return np.stack(path, 1)


def _stroke(
    pens: tuple[ImageDraw.ImageDraw, ImageDraw.ImageDraw],
    rng: np.random.Generator,
    paths: np.ndarray,
    width: float,
    colours: np.ndarray,
) -> None:
    """Draws strokes along `paths` in pixels, in `colours`, with the pens of colour and of height.

    The bristles of a stroke run side by side, each a little off in colour.
    """
    count, each = len(paths), (len(paths), _BRISTLES)
    along = paths[:, -1] - paths[:, 0]
    across = np.stack([-along[:, 1], along[:, 0]], 1)
    across *= width / _BRISTLES / (np.linalg.norm(across, axis=1, keepdims=True) + 1e-6)
    places = np.arange(_BRISTLES) - (_BRISTLES - 1) / 2
    tracks = paths[:, None] + places[:, None, None] * across[:, None, None]
    inks = colours + rng.normal(0, 9, (count, 3)) + rng.normal(0, 12, (count, 1))
    inks = inks[:, None] + rng.normal(0, 11, (*each, 1))
    heights = rng.normal(128, 45, each)

    pen, ridge = pens
    thick = max(round(1.35 * width / _BRISTLES), 1)
    lines = tracks.reshape(count * _BRISTLES, -1).tolist()
    inks = np.clip(inks, 0, 255).astype(int).reshape(-1, 3).tolist()
    heights = np.clip(heights, 0, 255).astype(int).ravel().tolist()
    for line, ink, height in zip(lines, inks, heights, strict=True):
        pen.line(line, fill=tuple(ink), width=thick)
        ridge.line(line, fill=height, width=thick)


def _lit(canvas: Image.Image, ridges: Image.Image) -> Image.Image:
    """Light from the upper left falls on the ridges of paint."""
    height = np.asarray(ridges.filter(ImageFilter.BoxBlur(canvas.width / 512)), float)
    down, right = np.gradient(height)
    shade = np.clip((down + right) * 0.9 * canvas.width / 512, -30, 34)
    return Image.fromarray(np.clip(np.asarray(canvas) + shade[..., None], 0, 255).astype(np.uint8))


def _mixed(stops: list[tuple[float, tuple[int, int, int]]], at: np.ndarray) -> np.ndarray:
    """Colours [..., 3] at positions `at` on a scale of (position, colour) stops."""
    places, colours = zip(*stops, strict=True)
    return np.stack([np.interp(at, places, channel) for channel in zip(*colours, strict=True)], -1)


# (x, y, radius, turning direction) of the whirls, and (x, y, radius) of the lights of the sky.
_WHIRLS = ((0.45, 0.36, 0.20, 1), (0.66, 0.50, 0.14, -1), (0.16, 0.52, 0.13, -1))
_STARS = (
    (0.86, 0.15, 0.13), (0.12, 0.13, 0.075), (0.33, 0.10, 0.055), (0.60, 0.12, 0.06),
    (0.88, 0.45, 0.06), (0.08, 0.36, 0.05), (0.30, 0.58, 0.05), (0.72, 0.30, 0.04),
)  # fmt: skip
_NIGHT = [
    (0.0, (16, 26, 74)), (0.25, (28, 54, 128)), (0.5, (44, 92, 168)), (0.72, (98, 150, 196)),
    (0.88, (176, 204, 200)), (1.0, (226, 220, 150)),
]  # fmt: skip
_GLOW = [
    (0.0, (255, 240, 150)), (0.35, (246, 196, 52)), (0.7, (214, 178, 84)), (1.0, (110, 150, 170)),
]  # fmt: skip
_HILLS = [(0.0, (52, 104, 130)), (0.35, (30, 70, 96)), (0.7, (24, 58, 56)), (1.0, (66, 92, 48))]


def _hill(x: np.ndarray) -> np.ndarray:
    return 0.78 - 0.06 * np.sin(4.2 * x + 0.4) - 0.035 * np.sin(9 * x)


def _cypress(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Whether the dark tree in front covers a place."""
    lean = 0.215 + 0.018 * np.sin(16 * y)
    return np.abs(x - lean) < 0.085 * np.clip((y - 0.27) / 0.73, 0, None) ** 0.75


def _swirl_flow(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    u, v = np.ones_like(x), 0.45 * np.sin(7 * x + 3 * y)
    turns = _WHIRLS + tuple((sx, sy, radius * 1.3, 1) for sx, sy, radius in _STARS)
    for cx, cy, radius, way in turns:
        dx, dy = x - cx, y - cy
        distance = np.hypot(dx, dy) + 1e-6
        pull = 4.5 * way * np.exp(-((distance / radius) ** 2))
        u, v = u - pull * dy / distance, v + pull * dx / distance
    angle = np.arctan2(v, u)
    below = y > _hill(x)
    angle = np.where(below, 0.5 * np.sin(9 * x + 14 * y), angle)
    return np.where(_cypress(x, y), -math.pi / 2 + 0.5 * np.sin(22 * y + 20 * x), angle)


def _swirl_colours(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    tone = 0.36 + 0.2 * np.sin(15 * y + 3.5 * np.sin(5 * x)) + 0.25 * (y - 0.35)
    for cx, cy, radius, way in _WHIRLS:
        dx, dy = x - cx, y - cy
        near = np.exp(-((np.hypot(dx, dy) / radius) ** 2))
        arms = np.sin(way * 2 * np.arctan2(dy, dx) - 34 * np.hypot(dx, dy) / (radius * 5))
        tone = tone * (1 - near) + near * (0.58 + 0.36 * arms)
    colours = _mixed(_NIGHT, tone)
    for cx, cy, radius in _STARS:
        distance = np.hypot(x - cx, y - cy) / radius
        rings = distance + 0.13 * np.sin(18 * distance)
        colours = np.where((distance < 1)[..., None], _mixed(_GLOW, rings), colours)
    land = _mixed(_HILLS, (y - _hill(x)) / 0.25 + 0.15 * np.sin(25 * x + 30 * y))
    colours = np.where((y > _hill(x))[..., None], land, colours)
    bark = _mixed([(0, (12, 26, 26)), (1, (44, 56, 30))], 0.5 + 0.5 * np.sin(60 * x + 9 * y))
    return np.where(_cypress(x, y)[..., None], bark, colours)


_SUNSET = [
    (0.0, (150, 24, 18)), (0.22, (216, 62, 20)), (0.42, (240, 128, 28)), (0.58, (250, 184, 62)),
    (0.74, (226, 84, 30)), (0.88, (244, 160, 50)), (1.0, (232, 196, 120)),
]  # fmt: skip
_FJORD = [(0.0, (10, 34, 44)), (0.4, (16, 66, 78)), (0.7, (58, 108, 104)), (1.0, (206, 152, 84))]
_PLANKS = [(0.0, (62, 22, 18)), (0.4, (128, 54, 28)), (0.75, (186, 96, 44)), (1.0, (70, 84, 78))]


def _bands(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Height lifted by long waves: lines of equal value are the bands of the sky."""
    return y + 0.05 * np.sin(5.5 * x + 0.6) + 0.028 * np.sin(11 * x - 6 * y)


def _shore(x: np.ndarray) -> np.ndarray:
    return 0.47 + 0.07 * np.sin(4 * x + 2.2)


def _bridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Signed height over the edge of the bridge; positive on the bridge, to the lower left."""
    return y - 0.36 - 0.92 * x


def _ember_flow(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    slope = 0.275 * np.cos(5.5 * x + 0.6) + 0.308 * np.cos(11 * x - 6 * y)
    sky = np.arctan2(-slope, 1 - 0.168 * np.cos(11 * x - 6 * y))
    water = np.arctan2(0.45 * (x - 0.82), -(y - 0.70)) + 0.25 * np.sin(9 * x + 5 * y)
    angle = np.where(y > _shore(x), water, sky)
    return np.where(_bridge(x, y) > 0, math.atan(0.92), angle)


def _ember_colours(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    wave = _bands(x, y)
    colours = _mixed(_SUNSET, 0.5 + 0.5 * np.sin(46 * wave + 1.2 * np.sin(3 * x)) * (0.6 + wave))
    pool = np.hypot(0.67 * (x - 0.82), y - 0.70)
    depth = 0.42 + 0.45 * np.sin(58 * pool + 1.5 * np.sin(7 * x + 2 * y))
    colours = np.where((y > _shore(x))[..., None], _mixed(_FJORD, depth), colours)
    over = _bridge(x, y)
    planks = _mixed(_PLANKS, 0.5 + 0.5 * np.sin(70 * over))
    colours = np.where((over > 0)[..., None], planks, colours)
    rails = (np.abs(over - 0.015) < 0.02) | (np.abs(over - 0.11) < 0.013)
    colours = np.where(rails[..., None], np.array((52, 14, 18)), colours)
    return np.where((np.abs(over - 0.06) < 0.028)[..., None], np.array((222, 120, 52)), colours)


PAINTINGS = {
    "swirl": (_swirl_flow, _swirl_colours),
    "ember": (_ember_flow, _ember_colours),
}
"""Embedded paintings: name -> (flow, colours)."""
