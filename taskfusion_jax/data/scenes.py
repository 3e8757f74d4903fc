"""The default data: objects drawn on real photographs, with exact masks.

A scene is planned in sizes relative to the image and then painted at the size asked for, so
an index shows the same scene at every resolution. Everything is a pure function of
(seed, split, index): there is no state, and threads and processes may share one source.
"""

import colorsys
import dataclasses
import functools
import math
import random

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from taskfusion_jax.data import photographs, shapes
from taskfusion_jax.data.photographs import PHOTOGRAPHS, Crop
from taskfusion_jax.errors import UserError, did_you_mean

Colour = tuple[int, int, int]

_FADE = Image.linear_gradient("L")
_SHADE = [round(0.4 * level) for level in range(256)]
_SOLID = [0] * 128 + [255] * 128
_MARGIN = 0.07  # room around an object for its shadow, as a share of the image
_RIM = 0.016  # thickness of the outline, as a share of the image


@dataclasses.dataclass(frozen=True)
class Item:
    """One object of a scene; lengths are shares of the image.

    kind: index into `shapes.SHAPES`.
    points: float64 [N, 2], the points of the shape, in place.
    texture: what its surface is made of, already tinted.
    bottom, accent, ink: colours of its lower end, its second parts and its outline.
    relief: how rounded it looks, in [0, 1].
    """

    kind: int
    points: np.ndarray
    texture: Crop
    bottom: Colour
    accent: Colour
    ink: Colour
    relief: float


@dataclasses.dataclass(frozen=True)
class Scene:
    """A background, the objects on it from back to front, and the side the light comes from."""

    background: Crop
    items: tuple[Item, ...]
    light: tuple[float, float]


