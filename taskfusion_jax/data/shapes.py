"""Twenty vector shapes, each a list of polygons painted in order.

Coordinates are those of an image: x to the right, y down, all within about [-1, 1].
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

# What a polygon does, written as the colour it is rastered with: the channels of the raster
# are (coverage, accent, ink).
# Accents stay a little transparent, so that the texture of the object shows through.
BODY, HOLE, ACCENT, INK = (255, 0, 0), (0, 0, 0), (255, 217, 0), (255, 0, 255)


@dataclasses.dataclass(frozen=True)
class Shape:
    """A named shape.

    layers: one of BODY, HOLE, ACCENT, INK per polygon.
    ends: index after the last point of each polygon.
    points: float64 [N, 2], the points of all polygons one after the other.
    """

    name: str
    layers: tuple[tuple[int, int, int], ...]
    ends: tuple[int, ...]
    points: np.ndarray

    def raster(self, points: np.ndarray, width: int, height: int) -> Image.Image:
        """Paints the shape, its points moved to `points` [N, 2] in pixels, without smoothing.

        Returns an RGB image whose channels are coverage, accent and ink.
        """
        image = Image.new("RGB", (width, height))
        pen = ImageDraw.Draw(image)
        flat, start = points.ravel().tolist(), 0
        for layer, end in zip(self.layers, self.ends, strict=True):
            pen.polygon(flat[2 * start : 2 * end], fill=layer)
            start = end
        return image

    @functools.cached_property
    def area(self) -> float:
        """Area covered, in square units."""
        points = (self.points + 1.25) * 100
        return float(np.asarray(self.raster(points, 250, 250))[..., 0].mean() / 255 * 2.5**2)


def _arc(x, y, rx, ry, start=0.0, stop=360.0, count=28) -> list[tuple[float, float]]:
    """Points on an ellipse; degrees run clockwise from the right, as the image shows it."""
    angles = np.radians(np.linspace(start, stop, count))
    return [(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles]


def _box(left, top, right, bottom) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _wheel(radii: Sequence[float], turns: Sequence[float]) -> list[tuple[float, float]]:
    """Points at the given radii and turns (1 = full circle, 0 = up)."""
    return [
        (r * math.sin(2 * math.pi * t), -r * math.cos(2 * math.pi * t))
        for r, t in zip(radii, turns, strict=True)
    ]


def _star() -> list[tuple[float, float]]:
    return _wheel([1, 0.45] * 5, [k / 10 for k in range(10)])


def _gear() -> list[tuple[float, float]]:
    tooth = ((0.72, -0.034), (1.0, -0.024), (1.0, 0.024), (0.72, 0.034))
    corners = [(radius, k / 8 + turn) for k in range(8) for radius, turn in tooth]
    return _wheel(*zip(*corners, strict=True))


def _heart() -> list[tuple[float, float]]:
    turns = np.linspace(0, 2 * math.pi, 36, endpoint=False)
    return [
        (
            math.sin(t) ** 3,
            -0.1 - 0.81 * math.cos(t) + 0.31 * math.cos(2 * t) + 0.125 * math.cos(3 * t)
            + 0.06 * math.cos(4 * t),
        )
        for t in turns
    ]  # fmt: skip


def _lens(x, y, half_length, half_width) -> list[tuple[float, float]]:
    """A pointed oval, tips left and right."""
    along = np.linspace(-1, 1, 14)
    upper = [(x + half_length * a, y - half_width * (1 - a * a)) for a in along]
    return upper + [(px, 2 * y - py) for px, py in reversed(upper[1:-1])]


def _umbrella() -> list[tuple[float, float]]:
    scallops = []
    for x in (0.667, 0.0, -0.667):
        scallops += _arc(x, 0.1, 0.333, 0.16, 0, -180, 8)
    return _arc(0, 0.1, 1, 0.95, 180, 360) + scallops


_ARROW = [(-1, -0.3), (0.1, -0.3), (0.1, -0.8), (1, 0), (0.1, 0.8), (0.1, 0.3), (-1, 0.3)]
_BOLT = [(0.15, -1), (-0.6, 0.15), (-0.08, 0.15), (-0.3, 1), (0.6, -0.25), (0.08, -0.25), (0.5, -1)]
_BOTTLE = [
    *((-0.15, -0.85), (0.15, -0.85), (0.15, -0.45)),
    *_arc(0.15, -0.15, 0.25, 0.3, -60, 0, 6),
    *((0.4, 0.95), (-0.4, 0.95)),
    *_arc(-0.15, -0.15, 0.25, 0.3, 180, 240, 6),
    (-0.15, -0.45),
]
_HOOK = _arc(0.19, 0.78, 0.25, 0.22, 180, 0, 10) + _arc(0.19, 0.78, 0.11, 0.09, 0, 180, 8)
_CRESCENT = _arc(0, 0, 1, 1, 40, 320) + _arc(0.37, 0, 0.76, 0.76, 302, 58)

_PARTS = {
    "circle": [(BODY, _arc(0, 0, 1, 1)), (ACCENT, _arc(0, 0, 0.42, 1))],
    "square": [(BODY, _box(-0.9, -0.9, 0.9, 0.9)), (ACCENT, _box(-0.5, -0.5, 0.5, 0.5))],
    "triangle": [(BODY, _wheel([1, 1, 1], [0, 1 / 3, 2 / 3]))],
    "star": [(BODY, _star())],
    "heart": [(BODY, _heart())],
    "crescent": [(BODY, _CRESCENT)],
    "cross": [(BODY, _box(-0.34, -1, 0.34, 1)), (BODY, _box(-1, -0.34, 1, 0.34))],
    "arrow": [(BODY, _ARROW)],
    "ring": [(BODY, _arc(0, 0, 1, 1, count=36)), (HOLE, _arc(0, 0, 0.52, 0.52))],
    "gear": [(BODY, _gear()), (ACCENT, _arc(0, 0, 0.5, 0.5)), (HOLE, _arc(0, 0, 0.32, 0.32))],
    "leaf": [
        (BODY, _lens(-0.1, 0, 0.9, 0.52)),
        (INK, _box(-0.75, -0.03, 1.0, 0.03)),
        *((INK, [(x, 0), (x + 0.06, 0), (x - 0.22, s * 0.3)]) for x in (0, 0.4) for s in (-1, 1)),
    ],
    "fish": [
        (ACCENT, [(0.4, 0), (1, -0.55), (0.86, 0), (1, 0.55)]),
        (ACCENT, [(-0.3, -0.3), (0.2, -0.75), (0.35, -0.2)]),
        (BODY, _arc(-0.25, 0, 0.78, 0.48)),
        (INK, _arc(-0.62, -0.12, 0.09, 0.09, count=12)),
        (INK, _arc(-0.42, 0, 0.16, 0.34, -60, 60, 8) + _arc(-0.42, 0, 0.09, 0.34, 60, -60, 8)),
    ],
    "house": [
        (BODY, _box(0.32, -0.85, 0.58, -0.2)),
        (BODY, _box(-0.72, -0.15, 0.72, 0.9)),
        (ACCENT, [(-1, -0.1), (0, -0.95), (1, -0.1)]),
        (INK, _box(-0.45, 0.3, -0.08, 0.9)),
        (INK, _box(0.2, 0.2, 0.5, 0.5)),
    ],
    "cup": [
        (BODY, _arc(0.5, -0.05, 0.5, 0.45)),
        (HOLE, _arc(0.52, -0.05, 0.27, 0.24)),
        (BODY, [(-0.85, -0.75), (0.6, -0.75), *_arc(0.1, 0.4, 0.35, 0.45, 0, 90, 7),
                *_arc(-0.35, 0.4, 0.35, 0.45, 90, 180, 7)]),
        (ACCENT, [(-0.83, -0.4), (0.57, -0.4), (0.53, 0), (-0.78, 0)]),
    ],
    "bottle": [
        (BODY, _BOTTLE), (ACCENT, _box(-0.4, 0.1, 0.4, 0.65)), (INK, _box(-0.19, -1, 0.19, -0.75)),
    ],
    "umbrella": [
        (BODY, _box(-0.06, -1, 0.08, 0.8)),
        (BODY, _HOOK),
        (BODY, _umbrella()),
        (ACCENT, [(0, -0.85), *_arc(0, 0.1, 0.333, 0.16, 0, -180, 8)]),
    ],
    "mushroom": [
        (ACCENT, [(-0.26, 0), (0.26, 0), (0.36, 0.95), (-0.36, 0.95)]),
        (BODY, _arc(0, 0.12, 1, 1, 180, 360)),
        *((ACCENT, _arc(x, y, r, r, count=14))
          for x, y, r in ((-0.45, -0.25, 0.16), (0.1, -0.5, 0.2), (0.55, -0.12, 0.14))),
    ],
    "cloud": [
        (BODY, _arc(-0.55, 0.15, 0.42, 0.38)), (BODY, _arc(0.55, 0.12, 0.45, 0.41)),
        (BODY, _arc(0, -0.15, 0.52, 0.5)), (BODY, _box(-0.55, 0.0, 0.55, 0.53)),
    ],
    "bolt": [(BODY, _BOLT)],
    "tree": [
        (ACCENT, _box(-0.17, 0.4, 0.17, 1)),
        *((BODY, [(0, top), (w, top + h), (-w, top + h)])
          for top, w, h in ((-0.35, 0.8, 0.95), (-0.7, 0.65, 0.8), (-1, 0.5, 0.65))),
    ],
}  # fmt: skip


def _shape(name: str) -> Shape:
    layers, polygons = zip(*_PARTS[name], strict=True)
    ends = np.cumsum([len(polygon) for polygon in polygons])
    points = np.concatenate([np.asarray(polygon, float) for polygon in polygons])
    return Shape(name, layers, tuple(ends.tolist()), points)


SHAPES = tuple(_shape(name) for name in _PARTS)
"""The classes in order: a mask holds 1 + the index of the shape, 0 for the background."""
