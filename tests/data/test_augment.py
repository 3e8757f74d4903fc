"""RandAugment's operations against what they are in NumPy, and how often each is drawn."""

import numpy as np
import pytest
from PIL import Image

from taskfusion_jax.data.augment import OPERATIONS, Augment

PIXELS = np.random.default_rng(0).integers(20, 200, (30, 40, 3), np.uint8)
AMOUNTS = (-0.9, -0.5, 0.3, 1.0)


def done(name, amount, pixels=PIXELS):
    return np.asarray(OPERATIONS[name](Image.fromarray(pixels), amount)).astype(int)


def test_the_papers_fourteen():
    assert len(OPERATIONS) == 14
    for name in OPERATIONS:
        out = done(name, 0.9)
        assert out.shape == PIXELS.shape
        assert (name == "identity") == np.array_equal(out, PIXELS)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"autocontrast", "equalize"}))
def test_no_strength_changes_nothing(name):
    np.testing.assert_array_equal(done(name, 0.0), PIXELS)


def test_autocontrast_stretches_each_channel():
    low, high = PIXELS.min((0, 1)).astype(float), PIXELS.max((0, 1))
    expected = (PIXELS - low) / (high - low) * 255
    np.testing.assert_allclose(done("autocontrast", 0.9), expected, atol=1)


def test_equalize_makes_levels_even():
    ramp = np.repeat(np.uint8([[10, 11, 12, 13]]), 256, axis=0)[..., None] * np.uint8([1, 1, 1])
    out = done("equalize", 0.9, ramp)[0, :, 0]
    assert (np.diff(out) > 60).all()


@pytest.mark.parametrize("amount", AMOUNTS)
def test_posterize_keeps_eight_to_four_bits(amount):
    bits = 8 - round(4 * abs(amount))
    assert 4 <= bits <= 8
    np.testing.assert_array_equal(done("posterize", amount), PIXELS >> (8 - bits) << (8 - bits))


@pytest.mark.parametrize("amount", AMOUNTS)
def test_solarize_inverts_what_is_bright(amount):
    threshold = round(256 * (1 - abs(amount)))
    expected = np.where(threshold > PIXELS, PIXELS, 255 - PIXELS.astype(int))
    np.testing.assert_array_equal(done("solarize", amount), expected)


@pytest.mark.parametrize("amount", AMOUNTS)
def test_brightness_colour_and_contrast_blend(amount):
    factor = 1 + 0.9 * amount
    gray = PIXELS @ np.array([0.299, 0.587, 0.114])

    def blended(other):
        return np.clip(other + factor * (PIXELS - other), 0, 255)

    np.testing.assert_allclose(done("brightness", amount), blended(0.0), atol=1)
    np.testing.assert_allclose(done("color", amount), blended(gray[..., None]), atol=2)
    np.testing.assert_allclose(done("contrast", amount), blended(gray.mean()), atol=2)


def test_sharpness_blurs_or_sharpens():
    spread = [done("sharpness", amount).std() for amount in (-1.0, 0.0, 1.0)]
    assert spread[0] < spread[1] < spread[2]


def test_translation_moves_by_up_to_45_percent():
    image = np.repeat(PIXELS[:, :1], 20, axis=1)
    image[:, 10] = 255
    out = done("translate_x", 1.0, image)  # nine columns to the left
    assert (out[:, 1] == 255).all()
    np.testing.assert_array_equal(out[:, :11], image[:, 9:])
    assert (out[:, 11:] == 128).all()
    back = done("translate_y", -1.0, image.swapaxes(0, 1).copy())
    np.testing.assert_array_equal(back[9:], image.swapaxes(0, 1)[:11])
    assert (back[:9] == 128).all()


def test_shears_turn_about_the_middle_row_and_column():
    image = np.zeros((21, 21, 3), np.uint8)
    image[:, 8:13] = 255
    for name, turned in (("shear_x", image), ("shear_y", image.swapaxes(0, 1).copy())):
        out = done(name, 1.0, turned)
        out = out if name == "shear_x" else out.swapaxes(0, 1)
        places = [np.flatnonzero(row > 200).mean() for row in out[..., 0]]
        expected = 10 - 0.3 * (np.arange(21) - 10)
        np.testing.assert_allclose(places, expected, atol=0.6)


def test_rotation_by_up_to_30_degrees():
    y, x = np.mgrid[-20:21, -20:21]
    line = np.zeros((41, 41, 3), np.uint8)
    line[20] = 255
    out = done("rotate", 1.0, line)[..., 0]
    inside = (out > 130) & (x**2 + y**2 < 15**2)
    slope = np.polyfit(x[inside], -y[inside], 1)[0]  # upwards
    assert np.degrees(np.arctan(slope)) == pytest.approx(30, abs=1.5)
    assert (done("rotate", 1.0, line)[0, 0] == 128).all()


def test_drawn_alike_from_the_same_seed_and_nothing_else_is_touched():
    def draw(seed, count=2, strength=9):
        element = {"image": PIXELS, "label": 3}
        return Augment(count, strength).random_map(element, np.random.default_rng(seed))

    one, again = draw(1), draw(1)
    np.testing.assert_array_equal(one["image"], again["image"])
    assert one["label"] == 3 and one["image"].dtype == np.uint8
    assert one["image"].shape == PIXELS.shape
    assert len({draw(seed)["image"].tobytes() for seed in range(40)}) > 30


def test_every_operation_is_drawn_as_often_in_both_directions(monkeypatch):
    seen = []
    names = list(OPERATIONS)
    for name in names:
        record = lambda image, amount, name=name: (seen.append((name, amount)), image)[1]  # noqa: E731
        monkeypatch.setitem(OPERATIONS, name, record)
    for seed in range(700):
        Augment(4, 5).random_map({"image": PIXELS}, np.random.default_rng(seed))
    assert len(seen) == 2800
    counts = [sum(n == name for n, _ in seen) for name in names]
    assert min(counts) > 140 and max(counts) < 260  # 200 expected, standard deviation 14
    assert {amount for _, amount in seen} == {-0.5, 0.5}
    assert 0.45 < np.mean([amount > 0 for _, amount in seen]) < 0.55