class Scenes:
    """An endless-looking, random-access source of images with segmentation masks.

    split: "train" or "test"; the two use different photographs.
    size: side of the images in pixels, any from 8.
    length: number of scenes.
    seed: a different seed gives different scenes.
    max_objects: each scene has 1 to this many objects.

    Raises `UserError` for an unknown split or a number out of range.
    """

    has_masks = True
    classes = 1 + len(shapes.SHAPES)
    labels: tuple[str, ...] = ()

    def __init__(self, split: str, size: int, length: int, seed: int, max_objects: int):
        if split not in PHOTOGRAPHS:
            raise UserError(f"unknown split '{split}'{did_you_mean(split, PHOTOGRAPHS)}")
        for name, value, least in (
            ("size", size, 8),
            ("length", length, 1),
            ("max_objects", max_objects, 1),
        ):
            if value < least:
                raise UserError(f"scenes: {name} is {value}, but must be at least {least}")
        self.split, self.size, self.length = split, size, length
        self.seed, self.max_objects = seed, max_objects

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Returns {"image": uint8 [size, size, 3] RGB, "mask": uint8 [size, size]}.

        The mask holds 0 for background and 1 + the index into `shapes.SHAPES` for objects;
        shadows are background. Raises IndexError outside 0 <= index < length.
        """
        if not 0 <= index < self.length:
            raise IndexError(f"scene {index} of {self.length}")
        image, mask = paint(self.plan(index), self.size)
        return {"image": np.array(image), "mask": np.array(mask)}

    def plan(self, index: int) -> Scene:
        """Returns what scene `index` shows, whatever its size in pixels."""
        draw = random.Random(f"{self.seed}/{self.split}/{int(index)}")
        return _plan(draw, PHOTOGRAPHS[self.split], self.max_objects)

    def __repr__(self) -> str:
        return (
            f"Scenes(split={self.split!r}, size={self.size}, length={self.length}, "
            f"seed={self.seed}, max_objects={self.max_objects})"
        )


def _plan(draw: random.Random, names: tuple[str, ...], max_objects: int) -> Scene:
    background = photographs.jittered(draw, photographs.random_crop(draw, names, 0.4))
    thumbnail = np.asarray(background.render(8, 8), float)
    weights = [draw.uniform(0.6, 1.4) for _ in range(draw.randint(1, max_objects))]
    cover = draw.uniform(0.2, 0.45) / sum(weights)
    others = tuple(name for name in names if name != background.name)
    items, centres = [], []
    for weight in weights:
        centres.append(_free_place(draw, centres))
        items.append(_item(draw, others, thumbnail, centres[-1], cover * weight))
    angle = draw.uniform(math.pi * 1.1, math.pi * 1.9)  # somewhere above
    light = math.cos(angle), math.sin(angle)
    return Scene(background, tuple(items), light)


def _free_place(draw: random.Random, taken: list[tuple[float, float]]) -> tuple[float, float]:
    """The best of a few random places: far from objects already there, which still may overlap."""
    places = [(draw.uniform(0.2, 0.8), draw.uniform(0.2, 0.8)) for _ in range(5)]
    return max(places, key=lambda p: min((math.dist(p, t) for t in taken), default=0))


def _item(
    draw: random.Random,
    textures: tuple[str, ...],
    thumbnail: np.ndarray,
    centre: tuple[float, float],
    share: float,
) -> Item:
    """A random object that covers about `share` of the image, in colours that stand out."""
    kind = draw.randrange(len(shapes.SHAPES))
    radius = min(math.sqrt(share / shapes.SHAPES[kind].area), 0.44)
    points = _bent(draw, shapes.SHAPES[kind].points) * radius
    room = radius * 0.85
    x, y = (min(max(place, room), 1 - room) for place in centre)
    colour = _standing_out(draw, thumbnail[int(8 * y), int(8 * x)])
    texture = photographs.random_crop(draw, textures, 0.15)
    return Item(
        kind,
        points + np.array((x, y)),
        photographs.tinted(texture, colour, draw.uniform(0.25, 0.7)),
        bottom=_turned(colour, draw.uniform(-0.12, 0.12), 0.7),
        accent=_turned(colour, draw.choice((0.12, 0.4, 0.5, 0.6, -0.12)), 1.0),
        ink=(250, 248, 240) if draw.random() < 0.35 else _turned(colour, 0, 0.22),
        relief=draw.uniform(0.35, 1),
    )


def _bent(draw: random.Random, points: np.ndarray) -> np.ndarray:
    """Turned, mirrored, stretched, sheared and slightly bent points; the area stays the same."""
    turn, stretch, shear = draw.uniform(-0.6, 0.6), draw.uniform(0.82, 1.22), draw.gauss(0, 0.1)
    cos, sin, mirror = math.cos(turn), math.sin(turn), draw.choice((-1, 1))
    x_goes = mirror * stretch * cos, mirror * stretch * sin
    y_goes = (shear * cos - sin) / stretch, (shear * sin + cos) / stretch
    x, y = points.T
    bent = np.stack([x + draw.gauss(0, 0.06) * (y * y - 0.5), y], axis=1)
    return bent @ np.array([x_goes, y_goes])


def _standing_out(draw: random.Random, ground: np.ndarray) -> Colour:
    """Of three vivid random colours, the one farthest from the colour of the background."""
    vivid = [
        colorsys.hsv_to_rgb(draw.random(), draw.uniform(0.65, 0.95), draw.uniform(0.75, 1))
        for _ in range(3)
    ]
    colours = [tuple(round(255 * channel) for channel in colour) for colour in vivid]
    return max(colours, key=lambda colour: math.dist(colour, ground))


def _turned(colour: Colour, hue: float, value: float) -> Colour:
    """The colour with its hue moved by `hue` turns and its brightness multiplied."""
    h, s, v = colorsys.rgb_to_hsv(*(channel / 255 for channel in colour))
    return tuple(round(255 * c) for c in colorsys.hsv_to_rgb((h + hue) % 1, s, min(v * value, 1)))


def paint(scene: Scene, size: int) -> tuple[Image.Image, Image.Image]:
    """Returns the scene as an RGB image and its mask as an "L" image, both `size` x `size`."""
    canvas = scene.background.render(size, size)
    mask = Image.new("L", (size, size))
    for item in scene.items:
        _paint_item(canvas, mask, item, scene)
    return canvas, mask


def _paint_item(canvas: Image.Image, mask: Image.Image, item: Item, scene: Scene) -> None:
    """Paints one object in a small box, then lays the box on the canvas and on the mask."""
    size = canvas.width
    margin = _MARGIN * size + 2
    left, top = np.floor(item.points.min(0) * size - margin).astype(int).tolist()
    right, bottom = np.ceil(item.points.max(0) * size + margin).astype(int).tolist()
    box = right - left, bottom - top
    cover, accent, ink = _raster(item, (left, top), box, size)

    soft = cover.filter(ImageFilter.BoxBlur(0.03 * size))
    away = [round(-0.045 * size * component) for component in scene.light]
    canvas.paste((8, 8, 20), (left + away[0], top + away[1]), soft.point(_SHADE))

    surface = item.texture.render(*box)
    surface.paste(item.bottom, mask=_FADE.resize(box, Image.Resampling.NEAREST))
    surface.paste(item.accent, mask=accent)
    _emboss(surface, soft, scene.light, item.relief, size)
    surface.paste(item.ink, mask=ImageChops.lighter(ink, _rim(cover, size)))

    canvas.paste(surface, (left, top), cover)
    mask.paste(item.kind + 1, (left, top), cover.point(_SOLID))


def _raster(
    item: Item, corner: tuple[int, int], box: tuple[int, int], size: int
) -> tuple[Image.Image, ...]:
    """Coverage, accents and ink of the object, 0..255, smoothed by drawing them larger."""
    fine = 4 if size <= 96 else 2
    points = (item.points * size - corner) * fine
    big = shapes.SHAPES[item.kind].raster(points, box[0] * fine, box[1] * fine)
    return big.reduce(fine).split()


def _rim(cover: Image.Image, size: int) -> Image.Image:
    """A line along the inside of the edge. A box blur turns the edge into a ramp of distances."""
    blur, line = _rim_ramp(size)
    return cover.filter(ImageFilter.BoxBlur(blur)).point(line)


@functools.cache
def _rim_ramp(size: int) -> tuple[float, tuple[int, ...]]:
    """The radius of the blur, and how much ink each of the 256 levels of the ramp takes."""
    width = max(_RIM * size, 1.0)
    blur = width + 0.5
    depths = ((level / 255 - 0.5) * (2 * blur + 1) for level in range(256))
    return blur, tuple(round(255 * min(max(width + 0.5 - depth, 0), 1)) for depth in depths)


def _emboss(
    surface: Image.Image, soft: Image.Image, light: tuple[float, float], relief: float, size: int
) -> None:
    """Lightens the edges that face the light and darkens the others."""
    x, y = (round(0.02 * size * component + math.copysign(0.5, component)) for component in light)
    toward, away = ImageChops.offset(soft, -x, -y), ImageChops.offset(soft, x, y)
    surface.paste((255, 255, 245), mask=ImageChops.subtract(away, toward, scale=1.6 / relief))
    surface.paste((10, 5, 30), mask=ImageChops.subtract(toward, away, scale=1.6 / relief))
