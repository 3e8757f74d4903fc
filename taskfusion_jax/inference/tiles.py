"""Images of any size for a network that wants sides of a certain multiple, in bounded memory.

An image is filled up at its right and bottom by reflection and cut back afterwards. One that is
larger than a tile is cut into tiles that overlap, whose outputs are blended into each other.
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

STEP = 32
"""Sides are filled up to multiples of it, so that few shapes are compiled."""


@dataclasses.dataclass(frozen=True)
class Tiling:
    """How images are cut.

    Attributes:
      multiple: what the network's sides must be a multiple of.
      tile: side of the largest piece, in pixels.
      overlap: pixels that neighbouring tiles have in common, at least.
    """

    multiple: int
    tile: int = 2048
    overlap: int = 64

    @property
    def step(self) -> int:
        """What the sides of pieces are a multiple of."""
        return math.lcm(self.multiple, STEP)

    def piece(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the pieces of an image."""
        return self._side(height), self._side(width)

    def _side(self, side: int) -> int:
        """As few pieces as go, and these as small as so few can be."""
        most = max(self.tile // self.step, 1) * self.step
        overlap = min(self.overlap, most // 2)
        count = 1 + max(-(-(side - most) // (most - overlap)), 0)
        even = -(-(side + (count - 1) * overlap) // count)
        return min(-(-even // self.step) * self.step, most)

    def places(self, height: int, width: int) -> list[tuple[int, int]]:
        """Top left corners of the pieces of an image, row by row; they cover all of it."""
        tall, wide = self.piece(height, width)
        tops, lefts = self._starts(height, tall), self._starts(width, wide)
        return [(top, left) for top in tops for left in lefts]

    def _starts(self, side: int, piece: int) -> list[int]:
        if side <= piece:
            return [0]
        overlap = min(self.overlap, piece // 2)
        count = 1 + -(-(side - piece) // (piece - overlap))
        return np.linspace(0, side - piece, count).round().astype(int).tolist()

    def shares(self, side: int, piece: int) -> dict[int, np.ndarray]:
        """Start of a piece -> its weight at each of its pixels along one side, rising from a
        neighbour and falling towards one; at every pixel the weights add up to 1."""
        overlap = min(self.overlap, piece // 2)
        rise = (np.arange(overlap, dtype=np.float32) + 1) / (overlap + 1)
        total, ramps = np.zeros(side, np.float32), {}
        for start in self._starts(side, piece):
            ramp = np.ones(piece, np.float32)
            if start > 0:
                ramp[:overlap] = rise
            if start + piece < side:
                ramp[piece - overlap :] = np.minimum(ramp[piece - overlap :], rise[::-1])
            ramps[start] = ramp[: side - start]
            total[start : start + piece] += ramps[start]
        return {start: ramp / total[start : start + piece] for start, ramp in ramps.items()}

    def cut(self, image: np.ndarray) -> Iterator[np.ndarray]:
        """The pieces of an image [H, W, C], each [piece height, piece width, C]."""
        tall, wide = self.piece(*image.shape[:2])
        for top, left in self.places(*image.shape[:2]):
            part = image[top : top + tall, left : left + wide]
            yield _filled(part, tall, wide)


class Canvas:
    """Puts the outputs of an image's pieces together again."""

    def __init__(self, tiling: Tiling, height: int, width: int, scores: bool = False):
        """height, width: of the image; scores: it is done as one piece and what comes out is no
        image, but [C]."""
        self.pixels = height * width
        tall, wide = tiling.piece(height, width)
        self._rows = {} if scores else tiling.shares(height, tall)
        self._columns = {} if scores else tiling.shares(width, wide)
        self._places = [(0, 0)] if scores else tiling.places(height, width)
        self._size, self._made, self._next = (height, width), None, 0

    @property
    def whole(self) -> bool:
        """Whether every piece was put in place."""
        return self._next == len(self._places)

    def put(self, piece: np.ndarray) -> None:
        """The output of the next piece, in the order of `Tiling.cut`; [h, w, C]."""
        top, left = self._places[self._next]
        self._next += 1
        if piece.ndim == 1:
            self._made = piece
            return
        if self._made is None:
            self._made = np.zeros((*self._size, piece.shape[-1]), np.float32)
        rows, columns = self._rows[top], self._columns[left]
        part = self._made[top : top + len(rows), left : left + len(columns)]
        share = rows[:, None, None] * columns[None, :, None]
        part += share * piece[: len(rows), : len(columns)]

    def image(self) -> np.ndarray:
        """The whole output, float32 [H, W, C], or [C] of scores."""
        return self._made


def _filled(part: np.ndarray, height: int, width: int) -> np.ndarray:
    """Reflected at the right and the bottom up to a size; [h, w, C]."""
    lacking = height - part.shape[0], width - part.shape[1]
    return np.pad(part, ((0, lacking[0]), (0, lacking[1]), (0, 0)), mode="reflect")
