"""Replacement and RePaint: their bias, computed a second time from dense matrices, and what resampling does to it."""

import numpy as np
import pytest

from subspace_sde import VP
from subspace_sde.measurements import Mask
from subspace_sde.posterior import Observation, RePaint, Replacement, View
from subspace_sde.sampling import stage_times
from tests.measurements.kinds import matrix
from tests.posterior.gaussians import NESTED, SHAPE, each_sde, law_of, observed, off, uneven


def replaced_law(process, law, observation, steps, resamplings, jump):
    """The samples' law by the same steps of Heun, in dense matrices: full dimension, exact scores."""
    sde, a, d = process.sde, matrix(observation.measurement), law.mean.size
    q = a.T @ np.linalg.inv(a @ a.T) @ a
    known = a.T @ np.linalg.inv(a @ a.T) @ observation.y.reshape(-1)

    def replaced(mean, spread, t):
        rest = np.eye(d) - q
        return rest @ mean + sde.alpha(t) * known, rest @ spread @ rest + sde.sigma(t) ** 2 * q

    def slope(t):
        return sde.f(t) * np.eye(d) + 0.5 * sde.g(t) ** 2 * np.linalg.inv(
            sde.alpha(t) ** 2 * law.covariance + sde.sigma(t) ** 2 * np.eye(d)
        )

    mean, spread = np.zeros(d), sde.prior_std**2 * np.eye(d)
    for k in range(1, process.K + 1):
        p, r = (process.subspaces[j].matrix() @ process.subspaces[j].matrix().T for j in (k - 1, k))
        spread = spread + (process.complement_variance(k, sde.T) - sde.prior_std**2) * (p - r)
    for grid in reversed(stage_times(process, steps)):
        mean, spread = replaced(mean, spread, grid[0])
        for first in range(0, len(grid) - 1, jump):
            part = grid[first : first + jump + 1]
            for again in range(resamplings):
                for t, s in zip(part, part[1:]):
                    m, n, h = slope(t), slope(s), s - t
                    step = np.eye(d) + 0.5 * h * (m + n @ (np.eye(d) + h * m))
                    mean, spread = replaced(step @ mean, step @ spread @ step.T, s)
                if again < resamplings - 1:
                    ratio = sde.alpha(part[0]) / sde.alpha(part[-1])
                    fresh = sde.sigma(part[0]) ** 2 - ratio**2 * sde.sigma(part[-1]) ** 2
                    mean, spread = replaced(ratio * mean, ratio**2 * spread + fresh * np.eye(d), part[0])
    return mean, spread


@each_sde
@pytest.mark.parametrize("mask", [[1, 1, 1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 1, 1, 0, 0]], ids=["half", "quarters"])
def test_the_bias_of_replacement_and_that_resampling_lowers_it(mask, sde):
    measurement = Mask(mask, SHAPE)
    process, law, scores = uneven(NESTED["means"], sde)
    observation, steps = observed(measurement, law, 0.0), 30
    a = matrix(measurement)
    gain = law.covariance @ a.T @ np.linalg.inv(a @ law.covariance @ a.T)
    truth = gain @ observation.y.reshape(-1), law.covariance - gain @ a @ law.covariance
    biases = []
    for method in (Replacement(), RePaint(2, 3), RePaint(6, 1)):
        again = getattr(method, "resamplings", 1), getattr(method, "jump", 1)
        found = law_of(process, scores, observation, method, steps, full=True)
        expected = replaced_law(process, law, observation, steps, *again)
        assert max(off(found, expected)) < 1e-7, method
        staged = law_of(process, scores, observation, method, steps)
        biases.append((off(found, truth), off(staged, truth)))
        for mean, covariance in (found, staged):  # what was seen comes out as it was seen
            np.testing.assert_allclose(a @ mean, sde.alpha(sde.t_min) * observation.y.reshape(-1), atol=1e-9)
            np.testing.assert_allclose(a @ covariance @ a.T, sde.sigma(sde.t_min) ** 2 * a @ a.T, atol=1e-9)
    (plain, plain_staged), _, (resampled, resampled_staged) = biases
    assert plain[0] > 0.1 and plain_staged[0] > 0.1, biases  # the mean of the rest is told too little of y
    assert resampled[0] < 0.6 * plain[0] and resampled_staged[0] < 0.6 * plain_staged[0], biases


def test_what_y_determines_on_a_level(like, array, host, eps):
    y = Mask([1, 1, 1, 1, 1, 0, 0, 1], SHAPE)
    process, law, _ = uneven(NESTED["means"], VP())
    x = law.sample(1, rng=0)[0]
    observation = Observation(y, array(y.apply(x)))
    for k, whole in ((1, [1, 1, 0, 0]), (2, [1, 0])):  # blocks wholly inside the mask; never a pooled mask
        found = View(process, observation, k).determined
        np.testing.assert_allclose(host(found.value)[0], whole * process.subspaces[k].restrict(x), atol=1e3 * eps)
        ones = array(np.ones((2, *process.shape(k))))
        np.testing.assert_allclose(host(found.project(ones)), [whole, whole], atol=1e3 * eps)
    # block 3 is one half seen, block 4 the other: 2 of 3 on level 1; on level 2 one of 1 and a half
    assert View(process, observation, 1).determined.share == pytest.approx(2 / 3, abs=1e-5)
    assert View(process, observation, 2).determined.share == pytest.approx(1 / 1.5, abs=1e-5)
    assert View(process, observation, 2, full=True).determined.share == 1
    assert View(process, observation, 2, largest=1).determined is None
