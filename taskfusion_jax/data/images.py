"""Reading image and mask files of any kind into the two arrays that every source yields.

An image becomes uint8 [H, W, 3] RGB in 0..255. A mask becomes uint8 [H, W] with class ids
0..classes-1 and 255 = void. Whatever is wrong with a file ends in one `UserError` that names it.
"""

import contextlib
import io
import math
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from taskfusion_jax.data.limits import MOST_BYTES, check_cost, too_large
from taskfusion_jax.errors import UserError

VOID = 255
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
_LONGEST = 16
"""How many times as long as wide an image may be that is enlarged."""
# Only these decoders: some of Pillow's others start external programs.
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
_WIDE_GRAY = ("I", "I;16", "I;16B", "I;16L", "I;16N")
# Pillow's warnings name no file; a filter around each image would not be safe in threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_image(path: str | os.PathLike, min_side: int = 0) -> np.ndarray:
    """Reads an image file as uint8 [H, W, 3] RGB.

    EXIF orientation is applied, transparency is laid on white, CMYK and palette colours become
    RGB, 16-bit gray is scaled from 0..65535 to 0..255, and an animation gives its first frame.

    Raises:
      UserError: the file is missing, empty, no plain file, damaged, no image, more than
        an image may be (see `data.limits`), or has a side shorter than `min_side`.
    """
    image = decode_image(_read_bytes(path), str(path))
    check_sides(image, str(path), min_side)
    return image


def read_picture(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads an image file as `read_image` does, for people rather than for training: colours of an
    embedded profile become sRGB, and what is transparent is told.

    Returns:
      uint8 [H, W, 3] RGB, laid on white, and uint8 [H, W, 4] RGBA, None where all is opaque.

    Raises:
      UserError: as `read_image`.
    """
    return decode_picture(_read_bytes(path), str(path))


def decode_picture(
    data: bytes, name: str, most: float = math.inf
) -> tuple[np.ndarray, np.ndarray | None]:
    """Decodes the bytes of an image file as `read_picture` does; `name` is used in errors, and an
    image of more than `most` pixels is refused before it is decoded."""
    image = _decode(data, name, most)
    with _telling(f"{name} cannot be converted to RGB", "save it as a PNG of 8 bits"):
        image = _srgb(_turned(image))
        if not image.has_transparency_data:
            return _rgb(image), None
        image = image.convert("RGBA")
        rgba = np.asarray(image)
        return _rgb(image), None if rgba[..., 3].min() == 255 else rgba


def _turned(image: Image.Image) -> Image.Image:
    """As the camera says; damaged notes of it are as none."""
    with contextlib.suppress(Exception):  # they raise a dozen types
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _srgb(image: Image.Image) -> Image.Image:
    """In sRGB, where a profile says what the colours are; a broken one is as none."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode in ("F", *_WIDE_GRAY):
        return image
    if image.has_transparency_data or image.mode == "P":  # which would be lost with the old mode
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    mode = "RGBA" if image.mode == "RGBA" else "RGB"
    try:
        return ImageCms.profileToProfile(
            image, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode=mode
        )
    except (ImageCms.PyCMSError, OSError):
        return image


def check_sides(image: np.ndarray, name: str, min_side: int) -> None:
    """Raises UserError if a side of image [H, W, 3] is shorter than `min_side`."""
    height, width = image.shape[:2]
    if min(height, width) < min_side:
        raise UserError(
            f"{name} is {width} x {height} pixels, but both sides must be at least {min_side}: "
            "remove it, give a larger image, or lower config.data.size"
        )


def enlarge(image: np.ndarray, min_side: int) -> np.ndarray:
    """Enlarges an image [H, W, 3] whose shorter side is below `min_side` to that, bicubically.

    Of one more than 16 times as long as wide the middle is taken, as a line of pixels would become
    gigabytes.
    """
    height, width = image.shape[:2]
    shorter = min(height, width)
    if shorter >= min_side:
        return image
    top, left = (max(side - _LONGEST * shorter, 0) // 2 for side in (height, width))
    image = image[top : height - top, left : width - left]
    height, width = image.shape[:2]
    size = tuple(round(side * min_side / shorter) for side in (width, height))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))


