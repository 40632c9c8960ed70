"""Samples of the oracles have their laws, sample by sample from their own streams."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from subspace_sde import VE, VP
from subspace_sde.arrays import device
from subspace_sde.backend import backend_of, streams
from subspace_sde.oracles import Gaussian, Mixture, base
from tests.oracles.laws import data_set, each_kind, each_law, gaussian, parts


def moments(law):
    mean = sum(w * m for w, m, _ in parts(law))
    second = sum(w * (c + np.outer(m, m)) for w, m, c in parts(law))
    return mean, second - np.outer(mean, mean)


@each_law
def test_samples_have_the_laws_moments(law, like, host):
    n = 1500
    x = law.sample(n, 11, like)
    assert x.dtype == like.dtype and device(x) == device(like) and tuple(x.shape) == (n, *law.shape)
    flat, (mean, covariance) = host(x).reshape(n, -1), moments(law)
    assert np.all(np.abs(flat.mean(0) - mean) < 5 * np.sqrt(np.diag(covariance) / n))
    products = (flat - mean)[:, :, None] * (flat - mean)[:, None, :]
    assert np.all(np.abs(products.mean(0) - covariance) < 5 * products.std(0) / math.sqrt(n))
    np.testing.assert_allclose(moments(law)[0], law.mean.ravel(), atol=1e-14)


@pytest.mark.parametrize("v", [None, 1.0, -2.0])
@each_law
def test_samples_follow_the_density_along_every_axis(law, v):
    # Kolmogorov-Smirnov against the marginals' own distribution functions, without noise and at two log-SNRs
    sde = VP()
    alpha, sigma, x = 1.0, 1e-12, law.sample(1000, 12)
    if v is not None:
        t = sde.time_at_log_snr(v)
        alpha, sigma, x = sde.alpha(t), sde.sigma(t), law.sample_at(t, sde, 1000, 12)
    elif any(not c.any() for _, _, c in parts(law)):
        return  # points of a data set, where the distribution function has steps

    for i, marginal in enumerate(x.reshape(1000, -1).T):

        def cdf(y, i=i):
            return sum(
                w * scipy.stats.norm.cdf(y, alpha * m[i], math.sqrt(alpha**2 * c[i, i] + sigma**2))
                for w, m, c in parts(law)
            )

        assert scipy.stats.kstest(marginal, cdf).pvalue > 1e-4


def test_every_point_of_a_data_set_gets_its_share():
    law, n = data_set((2, 3)), 4000
    x = law.sample(n, 13)
    hits = np.asarray([np.sum(np.all(x == y, axis=(1, 2))) for y in law.data])
    assert hits.sum() == n  # draws are the points themselves
    assert np.all(np.abs(hits / n - 0.2) < 5 * math.sqrt(0.2 * 0.8 / n))


@each_kind
def test_noisy_samples_are_those_of_sample_and_independent_noise(law, like, array, host, eps):
    sde, n, d = VP(), 3000, 6
    t = np.linspace(0.05, 0.9, n)
    x0 = host(law.sample(n, 14, like)).reshape(n, d)
    noisy = law.sample_at(array(t), sde, n, 14, like)
    assert noisy.dtype == like.dtype and device(noisy) == device(like) and tuple(noisy.shape) == (n, *law.shape)
    noise = (host(noisy).reshape(n, d) - sde.alpha(t)[:, None] * x0) / sde.sigma(t)[:, None]
    assert scipy.stats.kstest(noise.ravel(), "norm").pvalue > 1e-4
    for other in (noise, x0):  # neither among themselves nor with the data
        products = noise[:, :, None] * (other - other.mean(0))[:, None, :]
        expected = np.eye(d) if other is noise else np.zeros((d, d))
        assert np.all(np.abs(products.mean(0) - expected) < 5 * products.std(0) / math.sqrt(n))
    one = host(law.sample_at(float(t[7]), sde, 8, 14, like))[7]
    np.testing.assert_allclose(one, host(noisy)[7], rtol=0, atol=100 * eps)


def test_every_component_gets_its_share():
    law = Mixture([0.1, 0.6, 0.3], [Gaussian([m], [[0.01]]) for m in (-10.0, 0.0, 10.0)])
    x = law.sample(3000, 13).ravel()
    for w, m in zip(law.weights, (-10, 0, 10)):
        assert abs(np.mean(np.abs(x - m) < 5) - w) < 5 * math.sqrt(w * (1 - w) / 3000)


@each_kind
def test_sample_i_is_its_own_stream(law, like, host, eps):
    for draw in (law.sample, lambda num, rng, like: law.sample_at(0.4, VP(), num, rng, like)):
        whole = host(draw(6, 14, like))
        for start, stop in ((0, 3), (2, 5), (5, 6)):
            part = host(draw(stop - start, streams(14, start, stop), like))
            np.testing.assert_allclose(part, whole[start:stop], rtol=0, atol=50 * eps)
        assert len(draw(0, 14, like)) == 0


@each_kind
def test_a_generator_is_taken_as_it_is(law, like, host):
    def generator():
        return backend_of(like).generator(3, like)

    first, again, going_on = generator(), generator(), generator()
    np.testing.assert_array_equal(host(law.sample(9, first, like)), host(law.sample(9, again, like)))
    law.sample(9, going_on, like)
    assert not np.array_equal(host(law.sample(9, going_on, like)), host(law.sample(9, generator(), like)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_uniform_numbers_are_uniform_in_every_dtype(dtype):
    z = torch.randn((4000, base.BITS), generator=torch.Generator().manual_seed(0), dtype=torch.float32).to(dtype)
    u = base.uniform(z)
    assert u.dtype == np.float64 and scipy.stats.kstest(u, "uniform").pvalue > 1e-3
    assert len(np.unique(u)) == 4000  # of bfloat16 numbers alone there would be a few hundred


def test_a_degenerate_gaussian_lies_in_its_plane():
    law = gaussian((2, 3), rank=2)
    x = law.sample(50, 15).reshape(50, 6) - law.mean.ravel()
    assert np.linalg.matrix_rank(x, tol=1e-6) == 2
    assert np.all(np.isfinite(law.score(VE())(law.sample(5, 0), 0.0)))
