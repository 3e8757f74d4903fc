"""Targets against naive NumPy, combined ones with a made-up teacher."""

import numpy as np
import pytest

from taskfusion_jax.tasks.combined import Combined
from taskfusion_jax.tasks.completion import Completion
from taskfusion_jax.tasks.restoration import Restoration
from taskfusion_jax.tasks.segmentation import Segmentation
from taskfusion_jax.tasks.style import Style

LOSS, SLOTS = {"l2": 1.0}, 6
FILL = (0.5, 0.25, 0.75)
RESTORATION = Restoration("restoration", (2,), SLOTS, LOSS, (0.1, 0.1), (0, 0), (0, 0))
SEGMENTATION = Segmentation("segmentation", (3,), SLOTS, LOSS, FILL)
STYLE = Style("style", (4,), SLOTS, LOSS, "embedded:swirl", 64)
STYLE_2 = Style("style_2", (5,), SLOTS, LOSS, "embedded:ember", 64)


def combined(*parts, by):
    name = "+".join(part.name for part in parts)
    active = tuple(slot for part in parts for slot in part.active)
    return Combined(name, active, SLOTS, LOSS, parts, by)


def teacher(images, vector):
    """A stand-in for the network: another map for every task vector."""
    return np.float32(1) - images * np.float32(0.1 * vector.argmax())


@pytest.fixture
def clean():
    return np.random.default_rng(0).random((2, 6, 5, 3), np.float32)


@pytest.fixture
def mask():
    return np.random.default_rng(1).choice(np.uint8([0, 1, 255]), (2, 6, 5))


def cut_out(image, mask):
    """Pixel by pixel: the fill where there is background, the image on objects and void."""
    out = image.copy()
    for place in np.ndindex(mask.shape):
        if mask[place] == 0:
            out[place] = FILL
    return out


def test_segmentation(clean, mask):
    target = SEGMENTATION.target(clean, mask, teacher)
    np.testing.assert_array_equal(target, cut_out(clean, mask))
    np.testing.assert_array_equal(SEGMENTATION.uncut(clean, mask, teacher), clean)
    assert SEGMENTATION.cuts and SEGMENTATION.needs_mask


def test_restoration_and_style(clean, mask):
    np.testing.assert_array_equal(RESTORATION.target(clean, mask, teacher), clean)
    styled = 1 - np.float32(0.4) * clean
    np.testing.assert_allclose(STYLE.target(clean, mask, teacher), styled, rtol=1e-6)
    assert not (RESTORATION.cuts or STYLE.cuts or RESTORATION.needs_mask or STYLE.needs_mask)
    assert RESTORATION.has_target and not STYLE.has_target


@pytest.mark.parametrize("by", ["sequential", "mask"])
def test_restoration_and_style_is_the_style_of_the_clean_image(clean, mask, by):
    styled = teacher(clean, STYLE.vector)
    for parts in ((RESTORATION, STYLE), (STYLE, RESTORATION)):
        task = combined(*parts, by=by)
        np.testing.assert_array_equal(task.target(clean, mask, teacher), styled)
        np.testing.assert_array_equal(task.uncut(clean, mask, teacher), styled)
        assert task.has_target and not (task.cuts or task.needs_mask)


def test_by_mask_the_objects_are_cut_last(clean, mask):
    """Paper 004, section 3.3: the ground-truth mask over the other task's output."""
    styled = teacher(clean, STYLE.vector)
    for parts in ((SEGMENTATION, STYLE), (STYLE, SEGMENTATION)):
        task = combined(*parts, by="mask")
        np.testing.assert_array_equal(task.target(clean, mask, teacher), cut_out(styled, mask))
        np.testing.assert_array_equal(task.uncut(clean, mask, teacher), styled)
        assert task.cuts and task.needs_mask
    task = combined(RESTORATION, SEGMENTATION, by="mask")
    np.testing.assert_array_equal(task.target(clean, mask, teacher), cut_out(clean, mask))


def test_in_sequence_the_order_of_names_counts(clean, mask):
    cut_first = combined(SEGMENTATION, STYLE, by="sequential").target(clean, mask, teacher)
    np.testing.assert_array_equal(cut_first, teacher(cut_out(clean, mask), STYLE.vector))
    twice = combined(STYLE, STYLE_2, by="sequential").target(clean, mask, teacher)
    expected = teacher(teacher(clean, STYLE.vector), STYLE_2.vector)
    np.testing.assert_array_equal(twice, expected)
    other = combined(STYLE_2, STYLE, by="sequential").target(clean, mask, teacher)
    assert np.abs(other - twice).max() > 0.01


def test_three_parts(clean, mask):
    task = combined(RESTORATION, SEGMENTATION, STYLE, by="mask")
    expected = cut_out(teacher(clean, STYLE.vector), mask)
    np.testing.assert_array_equal(task.target(clean, mask, teacher), expected)
    np.testing.assert_array_equal(task.vector, [0, 0, 1, 1, 1, 0])


def test_task_vectors_are_their_parts_added():
    for parts in ((RESTORATION, STYLE), (STYLE, RESTORATION)):
        vector = combined(*parts, by="mask").vector
        np.testing.assert_array_equal(vector, RESTORATION.vector + STYLE.vector)
        np.testing.assert_array_equal(vector, np.float32([0, 0, 1, 0, 1, 0]))
        assert vector.dtype == np.float32


def asked(images, vector):
    """A teacher that leaves a trace of what it was asked for, in order."""
    return np.clip(images * np.float32(0.5) + np.float32(0.1 * vector.argmax()), 0, 1)


def test_m4_asks_the_teacher_for_part_after_part(clean, mask):
    """Damage is undone in reverse, then the image is painted; no ground truth is looked at."""
    completion = Completion("completion", (1,), SLOTS, LOSS, (1, 1), (0.2, 0.3), FILL)
    task = combined(completion, RESTORATION, STYLE, by="sequential")
    (chained,) = task.learnt_by("M4")
    assert (chained.name, chained.target_of, chained.needs_mask) == (task.name, "input", False)
    assert task.learnt_by("M2") == task.parts and task.learnt_by("M3") == (task,)
    wanted = clean
    for part in (RESTORATION, completion, STYLE):
        wanted = asked(wanted, part.vector)
    np.testing.assert_allclose(chained.target(clean, None, asked), wanted, atol=1e-6)


def test_m4_cuts_what_the_teacher_cuts_out_of_the_unpainted_image(clean):
    """The painted image where the teacher's cut keeps the image, the fill elsewhere."""
    kept = np.random.default_rng(2).random((2, 6, 5, 1)) < 0.5

    def network(images, vector):
        if vector[3]:
            return np.where(kept, images, np.float32(FILL))
        return asked(images, vector)

    (chained,) = combined(SEGMENTATION, STYLE, by="mask").learnt_by("M4")
    wanted = np.where(kept, asked(clean, STYLE.vector), np.float32(FILL))
    np.testing.assert_allclose(chained.target(clean, None, network), wanted, atol=1e-6)
