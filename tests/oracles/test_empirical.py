"""The law of a data set: no digits lost, no memory wasted."""

import math
import tracemalloc

import numpy as np
import pytest
import scipy.stats

from subspace_sde import EDM, VE, VP
from subspace_sde.oracles import Empirical, empirical
from tests.oracles.laws import data_set, gaussian, mixture


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
    with pytest.raises(TypeError, match="an array"):
        Empirical([[0.0]])
    with pytest.raises(ValueError, match="must be floating-point numbers, got uint8: convert first"):
        Empirical(np.zeros((2, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="hold NaN or infinity"):
        Empirical(np.asarray([[0.0], [math.inf]]))
    law = Empirical(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="no density without noise, and σ is 0 at t = 0: take a larger t"):
        law.score(EDM())(np.zeros((1, 3)), 0.0)
    with pytest.raises(ValueError, match=r"t must lie in \[0.002, 80\], got 0"):
        law.log_density(np.zeros((1, 3)), 0.0, EDM())


def test_samples_of_integers_are_refused():
    for draw in (gaussian((3,)).sample, mixture((3,)).sample, data_set((3,)).sample):
        with pytest.raises(ValueError, match="like must be a floating-point array, got int64"):
            draw(2, 0, np.zeros((), dtype=np.int64))
        with pytest.raises(TypeError, match="an array"):
            draw(2, 0, [0.0])
