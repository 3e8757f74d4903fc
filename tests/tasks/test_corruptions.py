"""What the tasks do to their inputs: reproducible, in range, as much as the config says."""

import numpy as np
import pytest

from taskfusion_jax.tasks.combined import Combined
from taskfusion_jax.tasks.completion import Completion
from taskfusion_jax.tasks.reconstruction import Reconstruction
from taskfusion_jax.tasks.restoration import Restoration

LOSS = {"l2": 1.0}
MAGENTA = (1.0, 0.0, 1.0)


def completion(holes=(1, 3), side=(0.15, 0.35)):
    return Completion("completion", (1,), 6, LOSS, holes, side, MAGENTA)


def restoration(noise=(0.05, 0.15), scratches=(1, 4), lines=(0, 2)):
    return Restoration("restoration", (2,), 6, LOSS, noise, scratches, lines)


def both(first, second):
    return Combined(f"{first.name}+{second.name}", (1, 2), 6, LOSS, (first, second), "sequential")


def _image(height=48, width=64):
    return np.random.default_rng(0).integers(60, 190, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    "task", [completion(), restoration(), both(completion(), restoration())], ids=lambda t: t.name
)
def test_a_function_of_the_random_generator(task):
    image = _image()
    before = image.copy()
    made = [task.corrupt(np.random.default_rng(seed), image) for seed in (3, 3, 4)]
    assert all(x.dtype == np.uint8 and x.shape == image.shape for x in made)
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0] != made[2]).any() and (made[0] != image).any()
    np.testing.assert_array_equal(image, before)


def test_reconstruction_returns_the_input():
    image = _image()
    task = Reconstruction("reconstruction", (), 6, LOSS)
    assert task.corrupt(np.random.default_rng(0), image) is image
    np.testing.assert_array_equal(task.vector, np.zeros(6))
    clean = np.float32(image[None] / 255)
    np.testing.assert_array_equal(task.target(clean, None, None), clean)


def test_one_hole_is_a_filled_rectangle_within_bounds():
    image, heights, widths = _image(40, 80), set(), set()
    for seed in range(200):
        made = completion((1, 1), (0.2, 0.5)).corrupt(np.random.default_rng(seed), image)
        rows, columns = np.nonzero((made != image).any(-1))
        top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
        hole = made[top : bottom + 1, left : right + 1]
        assert (hole == [255, 0, 255]).all() and hole.shape[0] * hole.shape[1] == len(rows)
        heights.add(hole.shape[0])
        widths.add(hole.shape[1])
    assert (min(heights), max(heights)) == (8, 20)
    assert (min(widths), max(widths)) == (16, 40)


def test_holes_lie_everywhere_and_number_as_told():
    image, holed = _image(), np.zeros((48, 64))
    shares = []
    for seed in range(300):
        made = completion((2, 3), (0.25, 0.25)).corrupt(np.random.default_rng(seed), image)
        holes = (made == [255, 0, 255]).all(-1)
        holed += holes
        shares.append(holes.mean())
    assert holed.any(0).all() and holed.any(1).all()
    assert min(shares) >= 0.25**2 and max(shares) == 3 * 0.25**2


def test_a_hole_as_large_as_the_image():
    made = completion((1, 1), (1.0, 1.0)).corrupt(np.random.default_rng(0), _image())
    assert (made == [255, 0, 255]).all()


@pytest.mark.parametrize("sigma", [0.02, 0.1])
def test_noise_is_as_strong_as_told(sigma):
    """On mid-gray, where nothing is clipped; rounding to uint8 adds a variance of 1/12."""
    gray = np.full((128, 128, 3), 128, np.uint8)
    made = restoration((sigma, sigma), (0, 0), (0, 0)).corrupt(np.random.default_rng(0), gray)
    noise = made.astype(float) - 128
    assert abs(noise.mean()) < 0.5
    np.testing.assert_allclose(noise.std(), np.sqrt((255 * sigma) ** 2 + 1 / 12), rtol=0.02)
    red, green = noise[..., 0].ravel(), noise[..., 1].ravel()
    assert abs(np.corrcoef(red, green)[0, 1]) < 0.03


def test_noise_strength_is_drawn_between_its_bounds():
    gray, task = np.full((32, 32, 3), 128, np.uint8), restoration((0.05, 0.15), (0, 0), (0, 0))
    drawn = [task.corrupt(np.random.default_rng(seed), gray).std() / 255 for seed in range(100)]
    assert 0.047 < min(drawn) < 0.07 and 0.13 < max(drawn) < 0.156


def test_clean_where_nothing_is_asked_for():
    image = _image()
    made = restoration((0, 0), (0, 0), (0, 0)).corrupt(np.random.default_rng(0), image)
    np.testing.assert_array_equal(made, image)


def test_scratches_and_lines_are_thin_and_gray():
    image = np.full((64, 96, 3), (10, 120, 230), np.uint8)
    for seed in range(50):
        scratched = restoration((0, 0), (1, 1), (0, 0)).corrupt(np.random.default_rng(seed), image)
        lined = restoration((0, 0), (0, 0), (1, 1)).corrupt(np.random.default_rng(seed), image)
        for made in (scratched, lined):
            damage = made[(made != image).any(-1)]
            assert np.ptp(damage, axis=1).max(initial=0) == 0
            assert (damage[:, 0] >= 200).all() or (damage[:, 0] < 40).all()
            assert len(damage) < 0.06 * 64 * 96
        rows = np.flatnonzero((lined != image).any((1, 2)))
        np.testing.assert_array_equal(rows, np.arange(64))


def test_damage_of_both_parts_in_their_order():
    """Holes cut after the noise are clean; cut before, they are noisy."""
    image, parts = _image(), (completion((1, 1)), restoration((0.1, 0.1), (0, 0), (0, 0)))
    noisy_hole = both(*parts).corrupt(np.random.default_rng(0), image)
    clean_hole = both(*reversed(parts)).corrupt(np.random.default_rng(0), image)
    assert (clean_hole == [255, 0, 255]).all(-1).mean() > 0.02
    assert (noisy_hole == [255, 0, 255]).all(-1).mean() < 0.02
