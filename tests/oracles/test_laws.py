"""The closed forms that all else is tested against, against scipy, autograd and exact laws."""

import math
import tracemalloc

import numpy as np
import pytest
import scipy.stats
import torch
from scipy.fft import dct

from subspace_sde import EDM, VE, VP, Basis, Downsampling, LowPass, NestedSubspaces, RectifiedFlow, SubVP
from subspace_sde.arrays import device
from subspace_sde.backend import backend_of, streams
from subspace_sde.oracles import DCTGaussian, Empirical, Gaussian, LowRankGaussian, Mixture, Oracle, base, empirical
from subspace_sde.oracles import low_rank as low_rank_module

SDES = [VE(), VP(), SubVP(), EDM(), RectifiedFlow()]
SHAPES = [(3,), (2, 3), (2, 1, 2)]


def gaussian(shape, seed=0, rank=None):
    d, rng = math.prod(shape), np.random.default_rng(seed)
    root = rng.standard_normal((d, rank or d)) / math.sqrt(d)
    return Gaussian(rng.standard_normal(shape), root @ root.T)


def diagonal(shape, seed=0):
    rng = np.random.default_rng(seed)
    return DCTGaussian(rng.standard_normal(shape), rng.exponential(size=shape))


def low_rank(shape, seed=0):
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((math.prod(shape), 2)) * [1.0, 0.1]
    return LowRankGaussian(rng.standard_normal(shape), factors, 0.1 + rng.random(shape))


def isotropic_low_rank(shape, seed=0):
    some = low_rank(shape, seed)
    return LowRankGaussian(some.mean, some.factors, 0.3)


def data_set(shape, seed=0):
    return Empirical(np.random.default_rng(seed).standard_normal((5, *shape)))


def mixture(shape):
    return Mixture([0.2, 0.5, 0.3], [gaussian(shape, 1), gaussian(shape, 2), gaussian(shape, 3, rank=1)])


def every_kind(shape):
    kinds = (gaussian, diagonal, low_rank, isotropic_low_rank, data_set, mixture)
    weights = (0.3, 0.2, 0.1, 0.15, 0.2, 0.05)
    return Mixture(weights, [kind(shape) if kind is mixture else kind(shape, 4) for kind in kinds])


KINDS = (gaussian, diagonal, low_rank, isotropic_low_rank, data_set, mixture, every_kind)
LAWS = {f"{kind.__name__}{shape}": kind(shape) for kind in KINDS for shape in SHAPES}
each_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
each_kind = pytest.mark.parametrize("law", [kind((2, 3)) for kind in KINDS], ids=[kind.__name__ for kind in KINDS])
each_sde = pytest.mark.parametrize("sde", SDES, ids=repr)


def covariance_of(law):
    """Of a Gaussian, from what it was made of."""
    if isinstance(law, LowRankGaussian):
        return law.factors @ law.factors.T + np.diag(law.diagonal.ravel())
    if isinstance(law, DCTGaussian):
        axes = np.ones((1, 1))
        for n in law.shape:
            axes = np.kron(axes, dct(np.eye(n), axis=0, norm="ortho").T)
        return axes @ np.diag(law.eigenvalues.ravel()) @ axes.T
    return law.covariance


def parts(law):
    """The law as a mixture of Gaussians: weights, means and covariances."""
    if isinstance(law, Mixture):
        return [(w * v, m, c) for w, one in zip(law.weights, law.components) for v, m, c in parts(one)]
    if isinstance(law, Empirical):
        n, d = len(law.data), math.prod(law.shape)
        return [(1 / n, y.ravel(), np.zeros((d, d))) for y in law.data]
    return [(1.0, law.mean.ravel(), covariance_of(law))]


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
@pytest.mark.parametrize("sde", [VE(), VP()], ids=lambda s: type(s).__name__)
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


SUBSPACES = [
    LowPass((2, 3), (1, 2)),
    Downsampling((2, 3), 3, axes=(-1,)),
    Basis.spanning(np.random.default_rng(8).standard_normal((6, 4)), (2, 3), (2, 2)),
]


@pytest.mark.parametrize("subspace", SUBSPACES, ids=repr)
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
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


# -- few factors


