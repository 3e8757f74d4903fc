"""Image metrics against scikit-image."""

import jax
import numpy as np
import pytest
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity

from taskfusion_jax.errors import UserError
from taskfusion_jax.metrics.image import mse, psnr, ssim


def _pair(shape=(3, 40, 33, 3), noise=0.1):
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[: shape[1], : shape[2]]
    smooth = 0.5 + 0.4 * np.sin(rows / 5 + columns / 7)[None, :, :, None]
    a = np.clip(smooth + rng.normal(0, 0.05, shape), 0, 1).astype(np.float32)
    return a, np.clip(a + rng.normal(0, noise, shape), 0, 1).astype(np.float32)


def test_mse_and_psnr_equal_skimage():
    a, b = _pair()
    each = list(zip(a, b, strict=True))
    np.testing.assert_allclose(mse(a, b), [mean_squared_error(*p) for p in each], rtol=1e-5)
    expected = [peak_signal_noise_ratio(*p, data_range=1) for p in each]
    np.testing.assert_allclose(psnr(a, b), expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 40, 33, 3), (2, 11, 11, 3), (2, 16, 64, 1)])
@pytest.mark.parametrize("noise", [0.003, 0.1, 1.0])
def test_ssim_equals_skimage(shape, noise):
    a, b = _pair(shape, noise)
    expected = [
        structural_similarity(
            x.astype(np.float64),
            y.astype(np.float64),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1,
            channel_axis=-1,
        )
        for x, y in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(jax.jit(ssim)(a, b), expected, atol=2e-5)


def test_identical_images_score_finite_bests():
    a = np.concatenate([np.zeros((1, 12, 12, 3)), np.ones((1, 12, 12, 3))]).astype(np.float32)
    np.testing.assert_allclose(psnr(a, a), 100.0, rtol=1e-6)
    np.testing.assert_allclose(ssim(a, a), 1.0, atol=1e-3)


def test_ssim_refuses_images_smaller_than_its_window():
    image = np.zeros((1, 64, 10, 3), np.float32)
    with pytest.raises(UserError, match="at least 11x11 pixels, got 64x10"):
        ssim(image, image)
