"""Cutting images and putting them together: whatever is done to pixels alone, nothing is lost."""

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskfusion_jax.data.arrays import to_bytes, to_unit
from taskfusion_jax.inference.tiles import Canvas, Tiling


def noise(height, width):
    return np.random.default_rng(0).random((height, width, 3), np.float32)


def through(tiling, image, act=lambda x: x):
    canvas = Canvas(tiling, *image.shape[:2])
    for piece in tiling.cut(image):
        assert not canvas.whole
        canvas.put(act(piece))
    assert canvas.whole
    return canvas.image()


sides = st.integers(1, 300)


@settings(max_examples=60, deadline=None)
@given(sides, sides, st.sampled_from([1, 4, 16, 48]), st.sampled_from([32, 64, 100, 512]))
def test_what_is_not_changed_comes_out_as_it_went_in(height, width, multiple, tile):
    tiling, image = Tiling(multiple, tile, overlap=16), noise(height, width)
    np.testing.assert_allclose(through(tiling, image), image, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(sides, sides, st.sampled_from([1, 4, 48]), st.sampled_from([64, 100, 512]))
def test_pieces_have_one_allowed_shape(height, width, multiple, tile):
    tiling = Tiling(multiple, tile)
    shapes = {piece.shape for piece in tiling.cut(noise(height, width))}
    assert len(shapes) == 1
    tall, wide, _ = shapes.pop()
    assert tall % multiple == wide % multiple == 0
    assert max(tall, wide) <= max(tile, tiling.step)
    assert (tall, wide) == tiling.piece(height, width)


def test_neighbours_overlap_and_cover():
    tiling = Tiling(4, 128, overlap=32)
    tops = sorted({top for top, _ in tiling.places(500, 128)})
    assert tops[0] == 0 and tops[-1] == 500 - 128
    assert all(b - a <= 128 - 32 for a, b in itertools.pairwise(tops))
    assert {left for _, left in tiling.places(500, 128)} == {0}


def test_a_step_between_two_pieces_becomes_a_ramp():
    """Pieces that differ by a constant are blended: no jump larger than one step of the ramp."""
    tiling, levels = Tiling(4, 64, overlap=32), iter((0.0, 1.0))
    blended = through(tiling, noise(64, 96), lambda x: np.full_like(x, next(levels)))
    row = blended[0, :, 0]
    assert row[0] == 0 and row[-1] == 1
    assert (np.diff(row) >= 0).all() and np.diff(row).max() < 1 / 32 + 1e-3


def test_a_small_image_is_filled_up_by_reflection():
    image = noise(3, 30)
    (piece,) = Tiling(4).cut(image)
    assert piece.shape == (32, 32, 3)
    np.testing.assert_array_equal(piece[:3, :30], image)
    np.testing.assert_array_equal(piece[:3, 30:], image[:, 27:29][:, ::-1])
    np.testing.assert_array_equal(piece[3, :30], image[1])


def test_memory_of_a_large_image():
    """Twelve bytes a pixel for what comes out, three for its file, and a few pieces."""
    image, tiling = np.zeros((2000, 1500, 3), np.uint8), Tiling(4, 256)
    tracemalloc.start()
    try:
        made = to_bytes(through(tiling, image, to_unit))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert made.shape == image.shape
    assert peak < (15 + 3) * 2000 * 1500


@pytest.mark.parametrize("classes", [1, 10])
def test_scores_have_no_place(classes):
    canvas = Canvas(Tiling(4), 32, 32, scores=True)
    scores = np.arange(classes, dtype=np.float32)
    canvas.put(scores)
    assert canvas.whole
    np.testing.assert_array_equal(canvas.image(), scores)
