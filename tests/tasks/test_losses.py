"""Each loss term against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from taskfusion_jax.tasks import losses
from taskfusion_jax.tasks.losses import Rows
from taskfusion_jax.tasks.reconstruction import Reconstruction
from taskfusion_jax.tasks.segmentation import Segmentation

PLAIN = Reconstruction("reconstruction", (), 6, {"l2": 1.0})
CUTTING = Segmentation("segmentation", (3,), 6, {"l2": 1.0}, (0.5, 0.5, 0.5))


def _rows(task=PLAIN, shape=(2, 6, 7)):
    rng = np.random.default_rng(0)
    output, clean, target = rng.random((3, *shape, 3), np.float32)
    return Rows(task, output, clean, target, rng.choice(np.uint8([0, 1, 255]), shape))


def _features(seed, batch, dtype=np.float32):
    rng = np.random.default_rng(seed)
    shapes = {"relu1_2": (batch, 8, 6, 3), "relu2_2": (batch, 4, 3, 5)}
    return {layer: rng.random(shape).astype(dtype) for layer, shape in shapes.items()}


def test_l2_is_the_mean_over_all_pixels():
    rows = _rows()
    np.testing.assert_allclose(
        losses.l2(rows), np.mean((rows.output - rows.target) ** 2), rtol=1e-6
    )


def test_l2_ignores_void_where_masks_count():
    rows = _rows(CUTTING)
    valid = rows.mask != 255
    expected = np.mean((rows.output[valid] - rows.target[valid]) ** 2)
    np.testing.assert_allclose(losses.l2(rows), expected, rtol=1e-6)

    def loss(output):
        return losses.l2(Rows(CUTTING, output, rows.clean, rows.target, rows.mask))

    gradient = jax.grad(loss)(rows.output)
    assert (gradient[~valid] == 0).all() and (gradient[valid] != 0).all()


def test_l2_of_nothing_but_void_is_zero():
    rows = _rows(CUTTING)
    rows.mask = np.full_like(rows.mask, 255)
    assert losses.l2(rows) == 0


def test_content():
    rows = _rows()
    rows.features, rows.clean_features = _features(0, 2), _features(1, 2)
    expected = np.mean((rows.features["relu2_2"] - rows.clean_features["relu2_2"]) ** 2)
    np.testing.assert_allclose(losses.content(rows), expected, rtol=1e-6)


def test_style_against_naive_grams():
    rows, painting = _rows(), _features(2, 1)
    rows.features = _features(0, 2)

    def gram(x):
        flat = x.reshape(-1, x.shape[-1])
        return flat.T @ flat / x.size

    rows.painting_grams = {layer: gram(x[0])[None] for layer, x in painting.items()}
    expected = sum(
        np.mean([np.sum((gram(one) - gram(painting[layer][0])) ** 2) for one in images])
        for layer, images in rows.features.items()
    )
    np.testing.assert_allclose(losses.style(rows), expected, rtol=1e-5)
    rows.features = {layer: np.concatenate([x, x]) for layer, x in painting.items()}
    np.testing.assert_allclose(losses.style(rows), 0, atol=1e-12)


def test_adversarial_wants_to_be_called_real():
    rows = _rows()
    rows.critic = np.float32([[0.0, 1.0, 3.0]]).reshape(1, 1, 3, 1)
    np.testing.assert_allclose(losses.adversarial(rows), (1 + 0 + 4) / 3, rtol=1e-6)


def test_smooth():
    rows = _rows()
    down, right = np.diff(rows.output, axis=1), np.diff(rows.output, axis=2)
    np.testing.assert_allclose(losses.smooth(rows), np.mean(down**2) + np.mean(right**2), rtol=1e-5)


@pytest.mark.parametrize("term", sorted(losses.TERMS))
def test_terms_are_float32_scalars_whatever_the_compute_dtype(term):
    rows = _rows()
    rows.features = _features(0, 2, jnp.bfloat16)
    rows.clean_features = _features(1, 2, jnp.bfloat16)
    rows.painting_grams = {"relu1_2": np.zeros((1, 3, 3), np.float32)}
    rows.critic = np.zeros((2, 3, 3, 1), np.float32)
    rows.label, rows.share = np.zeros((2, 2), np.int32), np.ones(2, np.float32)
    if losses.NEEDS[term] == "scores of an image":
        rows.output = rows.output[:, 0, 0]
    value = losses.TERMS[term](rows)
    assert value.shape == () and value.dtype == jnp.float32


def test_label_cross_entropy_of_mixed_images():
    """share x -log p(own class) + (1 - share) x -log p(other class), in NumPy."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4, 5)).astype(np.float32)
    label = rng.integers(0, 5, (4, 2))
    share = rng.random(4).astype(np.float32)
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    own, other = (logs[np.arange(4), label[:, i]] for i in (0, 1))
    expected = -np.mean(share * own + (1 - share) * other)
    rows = Rows(PLAIN, scores, None, None, None, label, share)
    np.testing.assert_allclose(losses.label_cross_entropy(rows), expected, rtol=1e-5)
