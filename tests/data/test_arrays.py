"""Units of images that are given as arrays."""

import jax.numpy as jnp
import numpy as np
import pytest

from taskfusion_jax.data.arrays import to_bytes, to_unit

LEVELS = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)


@pytest.mark.parametrize("module", [np, jnp])
def test_levels_are_parts_of_255(module):
    unit = to_unit(module.asarray(LEVELS))
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit, LEVELS / 255, rtol=1e-6)
    np.testing.assert_array_equal(to_unit(unit), unit)


def test_bytes_are_the_nearest_levels():
    np.testing.assert_array_equal(to_bytes(LEVELS / 255), LEVELS)
    assert to_bytes(LEVELS) is LEVELS
    np.testing.assert_array_equal(
        to_bytes(np.array([-0.1, 0.499 / 255, 0.501 / 255, 1.2])), [0, 0, 1, 255]
    )
