"""Binary masks on the parameters of any network."""

import functools

import jax
import numpy as np
import pytest

from taskfusion_jax.methods.masks import binarise, init_masks, masked, ternarise
from tests.fails import fails


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


def test_a_ternary_mask_has_the_same_distance_on_both_sides():
    values = np.array([0.01, 0.005, 0.0051, 0, -0.005, -0.0051, -1.0], np.float32)
    np.testing.assert_array_equal(ternarise(values, 0.005), [1, 0, 1, 0, 0, -1, -1])
    weights = np.arange(1.1, 8, dtype=np.float32)
    kept = masked({"w": weights}, {"w": values}, 0.005, ternary=True)["w"]
    np.testing.assert_array_equal(kept, weights * np.float32([1, 0, 1, 0, 0, -1, -1]))


@pytest.mark.parametrize("step", (binarise, ternarise))
def test_stored_masks_are_masks_of_themselves(step):
    once = step(np.float32([-3, -0.004, 0, 0.004, 3]), 0.005)
    np.testing.assert_array_equal(step(once, 0.005), once)


@pytest.mark.parametrize("ternary", (False, True))
@pytest.mark.parametrize("gradient", ("none", "average", "individual"))
def test_gradients_are_divided_by_the_size_of_the_weights_and_nothing_else(gradient, ternary):
    rng = np.random.default_rng(1)
    params, values, x = (
        {name: rng.normal(size=(4, 5)).astype(np.float32) for name in "ab"} for _ in range(3)
    )
    params["b"] *= 100  # each layer has an average of its own

    def loss(values, params):
        kept = masked(params, values, 0.3, ternary, gradient)
        return sum(jax.numpy.sum((kept[name] - x[name]) ** 2) for name in kept), kept

    (found, to_params), kept = jax.grad(loss, argnums=(0, 1), has_aux=True)(values, params)
    for name, w in params.items():
        mask = np.float32(values[name] > 0.3) - ternary * np.float32(values[name] < -0.3)
        np.testing.assert_array_equal(kept[name], w * mask)
        effective = 2 * (w * mask - x[name])
        size = {"none": 1, "average": np.abs(w).mean(), "individual": np.abs(w)}[gradient]
        np.testing.assert_allclose(found[name], effective * w / size, rtol=1e-4)
        np.testing.assert_allclose(to_params[name], effective * mask, rtol=1e-5)


@pytest.mark.parametrize("gradient", ("average", "individual"))
def test_zero_weights_give_their_masks_no_gradient(gradient):
    """1e-39 is less than a normal number: XLA may take it for zero."""

    def loss(values, weights):
        return jax.numpy.sum(masked({"w": weights}, {"w": values}, 0.0, False, gradient)["w"] - 1)

    for weights in np.float32([[0, 0, 0], [0, 1e-39, 0], [0, 1e-39, -2]]):
        found = jax.grad(loss)(np.ones(3, np.float32), weights)
        assert found[0] == 0 and np.all(np.abs(found) <= 3), found


def test_an_unknown_gradient_is_told():
    params = {"w": np.ones(2, np.float32)}
    call = functools.partial(masked, params, params, 0.5, gradient="avarage")
    fails(call, "config.piggyback.gradient", "avarage", "did you mean 'average'")
