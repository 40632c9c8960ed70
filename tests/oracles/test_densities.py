"""Densities, scores and marginals in closed form against scipy, autograd and exact laws."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from subspace_sde import EDM, VE, VP, LowPass, RectifiedFlow, SubVP
from subspace_sde.oracles import Gaussian, Mixture, Oracle
from tests.oracles.laws import LAWS, SUBSPACES, each_kind, each_law, gaussian, parts

SDES = [VE(), VP(), SubVP(), EDM(), RectifiedFlow()]
each_sde = pytest.mark.parametrize("sde", SDES)


def by_scipy(law, x, t, sde):
    """log p(x, t), x flat."""
    logs = []
    for w, mean, covariance in parts(law):
        noisy = sde.alpha(t) ** 2 * covariance + sde.sigma(t) ** 2 * np.eye(len(covariance))
        logs.append(math.log(w) + scipy.stats.multivariate_normal(sde.alpha(t) * mean, noisy).logpdf(x))
    return np.logaddexp.reduce(logs)


@each_sde
@each_law
def test_log_density_is_scipys(law, sde):
    rng = np.random.default_rng(4)
    for v in (6.0, 0.0, -6.0):
        t = sde.time_at_log_snr(v)
        x = rng.standard_normal((2, 5, *law.shape)) * (sde.sigma(t) + sde.alpha(t))
        expected = [by_scipy(law, y, t, sde) for y in x.reshape(10, -1)]
        np.testing.assert_allclose(law.log_density(x, t, sde).ravel(), expected, rtol=1e-10, atol=1e-10)


@each_law
def test_log_density_and_score_take_every_kind_of_array_and_a_time_for_each(law, like, array, host, eps):
    sde, rng = VP(), np.random.default_rng(5)
    x, t = rng.standard_normal((4, 3, *law.shape)), rng.uniform(0.05, 1, (4, 3))
    density, score = law.log_density(array(x), array(t), sde), law.score(sde)(array(x), array(t))
    assert density.dtype == score.dtype == like.dtype and tuple(density.shape) == (4, 3) and score.shape == x.shape
    assert density.device == score.device == like.device
    expected = np.asarray([by_scipy(law, y, s, sde) for y, s in zip(x.reshape(12, -1), t.ravel())]).reshape(4, 3)
    # the smallest variance here is about 0.01: a rounding of x or t moves the exponent by 10⁴ of them
    np.testing.assert_allclose(host(density), expected, rtol=1e4 * eps, atol=1e4 * eps)
    one_by_one = np.stack([law.score(sde)(y, float(s)) for y, s in zip(x.reshape(12, *law.shape), t.ravel())])
    np.testing.assert_allclose(host(score), one_by_one.reshape(x.shape), rtol=1e4 * eps, atol=1e4 * eps)


@each_sde
@each_law
def test_the_score_is_the_gradient_of_the_log_density(law, sde):
    rng = np.random.default_rng(6)
    for v in (5.0, 1.0, -2.0):
        t = sde.time_at_log_snr(v)
        x = torch.asarray(rng.standard_normal((7, *law.shape)) * (sde.sigma(t) + sde.alpha(t))).requires_grad_()
        (gradient,) = torch.autograd.grad(law.log_density(x, t, sde).sum(), x)
        scale = float(gradient.abs().max())
        np.testing.assert_allclose(law.score(sde)(x, t).detach(), gradient, rtol=1e-9, atol=1e-11 * scale)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("sde", [VE(), VP()])
def test_the_product_of_the_jacobian_is_that_of_torchs_derivative(law, sde):
    rng = np.random.default_rng(4)
    x, v = (torch.asarray(rng.standard_normal((3, *law.shape))) for _ in range(2))
    score = law.score(sde)
    for t in (0.3, torch.asarray([0.3, 0.5, 0.9], dtype=torch.float64)):
        _, pull_back = torch.func.vjp(lambda y, t=t: score(y, t), x)
        expected = pull_back(v)[0]
        np.testing.assert_allclose(score.vjp(x, t, v), expected, rtol=1e-8, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_the_product_of_the_jacobian_on_every_library(law, like, array, host, eps):
    x, v = np.random.default_rng(5).standard_normal((2, 4, *law.shape))
    found, exact = law.score(VE()).vjp(array(x), 0.5, array(v)), law.score(VE()).vjp(x, 0.5, v)
    assert found.dtype == like.dtype and found.shape == x.shape
    np.testing.assert_allclose(host(found), exact, rtol=0, atol=2e3 * eps * np.max(np.abs(exact)))


@each_kind
def test_it_stays_finite_far_out(law):
    sde = VE()
    for factor in (1e3, 1e6):
        x = np.full((1, 2, 3), factor)
        assert np.all(np.isfinite(law.log_density(x, 0.0, sde))) and np.all(np.isfinite(law.score(sde)(x, 0.0)))


def test_a_mixture_of_one_component_twice_is_that_component():
    one = gaussian((2, 3))
    law, x = Mixture([0.25, 0.75], [one, one]), np.random.default_rng(7).standard_normal((5, 2, 3))
    np.testing.assert_allclose(law.log_density(x, 0.3, VP()), one.log_density(x, 0.3, VP()), rtol=1e-13)
    np.testing.assert_allclose(law.score(VP())(x, 0.3), one.score(VP())(x, 0.3), rtol=1e-13)


@pytest.mark.parametrize("subspace", SUBSPACES)
@each_kind
def test_the_restricted_law_is_the_marginal_of_the_coordinates(law, subspace):
    # the density of Uᵀx is the law's density integrated over the complement: here by the characteristic function,
    # E exp(i⟨z, Uᵀx⟩) = E exp(i⟨Uz, x⟩)
    inner, rng = law.restrict(subspace), np.random.default_rng(9)
    assert inner.shape == subspace.shape and isinstance(inner, Oracle)
    np.testing.assert_allclose(inner.mean, subspace.restrict(law.mean), atol=1e-14)

    def characteristic(of, z):
        z = z.ravel()
        return sum(w * np.exp(1j * z @ m - 0.5 * z @ c @ z) for w, m, c in parts(of))

    for z in rng.standard_normal((10, *subspace.shape)):
        assert characteristic(inner, z) == pytest.approx(characteristic(law, subspace.embed(z)), rel=1e-12)


def test_the_score_of_a_level_is_the_conditional_mean_of_the_full_score():
    # ∇ log p(y) = E[Uᵀ∇ log p(x) | Uᵀx = y], and for a Gaussian the expectation is the score at E[x | y]
    law, sde, t = gaussian((2, 3)), VP(), 0.4
    for subspace in SUBSPACES:
        u = subspace.matrix()
        marginal = sde.alpha(t) ** 2 * law.covariance + sde.sigma(t) ** 2 * np.eye(6)
        y = np.random.default_rng(10).standard_normal((4, *subspace.shape))
        mean = sde.alpha(t) * law.mean.ravel()
        gain = marginal @ u @ np.linalg.inv(u.T @ marginal @ u)
        x = mean + (y.reshape(4, -1) - mean @ u) @ gain.T
        full = subspace.restrict(law.score(sde)(x.reshape(4, 2, 3), t))
        np.testing.assert_allclose(law.restrict(subspace).score(sde)(y, t), full, atol=1e-12)


def test_what_is_no_distribution_is_refused():
    with pytest.raises(ValueError, match=r"a mean with 2 numbers needs a covariance of shape \(2, 2\), got \(3, 3\)"):
        Gaussian(np.zeros(2), np.eye(3))
    with pytest.raises(ValueError, match="not symmetric"):
        Gaussian(np.zeros(2), [[1.0, 0.5], [0.0, 1.0]])
    with pytest.raises(ValueError, match="not positive semi-definite: its smallest eigenvalue is -1"):
        Gaussian(np.zeros(2), [[1.0, 2.0], [2.0, 1.0]])
    for mean, covariance in (([math.nan, 0], np.eye(2)), ([0, 0], [[math.nan, 0], [0, 1]]), ([0, math.inf], np.eye(2))):
        with pytest.raises(ValueError, match="holds NaN or infinity"):
            Gaussian(mean, covariance)
    one, other = gaussian((3,)), gaussian((1, 3))
    for weights, components in (([], []), ([1.0], []), ([0.5], [one, one]), ([0.5, 0.5], [one])):
        with pytest.raises(ValueError, match="one weight for each component"):
            Mixture(weights, components)
    for weights in ([0.5, 0.6], [1.5, -0.5], [1.0, 0.0], [math.nan, 0.5]):
        with pytest.raises(ValueError, match="the weights must be positive and sum to 1"):
            Mixture(weights, [one, one])
    with pytest.raises(ValueError, match="one shape"):
        Mixture([0.5, 0.5], [one, other])
    with pytest.raises(ValueError, match="trailing shape"):
        one.restrict(LowPass((4,), 2, axes=(-1,)))