def gray_to_rgb(pixels: np.ndarray) -> np.ndarray:
    """uint8 [H, W], [H, W, 1] or [H, W, 3] -> [H, W, 3]; gray becomes three equal channels."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels


def decode_image(data: bytes, name: str, exif: bool = True) -> np.ndarray:
    """Decodes the bytes of an image file as `read_image` does; `name` is used in errors.

    `exif=False` leaves the pixels as they are stored, for masks that were drawn on those.
    """
    image = _decode(data, name)
    with _telling(f"{name} cannot be converted to RGB", "save it as a PNG of 8 bits"):
        return _rgb(_turned(image) if exif else image)


def read_mask(
    path: str | os.PathLike,
    classes: int,
    void: int,
    shape: tuple[int, int],
    field: str = "config.data",
) -> np.ndarray:
    """Reads a mask file as uint8 [H, W]: class ids 0..classes-1, and 255 where it says `void`.

    The pixels of a palette file are its ids, not its colours. `shape` is [H, W] of the image that
    the mask belongs to; `field` is the part of the config that holds `classes` and `void`.

    Raises:
      UserError: the file is missing, empty, damaged or in colour, differs from `shape`, or holds
        an id that is neither a class nor `void`.
    """
    raw = decode_ids(_read_bytes(path), str(path))
    if raw.shape != tuple(shape):
        raise UserError(
            f"{path} is {raw.shape[1]} x {raw.shape[0]} pixels, but its image is "
            f"{shape[1]} x {shape[0]}: both must have one size"
        )
    known = (*range(classes), void)
    table = id_table(known, (*range(classes), VOID))
    hint = f"correct the mask, or change {field}.classes (now {classes}) or .void (now {void})"
    return look_up(raw, table, str(path), hint)


def decode_ids(data: bytes, name: str) -> np.ndarray:
    """Decodes the bytes of a mask file to integers [H, W] as stored; `name` is used in errors."""
    image = _decode(data, name)
    if image.mode not in ("1", "L", "P", *_WIDE_GRAY):
        raise UserError(
            f"{name} is a colour image ({image.mode}), but a mask holds one class id per pixel: "
            "save it as a palette or gray PNG"
        )
    ids = np.asarray(image)
    return ids.astype(np.uint8) if ids.dtype == bool else ids


def id_table(stored, ids) -> np.ndarray:
    """Returns int16 [257]: the class id of each stored value 0..255, -1 for a value not listed."""
    table = np.full(257, -1, np.int16)
    table[list(stored)] = list(ids)
    return table


def look_up(raw: np.ndarray, table: np.ndarray, name: str, hint: str) -> np.ndarray:
    """Turns stored values [H, W] into class ids, uint8 [H, W], by `table` of `id_table`.

    Raises:
      UserError: a value is not in the table; `hint` says what to do about it.
    """
    # Values below 0 and above 255 both land on the table's last entry, -1.
    ids = np.take(table, raw if raw.dtype == np.uint8 else np.clip(raw.astype(int), -1, 256))
    if ids.min() < 0:
        raise UserError(f"{name} holds id {raw[ids < 0][0]}, neither a class nor void: {hint}")
    return ids.astype(np.uint8)


def _read_bytes(path: str | os.PathLike) -> bytes:
    try:
        facts = os.stat(path)
        if not stat.S_ISREG(facts.st_mode):  # reading a pipe would never end
            raise UserError(f"{path} is no plain file: remove it")
        if facts.st_size > MOST_BYTES:
            raise UserError(
                f"{path} has {facts.st_size / 1e6:.0f} MB, more than any image that is read "
                f"({MOST_BYTES / 1e6:.0f} MB): make it smaller or remove it"
            )
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        way = "change its permissions" if isinstance(error, PermissionError) else "check the path"
        raise UserError(f"{path} cannot be read ({_line(error)}): {way}") from error


@contextlib.contextmanager
def _telling(what: str, way: str) -> Iterator[None]:
    """Whatever Pillow raises ends in one `UserError`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # Pillow raises a dozen types for damaged files
        raise UserError(f"{what} ({_line(error)}): {way}") from error


def _decode(data: bytes, name: str, most: float = math.inf) -> Image.Image:
    """Opens and fully decodes an image, so that nothing can fail later."""
    if not data:
        raise UserError(f"{name} is empty (0 bytes): copy it again or remove it")
    with _telling(f"{name} is damaged", "copy it again or remove it"):
        try:
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
        except UnidentifiedImageError as error:
            raise UserError(
                f"{name} is not an image that can be read ({', '.join(_FORMATS)}): "
                "convert it or remove it"
            ) from error
        except Image.DecompressionBombError as error:
            raise too_large(name) from error
        check_cost(image, data, name, most)
        image.load()
        if not min(image.size):
            raise UserError(f"{name} has no pixels: remove it")
    return image


def _rgb(image: Image.Image) -> np.ndarray:
    if image.mode in _WIDE_GRAY:
        gray = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
        return np.repeat(((gray * 255 + 32767) // 65535).astype(np.uint8)[..., None], 3, axis=-1)
    if image.mode == "F":
        raise ValueError("floating-point pixels")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def _line(error: Exception) -> str:
    """What went wrong, in words where there are some."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error)
    return text if " " in text and "b'" not in text else "its contents make no sense"
