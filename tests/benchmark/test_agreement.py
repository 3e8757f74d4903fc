"""What counts as the same result."""

import numpy as np
import pytest

from taskfusion_jax.benchmark.agreement import TOLERANCE, check
from tests.fails import fails


def results(scale=1.0):
    rng = np.random.default_rng(0)
    return {
        "loss": np.array(2.0),
        "gradient/a": rng.normal(0, scale, (3, 4)),
        "gradient/b": np.full(5, 1e-9),
    }


def test_equal_results_agree():
    assert check(results(), results(), "float32", "here") == 0


@pytest.mark.parametrize("precision", TOLERANCE)
def test_a_difference_is_named_with_its_size(precision):
    allowed = TOLERANCE[precision]["gradient"]
    ours = results()
    ours["gradient/a"] = ours["gradient/a"] * (1 + 0.9 * allowed)
    assert check(ours, results(), precision, "here") == pytest.approx(0.9)
    ours["gradient/a"] = ours["gradient/a"] * (1 + 0.9 * allowed)
    fails(lambda: check(ours, results(), precision, "here"), "here: gradient/a differs by")


def test_noise_in_a_gradient_that_is_zero_is_no_difference():
    ours = results()
    ours["gradient/b"] = -ours["gradient/b"]
    check(ours, results(), "float32", "here")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": np.array(2.1)}, "loss differs by 5.0e-02"),
        ({"loss": np.array(np.nan)}, "loss differs"),
        ({"gradient/a": np.zeros((4, 3))}, "gradient/a has shapes (4, 3) and (3, 4)"),
        ({"gradient/c": np.zeros(1)}, "only one side has gradient/c"),
    ],
)
def test_what_is_refused(change, words):
    fails(lambda: check(results() | change, results(), "float32", "here"), words)
