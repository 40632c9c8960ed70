"""Bits per dimension of quantised data against closed forms."""

import math

import numpy as np
from scipy.stats import binomtest, t

from subspace_sde import VE, NestedSubspaces, SubspaceSDE, log_likelihood
from subspace_sde.backend import Noise
from subspace_sde.likelihood import Bins, Exact, Hutchinson
from subspace_sde.oracles import Gaussian
from subspace_sde.solvers import DormandPrince, DPMSolver
from tests.likelihood.composite import FINE, Known, composite, images, quantised, scores_of, truth


def test_bits_per_dimension_have_their_closed_form():
    # E_u log N(low + w(j + u)) is log N at the bin's middle − w²/24 · trace of the precision; d log w makes it log P
    process, law = images()
    x, w = quantised(law, 40, Bins()), 1 / 256
    _, covariance = composite(process, law)
    middle = w * (np.round(x * 255) + 0.5)
    bound = truth(process, law, middle) - w**2 / 24 * np.trace(np.linalg.inv(covariance)) + 4 * math.log(w)
    found = log_likelihood(
        process, scores_of(process, law), x, solver=DormandPrince(1e-8, 1e-8), trace=Exact(), bins=Bins(repeats=12)
    )
    assert found.estimates.shape == (12, 1, 40)
    covered = np.abs(found.nats - bound) < t.ppf(0.975, 11) * found.stderr
    assert binomtest(int(covered.sum()), 40, 0.95).pvalue > 0.01
    np.testing.assert_allclose(found.bits_per_dimension, -found.nats / (4 * math.log(2)))
    assert abs(np.mean(found.nats - bound)) < 4 * math.sqrt(np.sum(found.stderr**2)) / 40
    # draw by draw: the density at the very points
    points = list(Bins(repeats=12).dequantised(x, Noise(0, (40,), x)))
    for estimate, point in zip(found.estimates[:, 0], points):
        np.testing.assert_allclose(estimate, truth(process, law, point) + 4 * math.log(w), rtol=0, atol=1e-5)


def test_the_bound_is_a_probability_of_whole_numbers():
    # over all 256 images of one number: at most 1, and nearly that, since the law is smooth over a bin
    sde = VE(0.01, 50.0)
    law = Gaussian(np.full(1, 0.5), [[0.01]])
    process, x = SubspaceSDE(sde, NestedSubspaces([], ambient_shape=(1,)), [], []), np.arange(256.0)[:, None] / 255
    found = log_likelihood(
        process, [Known(law, sde)], x, solver=DPMSolver(3), steps=200, trace=Exact(), bins=Bins(repeats=20)
    )
    total, error = np.sum(np.exp(found.nats)), math.sqrt(np.sum((np.exp(found.nats) * found.stderr) ** 2))
    assert 1 - 1e-3 < total < 1 + 4 * error < 1.01


def test_bits_per_dimension_do_not_depend_on_the_units():
    # σ(T) is large, so that it does not matter where the data lie beside 0, the mean of the prior
    law, nested, times = images()[1], images()[0].subspaces, [VE(0.01, 5e5).time_at_log_snr(0.0)]
    process = SubspaceSDE(VE(0.01, 5e5), nested, times, [0.01])
    wide = SubspaceSDE(VE(0.02, 1e6), nested, times, [0.04], np.full(4, -1.0))
    law_wide, x = Gaussian(2 * law.mean - 1, 4 * law.covariance), quantised(law, 5, Bins())
    found = [
        log_likelihood(p, scores_of(p, g), y, solver=FINE, trace=Hutchinson(2), bins=bins, rng=3).bits_per_dimension
        for p, g, y, bins in (
            (process, law, x, Bins()),
            (wide, law_wide, 2 * x - 1, Bins(256, -1.0, 1.0)),
        )
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-5)


def test_dequantisation_is_uniform(like, array, host, eps):
    x = array(np.repeat(np.arange(4.0)[:, None] / 3, 5000, axis=1))
    u = host(next(Bins(4).dequantised(x, Noise(0, (4,), x)))) * 4 - np.arange(4)[:, None]
    assert -20 * eps <= u.min() and u.max() <= 1 + 20 * eps
    for power_ in (1, 2, 4):
        assert abs(np.mean(u**power_) - 1 / (power_ + 1)) < 4 / math.sqrt(20_000 * (2 * power_ + 1))
    assert abs(np.mean(np.exp(2j * np.pi * u))) < 4 / math.sqrt(20_000)


def test_standard_errors_say_what_they_do_not_know():
    process, law = images()
    x, scores = quantised(law, 3, Bins()), scores_of(process, law)

    def stderr(**arguments):
        return log_likelihood(process, scores, x, steps=10, **arguments).stderr

    assert np.isnan(stderr()).all() and np.isnan(stderr(trace=Hutchinson(4), bins=Bins())).all()
    assert not stderr(trace=Exact()).any()
    found = log_likelihood(process, scores, x, steps=10, trace=Hutchinson(3), bins=Bins(repeats=5))
    assert found.estimates.shape == (5, 3, 3)
    np.testing.assert_allclose(found.stderr, found.estimates.mean(axis=1).std(axis=0, ddof=1) / math.sqrt(5))
    np.testing.assert_allclose(stderr(trace=Hutchinson(4), rng=1), FourProbes.of(process, scores, x))


class FourProbes:
    @staticmethod
    def of(process, scores, x):
        estimates = log_likelihood(process, scores, x, steps=10, trace=Hutchinson(4), rng=1).estimates[0]
        return estimates.std(axis=0, ddof=1) / 2
