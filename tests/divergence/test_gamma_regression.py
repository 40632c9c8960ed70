"""The regression within the search: its minimum, and its stated errors against their spread."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from subspace_sde.divergence.switching import GammaRegression, _Crossing


@given(seed=st.integers(0, 2**32 - 1), slope=st.floats(-60, 60), shape=st.sampled_from([0.5, 1.0, 4.0]))
def test_the_regression_minimises_the_quasi_likelihood(seed, slope, shape):
    rng = np.random.default_rng(seed)
    x = np.repeat([-0.05, -0.01, 0.0, 0.03, 0.05], [8, 8, 30, 8, 4])
    y = np.exp(-6 + slope * x) * rng.gamma(shape, 1 / shape, len(x))
    fit = GammaRegression(x, y)
    design = np.stack([np.ones_like(x), x / 0.05, (x / 0.05) ** 2])

    def deviance(beta):
        eta = beta @ design
        return np.sum(y * np.exp(-eta) + eta), design @ (1 - y * np.exp(-eta))

    best = minimize(deviance, [math.log(y.mean()), 0, 0], jac=True, method="BFGS", options={"gtol": 1e-9})
    for at in (-0.05, 0.0, 0.02):
        g = np.asarray([1, at / 0.05, (at / 0.05) ** 2])
        assert fit.at(at).level == pytest.approx(best.x @ g, abs=1e-5)
        assert fit.at(at).slope == pytest.approx(best.x[1] / 0.05 + 2 * best.x[2] * at / 0.05**2, abs=1e-3)
    goal = fit.at(0.01).level
    if fit.at(0.01).slope < -1e-3:
        assert fit.root(goal, -0.05, 0.05) == pytest.approx(0.01, abs=1e-8)


def test_the_errors_of_the_regression_are_the_spread():
    rng, x = np.random.default_rng(0), np.repeat([-0.05, 0.0, 0.05], [100, 600, 100])
    fits = [GammaRegression(x, np.exp(-6 - 30 * x) * rng.gamma(1.5, 1 / 1.5, len(x))).at(0.01) for _ in range(400)]
    for name, exact in (("level", -6.3), ("slope", -30.0)):
        z = [(getattr(f, name) - exact) / getattr(f, name + "_error") for f in fits]
        # the scatter is raised by its own standard error: √(kurtosis/n) is 6 %, so that errors are 3 % high or so
        assert abs(np.mean(z)) < 0.2 and 0.85 < np.std(z) < 1.06


@pytest.mark.parametrize("n", [64, 800])
def test_the_scatter_is_raised_by_its_own_standard_error(n):
    rng, x = np.random.default_rng(1), np.repeat([-0.05, 0.0, 0.05], [n // 8, n - 2 * (n // 8), n // 8])
    y = np.exp(-6 - 30 * x) * rng.gamma(1.5, 1 / 1.5, n)
    fit = GammaRegression(x, y)
    squares = (y / np.exp([fit.at(at).level for at in x]) - 1) ** 2 * n / (n - 3)
    scatter = np.mean(squares) + np.std(squares) / math.sqrt(n)
    design = np.stack([np.ones_like(x), x, x**2 / 2])
    covariance = scatter * np.linalg.inv(design @ design.T)
    for at in (-0.05, 0.01):
        level, slope = np.asarray([1, at, at**2 / 2]), np.asarray([0, 1, at])
        assert fit.at(at).level_error == pytest.approx(math.sqrt(level @ covariance @ level), rel=1e-6)
        assert fit.at(at).slope_error == pytest.approx(math.sqrt(slope @ covariance @ slope), rel=1e-6)


@pytest.mark.parametrize(("above", "known"), [(0.0, True), (0.05, True), (0.5, False)])
def test_a_crossing_that_lies_outside_the_samples_has_no_standard_error(above, known):
    crossing = _Crossing(1e-3, (0.0, 1.0), [0.4, 0.5], (2e-3, 5e-4))
    places = np.asarray([u for u, n in crossing.round(0.002, 1000) for _ in range(40)])
    # log D_F falls with slope −2 and is that much above the threshold in the middle: it is met `above / 2` behind it
    crossing.fit(places, 1e-3 * np.exp(above - 2 * (places - 0.45)) * np.tile([0.9, 1.1], 60))
    assert math.isfinite(crossing.stderr) == known
    if known:
        assert crossing.u == pytest.approx(0.45 + above / 2, abs=0.01)
