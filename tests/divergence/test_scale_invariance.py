"""What one filter for all sizes can know: a stationary Gaussian of power 1/f² looks alike at every scale.

Its score is one filter, a function of the frequency per pixel, and a network of convolutions knows nothing else. What
`docs/one-network.md` shows is found here in closed form.
"""

import math

import numpy as np
import pytest

from subspace_sde import VE, Downsampling, LowPass, Wavelet, gaussian_divergence, level_error
from subspace_sde.oracles import DCTGaussian, Gaussian, dct_basis
from subspace_sde.scores import at_level
from tests.divergence.closed_forms import borrowed_error

N, SDE = 16, VE()


def spectrum(n, slope):
    """The power of the cosines of an n × n grid by their angle per pixel; a filter has one value at angle 0."""
    angle = np.pi / n * np.hypot(*np.indices((n, n)))
    angle[0, 0] = np.pi / (2 * N)
    return angle**-slope


def law(n, slope):
    """Of pixels of variance 0.06 on the grid of N × N, and what the same filter is the score of at another size."""
    gain = 0.06 * N**2 / (spectrum(N, slope).sum() - spectrum(N, slope)[0, 0])
    return DCTGaussian(np.zeros((n, n)), gain * spectrum(n, slope))


def dense(gaussian):
    return Gaussian(gaussian.mean, gaussian.dense().covariance)


def network(slope):
    return lambda x, t: law(x.shape[-1], slope).score(SDE)(x, t)


@pytest.mark.parametrize("n", [12, 10, 7, 4])
def test_a_low_pass_of_a_power_of_1_over_f_squared_is_the_same_filter(n):
    """Exactly, for every cosine but the constant one, of which a filter knows one power for all sizes."""
    level = LowPass((N, N), n)
    borrowed, exact = at_level(network(2.0), SDE, level), law(N, 2.0).restrict(level).score(SDE)
    x = np.random.default_rng(0).standard_normal((3, n, n))
    for t in (0.35, 0.5, 0.8):
        a, b = (dct_basis((n, n)).restrict(score(x, t)) for score in (borrowed, exact))
        off = np.abs(a - b) / np.max(np.abs(b))
        assert np.max(off[:, 0, 0]) > 1e-8
        off[:, 0, 0] = 0
        assert np.max(off) < 1e-10


REMAINS = {  # ratio of the errors at the t where D_F is 3e-3, for powers 1/f^1.5, 1/f² and 1/f^2.5
    "LowPass 12": (LowPass((N, N), 12), (1.0044, 1.0000, 1.0038)),
    "LowPass 8": (LowPass((N, N), 8), (1.0258, 1.0002, 1.0215)),
    "LowPass 4": (LowPass((N, N), 4), (1.1046, 1.0044, 1.0871)),
    "blocks of 2 × 2": (Downsampling((N, N), 2), (1.0617, 1.0230, 1.0306)),
    "blocks of 4 × 4": (Downsampling((N, N), 4), (1.2199, 1.0603, 1.1013)),
    "db2": (Wavelet((N, N), "db2"), (1.0904, 1.0843, 1.1224)),
}


@pytest.mark.parametrize("name", REMAINS)
def test_what_remains_is_what_the_docs_say(name):
    level, ratios = REMAINS[name]
    c, n = level.coordinate_scale, level.shape[0]
    for slope, expected in zip((1.5, 2.0, 2.5), ratios):
        whole, small = dense(law(N, slope)), dense(law(n, slope))
        t = gaussian_divergence(law(N, slope), SDE, [level])[0].time_at(3e-3)
        excess, ratio = borrowed_error(whole, SDE, level, Gaussian(c * small.mean, c**2 * small.covariance), t)
        assert ratio == pytest.approx(expected, abs=2e-4)
        estimate = level_error(network(slope), SDE, [level], law(N, slope).sample(100, rng=1), [t], rng=2)[0]
        assert abs(estimate.excess[0] - excess) < 5 * estimate.stderr[0]
        assert math.isclose(estimate.ratio[0], ratio, abs_tol=5 * estimate.ratio_stderr[0])
