"""Gaussians of few factors are the dense ones, for large images too."""

import math

import numpy as np
import pytest

from subspace_sde import VE, VP, Downsampling, LowPass, NestedSubspaces
from subspace_sde.oracles import Empirical, Gaussian, LowRankGaussian, Mixture
from subspace_sde.oracles import low_rank as low_rank_module
from tests.oracles.laws import SUBSPACES, covariance_of, each_kind, low_rank


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
