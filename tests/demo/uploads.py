"""Files as visitors might upload them, good and bad, the same for the same seed."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

KINDS = (
    *(("RGB", form) for form in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")),
    *(("L", "PNG"), ("L", "JPEG"), ("1", "PNG"), ("P", "PNG"), ("P", "GIF"), ("LA", "PNG")),
    *(("RGBA", "PNG"), ("RGBA", "WEBP"), ("RGBA", "TIFF"), ("CMYK", "JPEG"), ("CMYK", "TIFF")),
    *(("I;16", "PNG"), ("I;16", "TIFF"), ("F", "TIFF"), ("YCbCr", "JPEG"), ("LAB", "TIFF")),
)
NO_IMAGES = (
    b"\0",
    b"\0" * 5000,
    b"not an image",
    "größe ✓ ../../etc/passwd".encode(),
    b"<svg xmlns='http://www.w3.org/2000/svg'><rect width='9' height='9'/></svg>",
    b"<html><script>alert(1)</script></html>",
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(hello) print\n",
    b"%PDF-1.7\n",
    b"PK\x03\x04" + b"\0" * 40,
    b"\xff\xd8\xff",
    b"GIF89a",
    b"RIFF\x20\0\0\0WEBPVP8X",
    b"II*\0\x08\0\0\0\xff\xff",
    b"P6 99999 99999 255\n",
    b"P5\n1 1\n65535\n\0",
    b"BM" + struct.pack("<IHHIIiiHHIIiiII", 60, 0, 0, 54, 40, 65535, 65535, 1, 24, *(0,) * 6),
)
SIZES = ((1, 1), (1, 70), (150, 1), (2, 3), (33, 32), (40, 64), (64, 64), (90, 31))


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


def animation(rng) -> bytes:
    """A GIF of three frames, the later ones smaller."""
    first, *rest = (
        Image.fromarray(rng.integers(0, 256, (20 - 5 * i, 30, 3), np.uint8)) for i in range(3)
    )
    file = io.BytesIO()
    first.save(file, "GIF", save_all=True, append_images=rest)
    return file.getvalue()


def damaged(rng, data: bytes) -> bytes:
    """Cut off, with bytes changed, or with others in front or behind."""
    how, place = rng.integers(4), int(rng.integers(1, len(data)))
    if how == 0:
        return data[:place]
    if how == 1:
        changed = bytearray(data)
        for _ in range(int(rng.integers(1, 20))):
            changed[int(rng.integers(len(data)))] = int(rng.integers(256))
        return bytes(changed)
    noise = rng.bytes(int(rng.integers(1, 200)))
    return noise + data if how == 2 else data[:place] + noise


def uploads(seed: int, count: int):
    """Files, one after another: about a third are whole images."""
    rng = np.random.default_rng(seed)
    some = [*NO_IMAGES, huge(70000, 70000), huge(9000, 9000), huge(0, 5), huge(2**31 - 1, 1), b""]
    for i in range(count):
        if i < len(some):
            yield some[i]
            continue
        mode, form = KINDS[i % len(KINDS)]
        data = image(rng, SIZES[int(rng.integers(len(SIZES)))], mode, form)
        data = animation(rng) if i % 17 == 0 else data
        yield data if i % 3 == 0 else damaged(rng, data)
