"""The figures of quality against closed forms."""

import numpy as np
import pytest

from examples.images.quality import BANDS, band_power, colour_covariance, compare


def test_band_power_is_parseval_and_white_noise_is_flat():
    x = np.random.default_rng(0).normal(size=(200, 3, 16, 16))
    power = band_power(x)
    assert power.shape == (BANDS,) and np.all(np.abs(power - 1) < 0.15)
    wave = np.cos(
        np.pi * (np.arange(16) + 0.5) * 14 / 16
    )  # the DCT-II vector of frequency 14/16: the last band but one
    image = np.broadcast_to(wave, (1, 3, 16, 16))
    assert np.argmax(band_power(image)) == 7 and band_power(image)[:7].max() < 1e-20


def test_compare_is_zero_for_the_same_images():
    x = np.random.default_rng(0).uniform(size=(30, 3, 16, 16))
    same = compare(x, x)
    assert same["sliced wasserstein"] == 0 and same["colour"] == 0 and np.allclose(same["bands"], 0)
    np.testing.assert_allclose(np.diag(colour_covariance(x)), x.var(axis=(0, 2, 3), ddof=0), rtol=1e-3)
    doubled = compare(0.5 + 2 * (x - 0.5), x)
    np.testing.assert_allclose(doubled["bands"], np.log10(4), rtol=1e-10)
    assert doubled["colour"] == pytest.approx(3)
