"""Foreground and IoU against naive NumPy."""

import jax
import numpy as np

from taskfusion_jax.metrics.iou import foreground, iou, iou_counts

GRAY = (0.5, 0.5, 0.5)


def test_foreground_is_what_is_nearer_to_the_image_than_to_the_fill():
    rng = np.random.default_rng(0)
    output, image = rng.random((2, 2, 5, 7, 3)).astype(np.float32)
    expected = np.linalg.norm(output - image, axis=-1) < np.linalg.norm(output - GRAY, axis=-1)
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(jax.jit(foreground)(output, image, GRAY), expected)


def test_a_tie_is_background():
    gray = np.full((1, 2, 2, 3), 0.5, np.float32)
    assert not foreground(gray, gray, GRAY).any()


def test_counts_equal_naive_counts_without_void():
    rng = np.random.default_rng(1)
    pred = rng.random((4, 6, 5)) < 0.5
    mask = rng.choice(np.array([0, 1, 255], np.uint8), size=pred.shape)
    intersection, union = jax.jit(iou_counts)(pred, mask)
    for p, m, i, u in zip(pred, mask, intersection, union, strict=True):
        p, m = p[m != 255], m[m != 255] == 1
        assert (i, u) == (np.logical_and(p, m).sum(), np.logical_or(p, m).sum())


def test_iou_of_each_image_and_of_the_set():
    intersection, union = np.array([1, 0, 6]), np.array([2, 0, 8])
    np.testing.assert_allclose(iou(intersection, union), [0.5, 1.0, 0.75])
    assert iou(intersection.sum(), union.sum()) == 0.7


def test_nothing_to_find():
    mask = np.stack([np.zeros((3, 3)), np.full((3, 3), 255), np.zeros((3, 3))]).astype(np.uint8)
    pred = np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.ones((3, 3))]).astype(bool)
    np.testing.assert_array_equal(iou(*iou_counts(pred, mask)), [1, 1, 0])
