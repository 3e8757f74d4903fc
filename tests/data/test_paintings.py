"""The embedded paintings, and paintings from files."""

import numpy as np
import pytest
from PIL import Image

from taskfusion_jax.data.paintings import PAINTINGS, load_painting, paint
from taskfusion_jax.errors import UserError


@pytest.mark.parametrize("name", sorted(PAINTINGS))
def test_same_bytes_every_time_at_any_size(name):
    for size in (16, 65):
        painting = paint(name, size)
        assert painting.shape == (size, size, 3)
        assert painting.dtype == np.uint8
        np.testing.assert_array_equal(painting, paint(name, size))


def test_one_composition_at_every_size():
    for name in PAINTINGS:
        small = paint(name, 64).astype(float)
        large = np.asarray(Image.fromarray(paint(name, 128)).reduce(2), float)
        assert np.abs(small - large).mean() < 16


def test_palettes_are_night_and_fire():
    swirl = paint("swirl", 96).reshape(-1, 3).astype(float)
    ember = paint("ember", 96).reshape(-1, 3).astype(float)
    blue_over_red = swirl[:, 2] - swirl[:, 0]
    assert (blue_over_red > 20).mean() > 0.5, "mostly blue"
    assert (blue_over_red < -80).mean() > 0.05, "with golden lights"
    red_over_blue = ember[:, 0] - ember[:, 2]
    assert (red_over_blue > 60).mean() > 0.5, "mostly orange and red"
    assert (red_over_blue < -15).mean() > 0.1, "with dark teal"
    assert np.linalg.norm(swirl.mean(0) - ember.mean(0)) > 80


def test_strokes_give_mid_scale_contrast():
    for name in PAINTINGS:
        gray = paint(name, 128).astype(float).mean(-1)
        coarse = np.asarray(Image.fromarray(gray.astype(np.float32)).reduce(8).resize((128, 128)))
        assert (gray - coarse).std() > 12


def test_load_embedded_and_files(tmp_path):
    np.testing.assert_array_equal(load_painting("embedded:swirl", 32), paint("swirl", 32))
    file = tmp_path / "wide.png"
    Image.new("L", (90, 60), 200).save(file)
    painting = load_painting(str(file), 40)
    assert painting.shape == (40, 60, 3)
    assert painting.dtype == np.uint8
    assert (painting == 200).all()


def test_a_near_miss_is_named():
    with pytest.raises(UserError, match=r"swril.*did you mean 'swirl'"):
        load_painting("embedded:swril", 32)


def test_missing_and_unreadable_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"config\.tasks\.<style>\.painting.*absent\.jpg.*embedded"):
        load_painting(str(tmp_path / "absent.jpg"), 32)
    text = tmp_path / "notes.jpg"
    text.write_text("not an image")
    whole = tmp_path / "whole.png"
    Image.fromarray(paint("ember", 64)).save(whole)
    cut = tmp_path / "cut.png"
    cut.write_bytes(whole.read_bytes()[:3000])
    for file in (text, cut, tmp_path):
        with pytest.raises(UserError, match=rf"config\.tasks\.munch\.painting.*{file.name}"):
            load_painting(str(file), 32, style="munch")
