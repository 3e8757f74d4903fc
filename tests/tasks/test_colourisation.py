"""Colour and lightness against PIL, and what colourisation shows, takes and refuses."""

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from taskfusion_jax.data.pipeline import Rows, train_batches
from taskfusion_jax.errors import UserError
from taskfusion_jax.tasks.colourisation import Colourisation, is_gray, to_rgb, to_ycc
from tests.fails import fails

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)


def task(rgb=False, gray="keep"):
    return Colourisation("colourisation", (1,), 2, {"l2": 1.0}, rgb, gray)


def test_luma_and_chroma_are_those_of_pil():
    theirs = np.asarray(Image.fromarray(PIXELS).convert("YCbCr"), np.float32) / 255
    theirs -= np.float32([0, 128 / 255, 128 / 255])
    np.testing.assert_allclose(to_ycc(PIXELS / np.float32(255)), theirs, atol=1 / 255)


def test_primary_colours_have_the_luma_of_bt_601():
    """And the largest chroma there is: half of the range."""
    ycc = to_ycc(np.eye(3, dtype=np.float32))
    np.testing.assert_allclose(ycc[:, 0], [0.299, 0.587, 0.114], rtol=1e-6)
    np.testing.assert_allclose([ycc[2, 1], ycc[0, 2]], 0.5, rtol=1e-6)


def test_gray_has_no_chroma():
    gray = np.linspace(0, 1, 9, dtype=np.float32)[:, None] * np.ones(3, np.float32)
    np.testing.assert_allclose(to_ycc(gray), gray * np.float32([1, 0, 0]), atol=1e-6)


def test_to_rgb_is_the_inverse():
    image = PIXELS / np.float32(255)
    np.testing.assert_allclose(to_rgb(to_ycc(image)), image, atol=2e-6)
    ycc = np.random.default_rng(1).random((4, 5, 3), np.float32) - 0.5  # also outside of RGB
    np.testing.assert_allclose(to_ycc(to_rgb(ycc)), ycc, atol=2e-6)


def test_the_input_is_the_lightness_that_pil_gives():
    gray = task().corrupt(None, PIXELS)
    assert gray.shape == PIXELS.shape and gray.dtype == np.uint8
    theirs = np.asarray(Image.fromarray(PIXELS).convert("L"), int)
    assert np.abs(gray.astype(int) - theirs[..., None]).max() <= 1
    np.testing.assert_array_equal(task().corrupt(None, gray), gray)


@pytest.mark.parametrize("rgb", [False, True])
def test_the_right_chroma_on_the_input_is_the_photograph(rgb):
    """Up to the rounding of the input's lightness, which all three channels share."""
    made = task(rgb)
    given = made.corrupt(None, PIXELS)[None] / np.float32(255)
    clean = PIXELS[None] / np.float32(255)
    target = made.target(clean, None, None)
    assert target.shape[-1] == made.channels == (3 if rgb else 2)
    np.testing.assert_allclose(made.show(target, given), clean, atol=0.501 / 255)


@pytest.mark.parametrize("rgb", [False, True])
def test_whatever_the_output_the_lightness_is_the_inputs(rgb):
    """Where nothing is clipped."""
    made, rng = task(rgb), np.random.default_rng(1)
    given = np.full((1, 6, 7, 1), 0.5, np.float32) * np.ones(3, np.float32)
    output = rng.uniform(-0.2, 0.2, (1, 6, 7, made.channels)).astype(np.float32)
    shown = np.asarray(made.show(output, given))
    np.testing.assert_allclose(to_ycc(shown)[..., 0], 0.5, atol=1e-5)
    assert np.ptp(shown, axis=-1).min() > 1e-3
    wild = made.show(output * 100, given)
    assert wild.min() == 0 and wild.max() == 1


def test_inputs_in_colour_are_refused():
    gray = task().corrupt(None, PIXELS)
    task().check_input(gray / 255, "a.png")
    fails(
        lambda: task().check_input(PIXELS / 255, "a.png"), "a.png", "in colour", "takes gray images"
    )


def test_gray_photographs_are_refused_where_that_is_asked_for():
    gray = task().corrupt(None, PIXELS)
    task(gray="keep").check_clean(gray, "b.jpg")
    task(gray="refuse").check_clean(PIXELS, "b.jpg")
    fails(
        lambda: task(gray="refuse").check_clean(gray, "b.jpg"),
        *("b.jpg", "is a gray image", "config.tasks.colourisation.gray=keep"),
    )


def test_gray_is_gray_up_to_rounding():
    """A JPEG in RGB may round a gray by one level each way."""
    gray = np.full((4, 4, 3), 100, np.uint8)
    gray[1, 2] = (99, 101, 100)
    assert is_gray(gray)
    gray[1, 2] = (99, 102, 100)
    assert not is_gray(gray)
    assert not is_gray(np.uint8([[[0, 255, 0]]]))  # no difference wraps around


class Photographs:
    """The second of three is gray."""

    has_masks, classes, labels = False, 0, ()

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return {"image": task().corrupt(None, PIXELS) if index == 1 else PIXELS}

    def __repr__(self):
        return "photographs"


@pytest.mark.parametrize("gray", ["keep", "refuse"])
def test_a_gray_photograph_among_the_data_is_named(gray):
    data = ConfigDict({"size": 16, "scale": 1.0, "foreground": ()})
    data.update({"workers": 0, "threads": 1, "prefetch": 1})
    data.update({"flip": True, "augment": 0, "augment_strength": 9, "mixup": 0.0})
    rows = [Rows(Photographs(), (task(gray=gray),), data)]
    batches = train_batches(rows, groups=3, seed=0, start=0)  # an epoch in each batch
    if gray == "refuse":
        with pytest.raises(UserError, match="example 1 of photographs is a gray image"):
            next(batches)
        return
    batch = next(batches)
    assert sum(is_gray(image[0]) for image in batch["clean"]) == 1
    assert all(is_gray(image[0]) for image in batch["input"])
