"""Files that claim to be images: damaged, odd and hostile ones, the same for the same seed."""

import functools
import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageCms

Rng = np.random.Generator


def _saved(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _picture(mode: str, size: tuple[int, int] = (24, 17)) -> Image.Image:
    """Noise in any of Pillow's modes."""
    rng = np.random.default_rng(len(mode) + size[0])
    if mode in ("I", "I;16"):
        pixels = rng.integers(0, 65536, size[::-1]).astype(np.int32 if mode == "I" else np.uint16)
        return Image.fromarray(pixels)
    if mode == "F":
        return Image.fromarray(rng.random(size[::-1], np.float32))
    noise = Image.fromarray(rng.integers(0, 256, (*size[::-1], 4), np.uint8))
    if mode in ("LAB", "CMYK"):
        return Image.merge(mode, noise.split()[: len(mode)])
    return noise if mode == "RGBA" else noise.convert("RGB").convert(mode)


def _frames(kind: str) -> bytes:
    more = [Image.new("RGB", (24, 17), colour) for colour in ("blue", "green")]
    return _saved(_picture("RGB"), kind, save_all=True, append_images=more)


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "a camera"
    return exif


@functools.cache
def whole() -> dict[str, bytes]:
    """Name -> one sound file of every kind that is read."""
    rgb = _picture("RGB")
    files = {
        f"{mode.lower().replace(';', '_')}.{kind.lower()}": _saved(_picture(mode), kind)
        for kind, modes in {
            "PNG": ("1", "L", "P", "LA", "RGB", "RGBA", "I;16"),
            "JPEG": ("L", "RGB", "CMYK"),
            "WEBP": ("RGB", "RGBA"),
            "BMP": ("1", "L", "P", "RGB", "RGBA"),
            "GIF": ("1", "L", "P", "RGB"),
            "TIFF": ("1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "I", "I;16"),
            "PPM": ("1", "L", "RGB", "I;16"),
        }.items()
        for mode in modes
    }
    for name in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg", "tiff_adobe_deflate"):
        files[f"{name}.tif"] = _saved(rgb, "TIFF", compression=name)
    files["group4.tif"] = _saved(_picture("1"), "TIFF", compression="group4")
    for kind in ("PNG", "GIF", "WEBP", "TIFF"):
        files[f"frames.{kind.lower()}"] = _frames(kind)
    for orientation in (*range(9), 99, 65535):
        files[f"turned_{orientation}.jpg"] = _saved(rgb, "JPEG", exif=_exif(orientation))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    raw = b"Raw profile type exif\0\nexif\n 4\nno hex"
    files |= {
        "clear.png": _saved(_picture("P"), "PNG", transparency=bytes(range(256))),
        "clear_colour.png": _saved(rgb, "PNG", transparency=(1, 2, 3)),
        "clear_gray.png": _saved(_picture("L"), "PNG", transparency=7),
        "clear_wide.png": _saved(_picture("I;16"), "PNG", transparency=7),
        "progressive.jpg": _saved(rgb, "JPEG", progressive=True),
        "exif.webp": _saved(rgb, "WEBP", exif=_exif(6)),
        "exif.png": _saved(rgb, "PNG", exif=_exif(8)),
        "lab.tif": _saved(_picture("LAB"), "TIFF"),
        "lossless.webp": _saved(rgb, "WEBP", lossless=True),
        "thin.png": _saved(_picture("RGB", (1, 200)), "PNG"),
        "flat.bmp": _saved(_picture("RGB", (200, 1)), "BMP"),
        "dot.gif": _saved(_picture("P", (1, 1)), "GIF"),
        "profile.jpg": _saved(rgb, "JPEG", icc_profile=profile),
        "profile.tif": _saved(rgb, "TIFF", icc_profile=profile),
        "profile_gray.png": _saved(_picture("LA"), "PNG", icc_profile=profile),
        "profile_none.png": _saved(rgb, "PNG", icc_profile=b"no profile"),
        "profile_long.jpg": _saved(rgb, "JPEG", icc_profile=b"\0" * 200_000),
        "exif_none.jpg": _saved(rgb, "JPEG", exif=b"Exif\0\0no exif"),
        "exif_cut.png": _saved(rgb, "PNG", exif=_exif(6).tobytes()[:25]),
        "exif_hex.png": _png(8, 8, zlib.compress(b"\0" * 72), (b"tEXt", raw)),
        "exif_loop.jpg": _saved(rgb, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\x08\0\0\0"),
        "wrong.jpg": _saved(rgb, "PNG"),
        "wrong.png": _saved(rgb, "JPEG"),
        "wrong.gif": _saved(rgb, "TIFF"),
        "trailing.png": _saved(rgb, "PNG") + b"\0junk" * 100,
    }
    return files


def never() -> dict[str, bytes]:
    """Name -> a file that is no image that is read, each for a reason of its own."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        folder.writestr("a.png", whole()["rgb.png"])
    texts = {
        "empty": b"",
        "newline": b"\n",
        "zeros": b"\0" * 5000,
        "ones": b"\xff" * 5000,
        "text": b"no image at all\n",
        "wide": "kein Bild".encode("utf-16"),
        "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "xml": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>',
        "json": b'{"image": "none"}',
        "zip": archive.getvalue(),
        "pickle": pickle.dumps({"a": np.zeros(3)}),
        "npy": b"\x93NUMPY\x01\0v\0{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n",
        "ps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n",
        "pdf": b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n",
        "elf": b"\x7fELF\x02\x01\x01" + b"\0" * 60,
        "video": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0" * 60,
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 60,
        "avif": b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + b"\0" * 60,
        "ico": b"\0\0\1\0\1\0" + b"\x10" * 40,
        "xbm": b"#define a_width 8\n#define a_height 8\nstatic char a_bits[] = {0};\n",
        "float": _saved(_picture("F"), "TIFF"),
        "pfm": b"PF\n2 2\n-1.0\n" + b"\0" * 48,
        "nothing": _gif(0, 0),
        "narrow": _gif(0, 7),
        "flat": _ppm(9, 0),
        "minus": b"P6\n-3 -3\n255\n" + b"\0" * 27,
    }
    magic = {"png": b"\x89PNG\r\n\x1a\n", "jpg": b"\xff\xd8\xff\xe0", "gif": b"GIF89a"}
    magic |= {"bmp": b"BM", "webp": b"RIFF\0\0\0\0WEBP", "tif": b"II*\0", "ppm": b"P6"}
    files = {f"{name}.png": data for name, data in texts.items()}
    for suffix, start in magic.items():
        files[f"start.{suffix}"] = start
        files[f"filled.{suffix}"] = start + b"\0" * 200
        files[f"raised.{suffix}"] = start + b"\xff" * 200
    return files


@functools.cache
def bombs() -> dict[str, bytes]:
    """Name -> a small file that would fill the memory when decoded, or says so."""
    side, tile = 50_000, 40_000
    comment = b"Comment\0\0" + zlib.compress(b"a" * 80_000_000, 1)
    head = struct.pack("<IIIIiiHHIIiiII", 99, 0, 54, 40, side, side, 1, 24, *[0] * 6)
    little = zlib.compress(b"\0" * 1000)
    return {
        "real.png": _png(side, side, _zeros(side * (side + 1))),
        "square.png": _png(10_000, 10_000, _zeros(10_000 * 10_001)),
        "tile.tif": _tiff(16, 16, _zeros(tile * tile), {322: tile, 323: tile}),
        "strips.tif": _tiff(side, side, _zeros(side * side), {278: side}),
        "claims.png": _png(2**31 - 1, 2**31 - 1, b""),
        "line.png": _png(2**31 - 1, 1, b""),
        "wide.gif": _gif(65_535, 65_535),
        "wide.ppm": _ppm(99_999, 99_999),
        "digits.ppm": b"P6\n" + b"9" * 5000 + b" 9\n255\n",
        "wide.bmp": b"BM" + head,
        "wide.jpg": _jpeg(65_500, 65_500),
        "scans.jpg": _scans(1000),
        "wide.webp": _webp(16_383, 16_383),
        "tiles.tif": _tiff(16, 16, little, {322: 2**32 - 16, 323: 2**32 - 16}),
        "text.png": _png(8, 8, zlib.compress(b"\0" * 72), (b"zTXt", comment)),
        "profile.png": _png(8, 8, zlib.compress(b"\0" * 72), (b"iCCP", comment)),
    }


def _zeros(count: int) -> bytes:
    """What zlib makes of so many zeros, without that many zeros."""
    step, rest = 1_000_000, zlib.compressobj(9, zlib.DEFLATED, -15)
    first, again = zlib.compressobj(9), zlib.compressobj(9, zlib.DEFLATED, -15)
    head = first.compress(b"\0" * step) + first.flush(zlib.Z_FULL_FLUSH)
    body = again.compress(b"\0" * step) + again.flush(zlib.Z_FULL_FLUSH)
    tail = rest.compress(b"\0" * (count % step)) + rest.flush()
    adler = (count % 65_521) << 16 | 1
    return head + body * (count // step - 1) + tail + struct.pack(">I", adler)


def _png(width: int, height: int, data: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """Gray pixels of 8 bits; more: chunks before the pixels."""
    head = b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = (head, *more, (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


def _gif(width: int, height: int) -> bytes:
    frame = b",\0\0\0\0" + struct.pack("<HHB", width, height, 0) + b"\x02\x02\x4c\x01\0;"
    return (
        b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + frame
    )


def _ppm(width: int, height: int) -> bytes:
    return b"P6\n%d %d\n255\n" % (width, height) + b"\0" * 30


def _jpeg(width: int, height: int) -> bytes:
    data = whole()["rgb.jpeg"]
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def _scans(count: int) -> bytes:
    """A JPEG that says its last scan again and again."""
    data = _saved(Image.new("L", (1000, 1000), 128), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xc4", 0, data.rindex(b"\xff\xda"))  # with its table
    return data[:-2] + data[last:-2] * count + data[-2:]


def _webp(width: int, height: int) -> bytes:
    frame = whole()["rgb.webp"][12:]
    size = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<II", 10, 0) + size + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _tiff(width: int, height: int, data: bytes, more: dict[int, int]) -> bytes:
    """Deflated gray pixels of 8 bits; more: tags and their numbers."""
    tags = {256: width, 257: height, 258: 8, 259: 8, 262: 1, 277: 1, 273: 0, 279: len(data), **more}
    if 322 in tags:
        tags[324], tags[325] = tags.pop(273), tags.pop(279)
    place = 8 + 2 + 12 * len(tags) + 4
    tags = {tag: place if tag in (273, 324) else number for tag, number in tags.items()}
    table = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + table + b"\0\0\0\0" + data


def _cut(data: bytearray, rng: Rng) -> bytes:
    return data[: rng.integers(0, len(data))]


def _flip(data: bytearray, rng: Rng) -> bytes:
    for place in rng.integers(0, len(data), rng.integers(1, 9)):
        data[place] ^= int(rng.integers(1, 256))
    return data


def _flip_head(data: bytearray, rng: Rng) -> bytes:
    for place in rng.integers(0, min(len(data), 64), rng.integers(1, 5)):
        data[place] = int(rng.choice([0, 1, 127, 128, 255]))
    return data


def _blank(data: bytearray, rng: Rng) -> bytes:
    start, size = rng.integers(0, len(data)), rng.integers(1, 64)
    data[start : start + size] = bytes([rng.choice([0, 255])]) * len(data[start : start + size])
    return data


def _insert(data: bytearray, rng: Rng) -> bytes:
    start = rng.integers(0, len(data))
    return data[:start] + rng.bytes(rng.integers(1, 64)) + data[start:]


def _lose(data: bytearray, rng: Rng) -> bytes:
    start = rng.integers(0, len(data))
    return data[:start] + data[start + rng.integers(1, 64) :]


def _swap(data: bytearray, rng: Rng) -> bytes:
    """The second half of another kind of file."""
    other = list(whole().values())[rng.integers(0, 40)]
    return data[: len(data) // 2] + other[len(other) // 2 :]


DAMAGES: tuple[Callable[[bytearray, Rng], bytes], ...] = (
    *(_cut, _flip, _flip_head, _blank, _insert, _lose, _swap),
)


def damaged(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """`count` sound files with one damage each."""
    rng, sound = np.random.default_rng(seed), sorted(whole().items())
    for i in range(count):
        name, data = sound[i % len(sound)]
        act = DAMAGES[rng.integers(len(DAMAGES))]
        yield f"{i}_{act.__name__}_{name}", bytes(act(bytearray(data), rng))
