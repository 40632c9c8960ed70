"""The noise that suits data: `ve_for`, in closed form, at every scale."""

import math

import numpy as np
import pytest

from subspace_sde import Downsampling, gaussian_divergence
from subspace_sde.statistics import Covariance, PatchCovariance, PowerSpectrum, accumulate, ve_for

X = np.random.default_rng(0).standard_normal((200, 4, 6)) * np.arange(1, 7) + 2


@pytest.mark.parametrize("moments", [Covariance, PowerSpectrum])
def test_the_range_follows_from_variance_and_mean(moments):
    mean = X.mean(axis=0)
    total = float(np.mean(np.sum((X - mean) ** 2, axis=(1, 2))))
    found = ve_for(accumulate(moments, X))
    assert found.sigma_min == pytest.approx(math.sqrt(total / 24) / 25, rel=1e-12)
    assert found.sigma_max == pytest.approx(math.sqrt(12.5 * total + float(np.sum(mean**2))), rel=1e-12)
    assert (found.t_min, found.T) == (0, 1)


def test_pixels_have_their_custom():
    """CIFAR-10's published means and deviations of the channels; the pixels of a channel vary alike."""
    means, stds = np.asarray([0.4914, 0.4822, 0.4465]), np.asarray([0.2470, 0.2435, 0.2616])
    two = np.stack([means - stds, means + stds])[:, :, None, None] * np.ones((32, 32))
    found = ve_for(accumulate(PowerSpectrum, two))
    assert (round(found.sigma_min, 3), round(found.sigma_max)) == (0.010, 56)


@pytest.mark.parametrize("scale", [1e-6, 255.0, 1e5])
def test_data_times_a_number_have_the_same_times(scale):
    curves = []
    for x in (X, scale * X):
        moments = accumulate(Covariance, x)
        (curve,) = gaussian_divergence(moments.gaussian(), ve_for(moments), [Downsampling((4, 6), 2)])
        curves.append(curve)
    np.testing.assert_allclose(curves[1].values, curves[0].values, rtol=1e-9)


def test_a_start_that_knows_no_mean_goes_unnoticed():
    """Half a nat at most between N(μ, Σ + σ²) and N(0, σ²) is due to μ."""
    far = X + 1000
    mean = far.mean(axis=0)
    assert float(np.sum(mean**2)) / ve_for(accumulate(PowerSpectrum, far)).sigma_max ** 2 < 1


def test_refusals():
    with pytest.raises(ValueError, match="the 3 samples are all alike: without a spread there is no range of noise"):
        ve_for(accumulate(PowerSpectrum, np.ones((3, 4))))
    with pytest.raises(ValueError, match="follows from a Covariance or a PowerSpectrum, not from PatchCovariance"):
        ve_for(PatchCovariance((4, 6), 2).update(X))
    with pytest.raises(ValueError, match="no data"):
        ve_for(Covariance((4,)))
