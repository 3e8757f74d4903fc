"""What an image may cost: small files can ask for any amount of memory and time.

Asked of a file whose header was read and whose pixels were not.
"""

import re

from PIL import Image

from taskfusion_jax.errors import UserError

MOST_PIXELS = 89_478_485
"""Of an image; Pillow's own limit, of which it only warns."""
MOST_BYTES = 8 * MOST_PIXELS
"""Of a file; as many as four channels of 16 bits take."""
MOST_SCANS = 100
"""Of a progressive JPEG: 50 bytes are enough to go over all pixels once more. Usual are ten."""
MOST_SEGMENTS = 100_000
"""Of a JPEG; each is looked at before its pixels are. Usual are twenty, of large photographs some
hundreds."""
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_TILE_WIDTH, _TILE_LENGTH = 322, 323


def check_cost(image: Image.Image, data: bytes, name: str, most: float = MOST_PIXELS) -> None:
    """Raises UserError where decoding would take more than an image may; data: of the file, most:
    pixels that it may have, `MOST_PIXELS` at most."""
    most = min(most, MOST_PIXELS)
    if max(image.width * image.height, _tile(image)) > most:
        raise too_large(name, most)
    if image.format in ("JPEG", "MPO"):
        _check_segments(data, name)


def too_large(name: str, most: float = MOST_PIXELS) -> UserError:
    """The error for an image of too many pixels."""
    return UserError(
        f"{name} has more than {most / 1e6:.3g} million pixels: make it smaller or remove it"
    )


def _tile(image: Image.Image) -> int:
    """Pixels of a TIFF's tile, which is decoded whole, however small the image is."""
    tags = getattr(image, "tag_v2", {})
    return int(tags.get(_TILE_WIDTH, 0)) * int(tags.get(_TILE_LENGTH, 0))


def _check_segments(data: bytes, name: str) -> None:
    """Raises UserError where a JPEG goes over its pixels too often. Its other segments are skipped,
    as photographs and videos stand in some, and what follows its end is not looked at."""
    scans, segments, place = 0, 0, 2
    while (found := _MARKER.search(data, place)) and found[1] != b"\xd9":
        scans, segments = scans + (found[1] == b"\xda"), segments + 1
        if scans > MOST_SCANS or segments > MOST_SEGMENTS:
            raise UserError(
                f"{name} is a JPEG of more than {MOST_SCANS} scans or {MOST_SEGMENTS:,} segments: "
                "save it again or remove it"
            )
        place = found.end() + int.from_bytes(data[found.end() : found.end() + 2])
