"""Reading images and masks: every kind of pixel, every kind of broken file."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from taskfusion_jax.data.images import enlarge, read_image, read_mask, read_picture
from taskfusion_jax.errors import UserError
from tests.fails import fails

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (4, 6, 3), np.uint8)
GRAY = RNG.integers(0, 256, (4, 6), np.uint8)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def png(width, height, depth, colour, rows):
    """Writes a PNG by hand, so that Pillow is not its own judge."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def test_rgb_is_read_as_written(tmp_path):
    image = read_image(save(tmp_path / "a.png", RGB))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, RGB)


def test_bytes_written_by_hand(tmp_path):
    (tmp_path / "a.png").write_bytes(png(6, 4, 8, 2, [row.tobytes() for row in RGB]))
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), RGB)


def test_gray_has_three_equal_channels(tmp_path):
    image = read_image(save(tmp_path / "a.png", GRAY))
    np.testing.assert_array_equal(image, np.stack([GRAY] * 3, -1))


def test_one_bit_is_black_and_white(tmp_path):
    image = read_image(save(tmp_path / "a.png", GRAY > 127))
    np.testing.assert_array_equal(image[..., 0], np.where(GRAY > 127, 255, 0))


def test_palette_gives_its_colours(tmp_path):
    picture = Image.fromarray(np.array([[0, 1], [1, 2]], np.uint8))
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.save(tmp_path / "a.png")
    expected = [[[10, 20, 30], [40, 50, 60]], [[40, 50, 60], [70, 80, 90]]]
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("kind", ["rgba", "gray_alpha", "palette"])
def test_transparent_pixels_are_white(tmp_path, kind):
    path = tmp_path / "a.png"
    if kind == "rgba":
        save(path, np.dstack([RGB, np.zeros((4, 6), np.uint8)]))
    elif kind == "gray_alpha":
        save(path, np.dstack([GRAY, np.zeros((4, 6), np.uint8)]))
    else:
        Image.fromarray(np.zeros((4, 6), np.uint8)).convert("P").save(path, transparency=b"\0")
    assert (read_image(path) == 255).all()


def test_half_transparent_is_a_blend_with_white(tmp_path):
    alpha = np.full((4, 6), 128, np.uint8)
    image = read_image(save(tmp_path / "a.png", np.dstack([RGB, alpha])))
    expected = RGB * (128 / 255) + 255 * (127 / 255)
    np.testing.assert_allclose(image, expected, atol=1)


def test_cmyk_becomes_rgb(tmp_path):
    cyan = np.zeros((8, 8, 4), np.uint8)
    cyan[..., 0] = 255
    Image.fromarray(cyan, "CMYK").save(tmp_path / "a.jpg", quality=95)
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg")[4, 4], [0, 255, 255], atol=6)


