"""A white sheet for rows of images of one width, with labels: what the figures are drawn on."""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL = 160  # width of every image on a sheet, in pixels
GAP, WIDE_GAP, MARGIN = 6, 24, 28
TITLE, NAME, LABEL, NOTE = 28, 22, 19, 17  # letter sizes, in pixels
INK, MUTED, RULE, ACCENT = "#1b1f24", "#6b7280", "#e5e7eb", "#0072b2"


class Sheet:
    """A white sheet that grows with what is put on it; `y` is where the next line begins."""

    def __init__(self, title: str, names: Iterable[str]):
        self.drawn: list[Callable[[Image.Image, ImageDraw.ImageDraw], None]] = []
        self.width = self.height = 0
        self.y = MARGIN
        widths = [_font(NAME).getlength(part) for name in names for part in _lines(name)]
        self.left = MARGIN + math.ceil(max(widths, default=0)) + WIDE_GAP
        if title:
            self.text(MARGIN, self.y, title, TITLE, INK)
            self.y += 52

    def text(self, x, y, text, size, colour, anchor="la") -> None:
        """Writes one line; `anchor` says which point of it lies at (x, y), in Pillow's letters."""
        font = _font(size)
        _, _, right, bottom = font.getbbox(text, anchor=anchor)
        self._grow(x + right, y + bottom)
        self.drawn.append(lambda _, pen: pen.text((x, y), text, colour, font, anchor))

    def bar(self, x, y, width, colour) -> None:
        """Draws a thin horizontal bar to the right of (x, y)."""
        self._grow(x + width, y + 4)
        self.drawn.append(lambda _, pen: pen.rectangle((x, y, x + width - 1, y + 3), colour))

    def image(self, x, y, image) -> int:
        """Puts an image at (x, y) and returns its height in pixels."""
        image = _pixels(image)
        self._grow(x + image.width, y + image.height)
        self.drawn.append(lambda canvas, _: canvas.paste(image, (x, y)))
        return image.height

    def name(self, name: str) -> None:
        """Writes the name of a task in the left margin, beside the line that begins at `y`."""
        for i, part in enumerate(_lines(name)):
            self.text(self.left - WIDE_GAP, self.y + 2 + 28 * i, part, NAME, INK, "ra")

    def labels(self, labels: Sequence[str], colour: str) -> None:
        """Writes one label above each image of the line that follows."""
        for x, label in self.across(labels):
            self.text(x + CELL // 2, self.y, label, LABEL, colour, "ma")
        self.y += 30

    def across(self, things: Sequence, left: int | None = None):
        """Returns (x, thing) from left to right, one image width apart."""
        left = self.left if left is None else left
        return [(left + i * (CELL + GAP), thing) for i, thing in enumerate(things)]

    def save(self, path: str | Path) -> None:
        """Writes the sheet, as large as its contents and a margin, as PNG."""
        size = math.ceil(self.width) + MARGIN, math.ceil(self.height) + MARGIN
        canvas = Image.new("RGB", size, "white")
        pen = ImageDraw.Draw(canvas)
        for draw in self.drawn:
            draw(canvas, pen)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        canvas.save(path, optimize=True)

    def _grow(self, right, bottom) -> None:
        self.width, self.height = max(self.width, right), max(self.height, bottom)


def _lines(name: str) -> list[str]:
    first, *others = name.split("+")
    return [first, *(f"+ {other}" for other in others)]


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # The font that comes with matplotlib: the same letters on every machine.
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size)


def _pixels(image) -> Image.Image:
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(f"an image must be [H, W, 3], got {list(image.shape)}")
    if image.dtype != np.uint8:
        image = np.rint(np.nan_to_num(image.astype(np.float32)).clip(0, 1) * 255).astype(np.uint8)
    # Lanczos keeps small photographs crisp; whole pixels would look like a mosaic.
    height = round(CELL * image.shape[0] / image.shape[1])
    return Image.fromarray(image).resize((CELL, height), Image.Resampling.LANCZOS)
