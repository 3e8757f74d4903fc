"""Binary masks on the parameters of any network."""

import jax
import numpy as np

from taskfusion_jax.methods.masks import binarise, init_masks, masked


def test_a_mask_keeps_weights_above_the_threshold_exactly():
    values = np.array([0.01, 0.005, 0.0051, -1.0], np.float32)
    np.testing.assert_array_equal(binarise(values, 0.005), [1, 0, 1, 0])
    params = {"a": {"kernel": np.float32([1.1, 2.2, 3.3, 4.4]), "bias": np.float32([5.5])}}
    kept = masked(params, {"a": {"kernel": values}}, 0.005)
    np.testing.assert_array_equal(kept["a"]["kernel"], np.float32([1.1, 0, 3.3, 0]))
    np.testing.assert_array_equal(kept["a"]["bias"], params["a"]["bias"])


def test_a_values_gradient_is_the_effective_weights_times_the_weight():
    """Mallya et al. 2018: d loss / d value = d loss / d (w m) x w, whether kept or not."""
    rng = np.random.default_rng(0)
    weights, values, x = (rng.normal(size=6).astype(np.float32) for _ in range(3))

    def loss(values):
        kept = masked({"w": weights}, {"w": values}, 0.0)["w"]
        return jax.numpy.sum((kept * x) ** 2)

    effective = weights * (values > 0)
    np.testing.assert_allclose(jax.grad(loss)(values), 2 * effective * x**2 * weights, rtol=1e-5)


def test_masks_cover_what_the_pattern_names():
    flat = {"a/kernel": np.ones((2, 3), np.float32), "a/bias": np.ones(3, np.float32)}
    masks = init_masks(flat, ".*/kernel", 0.01)
    assert jax.tree.map(np.shape, masks) == {"a": {"kernel": (2, 3)}}
    assert np.all(masks["a"]["kernel"] == np.float32(0.01))
