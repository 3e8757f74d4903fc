"""Crops of paintings."""

import numpy as np
import pytest

from taskfusion_jax.metrics.references import painting_crops


@pytest.mark.parametrize("shape", [(9, 12, 3), (5, 12, 3), (2, 3, 3)])
def test_crops_are_parts_of_the_painting_or_of_its_mirrored_tiling(shape):
    painting = np.random.default_rng(0).random(shape)
    crops = painting_crops(painting, 6, 20)
    assert crops.shape == (20, 6, 6, 3)
    tiled = np.concatenate([painting, painting[::-1]] * 3)
    tiled = np.concatenate([tiled, tiled[:, ::-1]] * 3, axis=1)
    rows, columns = max(shape[0], 6), max(shape[1], 6)
    places = [(t, s) for t in range(rows - 5) for s in range(columns - 5)]
    for crop in crops:
        assert any(np.array_equal(crop, tiled[t : t + 6, s : s + 6]) for t, s in places)
    assert len(places) == 1 or len({crop.tobytes() for crop in crops}) > 1
    np.testing.assert_array_equal(crops, painting_crops(painting, 6, 20))