def test_few_factors_of_large_images_in_closed_form(like, array, host, eps):
    # orthogonal factors, one δ: (x − αμ)/c off the factors, and c + α²‖F_j‖² along each
    shape, sde, t, sizes = (3, 128, 128), VP(), 0.3, np.asarray([30.0, 4.0])
    d, rng = math.prod(shape), np.random.default_rng(20)
    u, mean = np.linalg.qr(rng.standard_normal((d, 2)))[0], rng.random(shape)
    law = LowRankGaussian(mean, u * sizes, 0.05)
    x = rng.standard_normal((3, *shape))
    y, c = (x - sde.alpha(t) * mean).reshape(3, d), sde.alpha(t) ** 2 * 0.05 + sde.sigma(t) ** 2
    along = c + sde.alpha(t) ** 2 * sizes**2
    inverse = y / c + (y @ u * (1 / along - 1 / c)) @ u.T
    score = host(law.score(sde)(array(x), t))
    np.testing.assert_allclose(score.reshape(3, d), -inverse, rtol=0, atol=100 * eps * np.max(np.abs(inverse)))
    volume = np.sum(np.log(2 * np.pi * along)) + (d - 2) * math.log(2 * math.pi * c)
    density = host(law.log_density(array(x), t, sde))
    np.testing.assert_allclose(density, -0.5 * (np.sum(y * inverse, axis=1) + volume), rtol=20 * eps)
    draws = law.sample(4, 0, like)
    assert draws.shape == (4, *shape) and draws.dtype == like.dtype


def test_factors_that_repeat_each_other_and_dwarf_the_rest_cost_no_digits():
    # FFᵀ = 2·10⁶ vvᵀ from two equal columns, against δ + σ² = 10⁻⁴: 10 digits between the two
    v, sde = np.asarray([0.6, 0.0, 0.8]), VE()
    law = LowRankGaussian(np.zeros(3), 1e3 * np.stack([v, v], axis=1), 0.0)
    c, along = sde.sigma(0.0) ** 2, sde.sigma(0.0) ** 2 + 2e6
    off = np.asarray([0.8, 0.0, -0.6])
    x = 1400 * v + 0.01 * off
    expected = -0.5 * (1400**2 / along + 0.01**2 / c + math.log(along) + 2 * math.log(c) + 3 * math.log(2 * math.pi))
    assert float(law.log_density(x, 0.0, sde)) == pytest.approx(expected, rel=1e-9)
    score = law.score(sde)(x, 0.0)
    assert score @ off == pytest.approx(-0.01 / c, rel=1e-9)
    assert abs(score @ v + 1400 / along) < 1e-9 * np.linalg.norm(score)


def test_a_time_for_each_is_taken_in_blocks(monkeypatch):
    law, sde, rng = low_rank((2, 3)), VP(), np.random.default_rng(21)
    x, t = rng.standard_normal((7, 3, 2, 3)), rng.uniform(0.1, 1, (7, 3))
    score, density = law.score(sde)(x, t), law.log_density(x, t, sde)
    monkeypatch.setattr(low_rank_module, "_NUMBERS", 30)
    np.testing.assert_allclose(law.score(sde)(x, t), score, rtol=1e-13)
    np.testing.assert_allclose(law.log_density(x, t, sde), density, rtol=1e-13)
    assert law.score(sde)(x[:0], t[:0]).shape == (0, 3, 2, 3) and law.score(sde)(x[:0], 0.3).shape == (0, 3, 2, 3)


def test_few_factors_stay_few_where_the_diagonal_is_one_number():
    rng, shape = np.random.default_rng(22), (3, 96, 96)
    factors = rng.standard_normal((math.prod(shape), 2))
    equal, unequal = (
        LowRankGaussian(np.zeros(shape), factors, 0.1),
        LowRankGaussian(np.zeros(shape), factors, factors[:, 0].reshape(shape) ** 2),
    )
    half, few = LowPass(shape, 64), Downsampling(shape, 16)
    assert isinstance(equal.restrict(half), LowRankGaussian) and isinstance(equal.restrict(few), LowRankGaussian)
    assert unequal.restrict(NestedSubspaces([half])[0]) is unequal  # level 0
    dense = unequal.restrict(few)
    assert isinstance(dense, Gaussian)
    u = few.matrix()
    expected = u.T @ factors @ factors.T @ u + u.T @ (unequal.diagonal.reshape(-1, 1) * u)
    np.testing.assert_allclose(dense.covariance, expected, rtol=1e-10, atol=1e-10)
    with pytest.raises(ValueError, match="these 12288 coordinates needs a matrix, and they are too many for one"):
        unequal.restrict(half)


@each_kind
def test_the_dense_form_is_the_same_law(law):
    if isinstance(law, Mixture | Empirical):
        assert not hasattr(law, "dense")
        return
    np.testing.assert_allclose(law.dense().covariance, covariance_of(law), atol=1e-14)
    np.testing.assert_allclose(
        law.dense(SUBSPACES[0]).covariance, law.restrict(SUBSPACES[0]).dense().covariance, atol=1e-14
    )
    np.testing.assert_array_equal(law.dense().mean, law.mean)