def test_sixteen_bits_are_scaled(tmp_path):
    values = np.array([[0, 128, 129], [257, 32768, 65535]], ">u2")
    (tmp_path / "a.png").write_bytes(png(3, 2, 16, 0, [row.tobytes() for row in values]))
    expected = np.round(values.astype(float) * 255 / 65535)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[..., 1], expected)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [(3, lambda a: a[::-1, ::-1]), (6, lambda a: np.rot90(a, -1)), (8, lambda a: np.rot90(a, 1))],
)
def test_exif_orientation_is_applied(tmp_path, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = read_image(save(tmp_path / "a.png", RGB, exif=exif))
    np.testing.assert_array_equal(image, turn(RGB))


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (5, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(read_image(tmp_path / "a.gif")[0, 0], [255, 0, 0])


def test_missing_file(tmp_path):
    fails(lambda: read_image(tmp_path / "a.png"), tmp_path / "a.png", "No such file")


def test_empty_file(tmp_path):
    (tmp_path / "a.png").touch()
    fails(lambda: read_image(tmp_path / "a.png"), tmp_path / "a.png", "empty", "copy it again")


def test_not_an_image(tmp_path):
    (tmp_path / "a.jpg").write_text("<html>404</html>")
    fails(lambda: read_image(tmp_path / "a.jpg"), tmp_path / "a.jpg", "not an image")


def test_postscript_is_not_run(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    fails(lambda: read_image(tmp_path / "a.jpg"), "not an image")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_truncated_file(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", RNG.integers(0, 256, (64, 64, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:1500])
    fails(lambda: read_image(path), path, "damaged", "copy it again")


def test_flipped_bytes_never_give_another_error(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(RGB).save(stream, "PNG")
    for position in range(8, len(stream.getvalue())):
        data = bytearray(stream.getvalue())
        data[position] ^= 0xFF
        (tmp_path / "a.png").write_bytes(data)
        try:
            assert read_image(tmp_path / "a.png").dtype == np.uint8
        except UserError as error:
            assert str(tmp_path / "a.png") in str(error)


@pytest.mark.parametrize(
    "side", [11_000, 40_000]
)  # Pillow warns at the first, raises at the second
def test_decompression_bomb(tmp_path, side):
    (tmp_path / "a.png").write_bytes(png(side, side, 8, 0, []))
    fails(lambda: read_image(tmp_path / "a.png"), tmp_path / "a.png", "million pixels")


@pytest.mark.filterwarnings("ignore:Image size")
def test_decompression_bomb_without_warnings(tmp_path):
    (tmp_path / "a.png").write_bytes(png(11_000, 11_000, 8, 0, []))
    fails(lambda: read_image(tmp_path / "a.png"), "million pixels")


def test_floating_point_image(tmp_path):
    path = save(tmp_path / "a.tif", GRAY.astype(np.float32))
    fails(lambda: read_image(path), path, "floating-point")


def test_too_small(tmp_path):
    path = save(tmp_path / "a.png", RGB)
    assert read_image(path, min_side=4).shape == (4, 6, 3)
    fails(lambda: read_image(path, min_side=5), path, "6 x 4", "at least 5")


def test_enlarging_a_line_of_pixels_takes_its_middle():
    line = np.zeros((1, 6001, 3), np.uint8)
    line[:, 2992:3009] = 255
    large = enlarge(line, 32)
    assert large.shape[0] == 32 and large.shape[1] <= 17 * 32 and (large == 255).all()
    small = RNG.integers(0, 256, (4, 60, 3), np.uint8)  # as it always was
    expected = Image.fromarray(small).resize((120, 8), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(enlarge(small, 8), expected)


def test_a_pipe_is_no_image(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    fails(lambda: read_image(tmp_path / "a.png"), tmp_path / "a.png", "no plain file")


IDS = np.array([[0, 1, 2], [10, 11, 0]], np.uint8)
CLASS_IDS = np.array([[0, 1, 2], [10, 255, 0]], np.uint8)


@pytest.mark.parametrize("palette", [False, True])
def test_mask_gives_ids_and_void(tmp_path, palette):
    picture = Image.fromarray(IDS)
    if palette:
        picture.putpalette(RNG.integers(0, 256, 768, np.uint8).tobytes())
    picture.save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png", 11, 11, (2, 3))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, CLASS_IDS)


def test_mask_of_voc(tmp_path):
    ids = np.array([[0, 20, 255]], np.uint8)
    np.testing.assert_array_equal(read_mask(save(tmp_path / "m.png", ids), 21, 255, (1, 3)), ids)


def test_mask_of_one_and_sixteen_bits(tmp_path):
    one = save(tmp_path / "1.png", np.array([[False, True]]))
    np.testing.assert_array_equal(read_mask(one, 2, 255, (1, 2)), [[0, 1]])
    (tmp_path / "16.png").write_bytes(png(2, 1, 16, 0, [struct.pack(">HH", 3, 255)]))
    np.testing.assert_array_equal(read_mask(tmp_path / "16.png", 4, 255, (1, 2)), [[3, 255]])


def test_void_inside_the_classes(tmp_path):
    path = save(tmp_path / "m.png", np.array([[0, 1]], np.uint8))
    np.testing.assert_array_equal(read_mask(path, 2, 0, (1, 2)), [[255, 1]])


@pytest.mark.parametrize("bad", [12, 255])
def test_mask_id_beyond_the_classes(tmp_path, bad):
    path = save(tmp_path / "m.png", np.array([[0, bad]], np.uint8))
    fails(
        lambda: read_mask(path, 11, 11, (1, 2), "config.data.voc_folder"),
        *(path, f"id {bad}", "config.data.voc_folder.classes", "now 11"),
    )


def test_sixteen_bit_id_beyond_a_byte(tmp_path):
    (tmp_path / "m.png").write_bytes(png(2, 1, 16, 0, [struct.pack(">HH", 3, 259)]))
    fails(lambda: read_mask(tmp_path / "m.png", 4, 255, (1, 2)), "id 259")


def test_colour_mask(tmp_path):
    path = save(tmp_path / "m.png", RGB)
    fails(lambda: read_mask(path, 11, 11, (4, 6)), path, "colour", "palette")


def test_mask_of_another_size(tmp_path):
    path = save(tmp_path / "m.png", IDS)
    fails(lambda: read_mask(path, 11, 11, (3, 2)), path, "3 x 2", "2 x 3")


def test_damaged_mask(tmp_path):
    (tmp_path / "m.png").touch()
    fails(lambda: read_mask(tmp_path / "m.png", 11, 11, (3, 2)), tmp_path / "m.png", "empty")
    (tmp_path / "n.png").write_bytes(b"junk")
    fails(lambda: read_mask(tmp_path / "n.png", 11, 11, (3, 2)), tmp_path / "n.png", "not an image")


def linear_profile():
    """An ICC profile with sRGB's primaries (adapted to D50) and a linear curve, by hand."""

    def fixed(*values):
        return b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    def xyz(*values):
        return b"XYZ \0\0\0\0" + fixed(*values)

    text = b"text\0\0\0\0none\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 2) + b"x\0" + b"\0" * 78,
        b"cprt": text + b"\0" * (-len(text) % 4),
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.43607, 0.22249, 0.01392),
        b"gXYZ": xyz(0.38515, 0.71687, 0.09708),
        b"bXYZ": xyz(0.14307, 0.06061, 0.71410),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), b"curv\0\0\0\0\0\0\0\0"),
    }
    place, table, data = 132 + 12 * len(tags), b"", b""
    for name, body in tags.items():
        table += name + struct.pack(">II", place + len(data), len(body))
        data += body + b"\0" * (-len(body) % 4)
    head = b"\0\0\0\0\x02\x10\0\0mntrRGB XYZ " + b"\0" * 12 + b"acsp" + b"\0" * 28
    head += fixed(0.9642, 1.0, 0.8249) + b"\0" * 48
    size = len(head) + 4 + 4 + len(table) + len(data)
    return struct.pack(">I", size) + head + struct.pack(">I", len(tags)) + table + data


def test_colours_of_a_profile_become_srgb(tmp_path):
    """Values that say light in a straight line become those of the standard's curve."""
    path = save(tmp_path / "a.png", RGB, icc_profile=linear_profile())
    light = RGB / 255
    curved = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    image, transparent = read_picture(path)
    assert transparent is None
    np.testing.assert_allclose(image, 255 * curved, atol=2)
    key = tuple(RGB[0, 0].tolist())
    clear = save(tmp_path / "c.png", RGB, icc_profile=linear_profile(), transparency=key)
    image, transparent = read_picture(clear)
    alpha = transparent[..., 3]
    np.testing.assert_array_equal(alpha, np.where((key == RGB).all(-1), 0, 255))
    np.testing.assert_allclose(image[alpha > 0], 255 * curved[alpha > 0], atol=2)
    broken = save(tmp_path / "b.png", RGB, icc_profile=b"no profile")
    np.testing.assert_array_equal(read_picture(broken)[0], RGB)


def test_a_picture_is_an_image_on_white_and_what_it_was(tmp_path):
    rgba = np.dstack([RGB, np.arange(24, dtype=np.uint8).reshape(4, 6)])
    image, transparent = read_picture(save(tmp_path / "a.png", rgba))
    np.testing.assert_array_equal(transparent, rgba)
    np.testing.assert_array_equal(image, read_image(tmp_path / "a.png"))
    rgba[..., 3] = 255
    assert read_picture(save(tmp_path / "b.png", rgba))[1] is None
    fails(lambda: read_picture(tmp_path / "none.png"), "none.png cannot be read")
