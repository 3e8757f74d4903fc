"""Files as visitors might upload them, good and bad, the same for the same seed."""

import io
import random
import struct
import zlib

import numpy as np
from PIL import Image

from tests.inference.bad_images import bombs, damaged, never, whole


def image(rng, size, mode="RGB", form="PNG", **options) -> bytes:
    """An image file of noise. size: (width, height)."""
    pixels = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
    picture = Image.fromarray(pixels)
    if mode == "I;16":
        picture = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    elif mode == "P":
        picture, options = picture.quantize(16), {"transparency": 3, **options}
    elif mode == "LAB":
        picture = Image.frombytes("LAB", size, pixels.tobytes())
    elif mode in ("RGBA", "LA"):
        picture.putalpha(Image.fromarray(pixels[..., 1]))
        picture = picture.convert(mode)
    else:
        picture = picture.convert(mode)
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def huge(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header says that it is as large."""

    def chunk(kind, content):
        summed = kind + content
        return struct.pack(">I", len(content)) + summed + struct.pack(">I", zlib.crc32(summed))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def uploads(seed: int, count: int) -> list[bytes]:
    """Files in any order, good and bad, as `predict` is tried on them."""
    every = [x for files in (never(), bombs(), whole()) for x in files.values()]
    every += [data for _, data in damaged(count, seed)]
    return random.Random(seed).sample(every, count)