def test_what_are_no_factors_is_refused():
    with pytest.raises(ValueError, match=r"a mean with 6 numbers needs factors of shape \(6, r\), got \(2, 3, 1\)"):
        LowRankGaussian(np.zeros((2, 3)), np.zeros((2, 3, 1)), 1.0)
    with pytest.raises(ValueError, match=r"needs factors of shape \(3, r\), got \(4, 1\)"):
        LowRankGaussian(np.zeros(3), np.zeros((4, 1)), 1.0)
    with pytest.raises(ValueError, match=r"one number or has the mean's shape \(2, 3\), got shape \(6,\)"):
        LowRankGaussian(np.zeros((2, 3)), np.zeros((6, 1)), np.ones(6))
    with pytest.raises(ValueError, match="variances, which are not negative, got -1"):
        LowRankGaussian(np.zeros(3), np.zeros((3, 1)), [1.0, -1.0, 0.0])
    for mean, factor, delta in ((math.nan, 0, 0), (0, math.inf, 0), (0, 0, math.nan)):
        with pytest.raises(ValueError, match="hold NaN or infinity"):
            LowRankGaussian([mean], [[factor]], delta)


# -- a data set


def test_no_digits_are_lost_at_small_noise(like, array, host, eps):
    # points near 100, a hundredth apart, at σ = 0.002: expanded squares would be wrong by 100² ε/σ², 300 in float32
    sde, rng = EDM(), np.random.default_rng(30)
    points, x = (host(array(100 + 0.01 * rng.standard_normal((n, 3)))) for n in (9, 40))
    t = 0.002
    gaps = x[:, None] - points
    logs = -np.sum(gaps**2, axis=-1) / (2 * t**2)
    weights = np.exp(logs - scipy.special.logsumexp(logs, axis=1, keepdims=True))
    expected = -np.sum(weights[..., None] * gaps, axis=1) / t**2
    law = Empirical(points)
    found = host(law.score(sde)(array(x), t))
    # the softmax knows its exponents, 100 or so, to their own rounding
    np.testing.assert_allclose(found, expected, rtol=0, atol=2000 * eps * np.max(np.abs(expected)))
    density = scipy.special.logsumexp(logs, axis=1) - math.log(9) - 1.5 * math.log(2 * math.pi * t**2)
    np.testing.assert_allclose(host(law.log_density(array(x), t, sde)), density, rtol=100 * eps, atol=100 * eps)


def test_blocks_change_nothing(monkeypatch):
    law, sde, rng = Empirical(np.random.default_rng(31).standard_normal((11, 2, 3))), VP(), np.random.default_rng(32)
    x, t = 2 * rng.standard_normal((5, 3, 2, 3)), rng.uniform(0.01, 1, (5, 3))
    expected = {s: (law.score(sde)(x, v), law.log_density(x, v, sde)) for s, v in (("float", 0.1), ("each", t))}
    for numbers in (1, 13, 70, 400):
        monkeypatch.setattr(empirical, "_NUMBERS", numbers)
        for s, v in (("float", 0.1), ("each", t)):
            np.testing.assert_allclose(law.score(sde)(x, v), expected[s][0], rtol=1e-11, atol=1e-12)
            np.testing.assert_allclose(law.log_density(x, v, sde), expected[s][1], rtol=1e-12)
    assert law.score(sde)(x[:0], 0.1).shape == (0, 3, 2, 3) and law.log_density(x[:0], t[:0], sde).shape == (0, 3)


def test_memory_does_not_grow_with_the_data():
    law, x = Empirical(np.random.default_rng(33).standard_normal((4000, 8, 8))), np.zeros((100, 8, 8))
    law.score(VE())(x[:1], 0.3)
    tracemalloc.start()
    law.score(VE())(x, 0.3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # all differences at once would be 205 MB


def test_data_of_any_library(array):
    points = np.random.default_rng(34).standard_normal((4, 2))
    law = Empirical(array(points))
    np.testing.assert_allclose(law.data, points, rtol=1e-7)
    assert law.data.dtype == np.float64 and law.shape == (2,)


def test_what_is_no_data_set_is_refused():
    with pytest.raises(ValueError, match=r"data is an array \(N, \*shape\) with N >= 1, got shape \(0, 3\)"):
        Empirical(np.zeros((0, 3)))
    with pytest.raises(TypeError, match="expected an array"):
        Empirical([[0.0]])
    with pytest.raises(ValueError, match="must be floating-point numbers, got uint8: convert first"):
        Empirical(np.zeros((2, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="hold NaN or infinity"):
        Empirical(np.asarray([[0.0], [math.inf]]))
    law = Empirical(np.zeros((2, 3)))
    for call in (
        lambda: law.score(EDM())(np.zeros((1, 3)), 0.0),
        lambda: law.log_density(np.zeros((1, 3)), 0.0, EDM()),
    ):
        with pytest.raises(ValueError, match="no density without noise, and σ is 0 at t = 0: take a larger t"):
            call()


def test_samples_of_integers_are_refused():
    for draw in (gaussian((3,)).sample, mixture((3,)).sample, data_set((3,)).sample):
        with pytest.raises(ValueError, match="like must be a floating-point array, got int64"):
            draw(2, 0, np.zeros((), dtype=np.int64))
        with pytest.raises(TypeError, match="expected an array"):
            draw(2, 0, [0.0])
