"""The closed forms that all else is tested against, against scipy, autograd and exact laws."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from subspace_sde import EDM, VE, VP, Basis, Downsampling, LowPass, RectifiedFlow, SubVP
from subspace_sde.backend import backend_of, streams
from subspace_sde.oracles import Gaussian, Mixture

SDES = [VE(), VP(), SubVP(), EDM(), RectifiedFlow()]
SHAPES = [(3,), (2, 3), (2, 1, 2)]


def gaussian(shape, seed=0, rank=None):
    d, rng = math.prod(shape), np.random.default_rng(seed)
    root = rng.standard_normal((d, rank or d)) / math.sqrt(d)
    return Gaussian(rng.standard_normal(shape), root @ root.T)


def mixture(shape):
    return Mixture([0.2, 0.5, 0.3], [gaussian(shape, 1), gaussian(shape, 2), gaussian(shape, 3, rank=1)])


LAWS = {f"{kind.__name__}{shape}": kind(shape) for kind in (gaussian, mixture) for shape in SHAPES}
each_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
each_sde = pytest.mark.parametrize("sde", SDES, ids=repr)


def parts(law):
    return zip(law.weights, law.components) if isinstance(law, Mixture) else [(1.0, law)]


def by_scipy(law, x, t, sde):
    """log p(x, t), x flat."""
    logs = []
    for w, c in parts(law):
        covariance = sde.alpha(t) ** 2 * c.covariance + sde.sigma(t) ** 2 * np.eye(len(c.covariance))
        normal = scipy.stats.multivariate_normal(sde.alpha(t) * c.mean.ravel(), covariance)
        logs.append(math.log(w) + normal.logpdf(x))
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


def test_a_mixture_stays_finite_far_out():
    law, sde = mixture((2, 3)), VE()
    for factor in (1e3, 1e6):
        x = np.full((1, 2, 3), factor)
        assert np.all(np.isfinite(law.log_density(x, 0.0, sde))) and np.all(np.isfinite(law.score(sde)(x, 0.0)))


def test_a_mixture_of_one_component_twice_is_that_component():
    one = gaussian((2, 3))
    law, x = Mixture([0.25, 0.75], [one, one]), np.random.default_rng(7).standard_normal((5, 2, 3))
    np.testing.assert_allclose(law.log_density(x, 0.3, VP()), one.log_density(x, 0.3, VP()), rtol=1e-13)
    np.testing.assert_allclose(law.score(VP())(x, 0.3), one.score(VP())(x, 0.3), rtol=1e-13)


SUBSPACES = [
    LowPass((2, 3), (1, 2)),
    Downsampling((2, 3), 3, axes=(-1,)),
    Basis.spanning(np.random.default_rng(8).standard_normal((6, 4)), (2, 3), (2, 2)),
]


@pytest.mark.parametrize("subspace", SUBSPACES, ids=repr)
@pytest.mark.parametrize("law", [gaussian((2, 3)), mixture((2, 3))], ids=["gaussian", "mixture"])
def test_the_restricted_law_is_the_marginal_of_the_coordinates(law, subspace):
    # the density of Uᵀx is the law's density integrated over the complement: here by the characteristic function,
    # E exp(i⟨z, Uᵀx⟩) = E exp(i⟨Uz, x⟩)
    inner, rng = law.restrict(subspace), np.random.default_rng(9)
    assert inner.shape == subspace.shape

    def characteristic(of, z):
        z = z.ravel()
        return sum(w * np.exp(1j * z @ c.mean.ravel() - 0.5 * z @ c.covariance @ z) for w, c in parts(of))

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


def moments(law):
    means = [c.mean.ravel() for _, c in parts(law)]
    mean = sum(w * m for (w, _), m in zip(parts(law), means))
    second = sum(w * (c.covariance + np.outer(m, m)) for (w, c), m in zip(parts(law), means))
    return mean, second - np.outer(mean, mean)


@each_law
def test_samples_have_the_laws_moments(law, like, host):
    n = 1500
    x = law.sample(n, 11, like)
    assert x.dtype == like.dtype and x.device == like.device and tuple(x.shape) == (n, *law.shape)
    flat, (mean, covariance) = host(x).reshape(n, -1), moments(law)
    assert np.all(np.abs(flat.mean(0) - mean) < 5 * np.sqrt(np.diag(covariance) / n))
    products = (flat - mean)[:, :, None] * (flat - mean)[:, None, :]
    assert np.all(np.abs(products.mean(0) - covariance) < 5 * products.std(0) / math.sqrt(n))
    np.testing.assert_allclose(moments(law)[0], law.mean.ravel(), atol=1e-14)


@each_law
def test_samples_follow_the_density_along_every_axis(law):
    # Kolmogorov-Smirnov against the marginals' own distribution functions
    x = law.sample(1000, 12).reshape(1000, -1)
    for i in range(x.shape[1]):

        def cdf(y, i=i):
            return sum(
                w * scipy.stats.norm.cdf(y, c.mean.ravel()[i], math.sqrt(c.covariance[i, i])) for w, c in parts(law)
            )

        assert scipy.stats.kstest(x[:, i], cdf).pvalue > 1e-4


def test_every_component_gets_its_share():
    law = Mixture([0.1, 0.6, 0.3], [Gaussian([m], [[0.01]]) for m in (-10.0, 0.0, 10.0)])
    x = law.sample(3000, 13).ravel()
    for w, m in zip(law.weights, (-10, 0, 10)):
        assert abs(np.mean(np.abs(x - m) < 5) - w) < 5 * math.sqrt(w * (1 - w) / 3000)


def test_sample_i_of_a_gaussian_is_its_own_stream(like):
    law = gaussian((2, 3))
    whole = law.sample(6, 14, like)
    part = law.sample(3, streams(14, 2, 5), like)
    to_numpy, eps = backend_of(like).to_numpy, float(np.finfo(str(like.dtype).split(".")[-1]).eps)
    np.testing.assert_allclose(to_numpy(part), to_numpy(whole[2:5]), rtol=0, atol=20 * eps)


def test_a_degenerate_gaussian_lies_in_its_plane():
    law = gaussian((2, 3), rank=2)
    x = law.sample(50, 15).reshape(50, 6) - law.mean.ravel()
    assert np.linalg.matrix_rank(x, tol=1e-6) == 2
    assert np.all(np.isfinite(law.score(VE())(law.sample(5, 0), 0.0)))


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
