"""Streamed moments against NumPy, the Frechet distance against scipy's matrix square root."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from taskfusion_jax.errors import UserError
from taskfusion_jax.metrics.frechet import Moments, frechet_distance


def _features(seed, count, dimension=6, shift=0.0):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(dimension, dimension))
    return shift + rng.normal(size=(count, dimension)) @ mixing


def _moments(features, batch=7):
    moments = Moments.empty(features.shape[1])
    for start in range(0, len(features), batch):
        moments = moments.update(features[start : start + batch])
    return moments


def _reference(x, y):
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    root = sqrtm(cov_x @ cov_y)
    return np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(cov_x + cov_y - 2 * np.real(root))


def test_streamed_moments_equal_those_of_the_whole():
    features = _features(0, 50, shift=1e4)
    whole, merged = _moments(features), _moments(features[:20]) + _moments(features[20:])
    for moments in (whole, merged):
        assert moments.count == 50
        np.testing.assert_allclose(moments.mean, features.mean(0), rtol=1e-12)
        np.testing.assert_allclose(moments.covariance, np.cov(features, rowvar=False), rtol=1e-8)


def test_nothing_added_to_nothing():
    assert (Moments.empty(3) + Moments.empty(3)).count == 0


def test_distance_equals_sqrtm():
    x, y = _features(1, 60), _features(2, 40, shift=0.5)
    distance = frechet_distance(_moments(x), _moments(y))
    np.testing.assert_allclose(distance, _reference(x, y), rtol=1e-9)
    np.testing.assert_allclose(frechet_distance(_moments(y), _moments(x)), distance, rtol=1e-9)


def test_fewer_samples_than_features():
    """On the span of the samples the covariances have full rank, so sqrtm may be asked there."""
    low_x, low_y = _features(3, 8, dimension=5), _features(4, 9, dimension=5)
    basis = np.linalg.qr(_features(5, 40, dimension=5))[0]
    distance = frechet_distance(_moments(low_x @ basis.T), _moments(low_y @ basis.T))
    np.testing.assert_allclose(distance, _reference(low_x, low_y), rtol=1e-9)


def test_distance_to_itself_is_zero_at_any_rank():
    for count in (2, 5, 100):
        moments = _moments(_features(6, count, dimension=20))
        assert 0 <= frechet_distance(moments, moments) < 1e-9


def test_constant_features_leave_the_means():
    x, y = _moments(np.zeros((4, 3))), _moments(np.full((4, 3), 2.0))
    assert frechet_distance(x, y) == 12.0


def test_features_that_are_not_finite_give_nan():
    good, bad = _features(7, 5), _features(7, 5)
    bad[2, 1] = np.nan
    assert np.isnan(frechet_distance(_moments(good), _moments(bad)))


def test_one_sample_is_refused():
    one, many = _moments(_features(8, 1)), _moments(_features(8, 5))
    with pytest.raises(UserError, match="at least 2 images per set, got 1"):
        frechet_distance(many, one)
