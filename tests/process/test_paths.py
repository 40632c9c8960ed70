"""Forward marginals and paths against their exact laws."""

import math

import numpy as np
import pytest

from subspace_sde import VE, VP
from subspace_sde.backend import backend_of
from tests.process.gaussians import (
    NESTED,
    Scripted,
    any_gaussian,
    check,
    each_nested,
    each_sde,
    law,
    make,
    matrices,
    rows,
    some_mean,
)


@each_sde
@each_nested
def test_perturb_has_the_forward_marginal(nested, sde):
    # x(0) ~ N(μ, C) gives x(t) ~ N(α P μ, P (α²C + σ²I) P), exactly
    process, gaussian, (_, p) = make(sde, nested), any_gaussian(nested), matrices(nested)
    d = nested[0].dim
    for t in (sde.t_min, *process.times, *(1.01 * s for s in process.times), sde.T):
        t = min(t, sde.T)
        x = process.perturb(rows(gaussian, d), t, Scripted(1 + d))
        mean, covariance = law(x)
        alpha, sigma, project = sde.alpha(t), sde.sigma(t), p[process.level(t)]
        np.testing.assert_allclose(mean, alpha * project @ gaussian.mean.ravel(), atol=1e-13)
        expected = project @ (alpha**2 * gaussian.covariance + sigma**2 * np.eye(d)) @ project
        np.testing.assert_allclose(covariance, expected, atol=1e-13 * max(1, sigma**2))


def test_perturb_draws_normal_numbers_with_a_time_for_each(like, array, host, eps):
    # 20000 draws at each of 6 times in one call; every entry of mean and covariance within 5 standard errors
    nested, n = NESTED[1], 20_000
    process, (_, p) = make(VE(), nested), matrices(nested)
    times = np.asarray([0.1, process.times[0], 0.55, 0.5 * sum(process.times), 0.8, 1.0])
    x0 = some_mean(nested)
    generator = backend_of(like).generator(5, like)
    tile = array(np.broadcast_to(x0, (n, 6, *x0.shape)).copy())
    x = process.perturb(tile, array(np.broadcast_to(times, (n, 6)).copy()), generator)
    assert x.dtype == like.dtype and x.shape == tile.shape
    x = host(x).reshape(n, 6, -1)
    for i, t in enumerate(times):
        project, variance = p[process.level(float(t))], VE().sigma(float(t)) ** 2
        expected = variance * project
        off = x[:, i].mean(0) - project @ x0.ravel()
        diagonal = np.diag(expected)
        assert np.all(np.abs(off) <= 5 * np.sqrt(diagonal / n) + 1e-6)
        stderr = np.sqrt((np.outer(diagonal, diagonal) + expected**2) / n)
        assert np.all(np.abs(np.cov(x[:, i].T) - expected) <= 5 * stderr + 1e-6)
        np.testing.assert_allclose(x[:, i], x[:, i] @ project, atol=1e-5 * math.sqrt(variance))


def test_perturb_gives_a_sample_its_own_noise():
    process = make(VP(), NESTED[0])
    x0 = np.zeros((4, 5))
    whole = process.perturb(x0, 0.01, 3)
    np.testing.assert_array_equal(whole, process.perturb(x0.reshape(2, 2, 5), 0.01, 3).reshape(4, 5))
    np.testing.assert_array_equal(whole[:2], process.perturb(x0[:2], 0.01, 3))
    assert len(np.unique(whole)) == 20


@each_sde
@each_nested
def test_a_path_through_the_jumps_has_the_joint_law(nested, sde):
    # Cov(x(s), x(t)) = α(t)/α(s) · P_s (α(s)²C + σ(s)²I) P_t for s ≤ t, exactly, and perturb's marginal at each time
    process, gaussian, (_, p) = make(sde, nested), any_gaussian(nested), matrices(nested)
    d = nested[0].dim
    ends = [sde.t_min, *process.times]
    times = [sde.t_min, *(s for t in process.times for s in (t, t + 0.1 * (t - ends[0]))), 0.9 * sde.T]
    times = sorted(times)
    noise = d * len(times)
    x = process.path(rows(gaussian, noise), times, Scripted(1 + d))
    assert x.shape == (len(times), 1 + d + noise, *nested.ambient_shape)
    means, deviations = x[:, 0].reshape(len(times), -1), (x[:, 1:] - x[:, :1]).reshape(len(times), -1, d)
    for i, s in enumerate(times):
        marginal = sde.alpha(s) ** 2 * gaussian.covariance + sde.sigma(s) ** 2 * np.eye(d)
        before = p[process.level(s)]
        np.testing.assert_allclose(means[i], sde.alpha(s) * before @ gaussian.mean.ravel(), atol=1e-12)
        perturbed = law(process.perturb(rows(gaussian, d), s, Scripted(1 + d)))[1]
        scale = max(1, float(np.max(marginal)))
        np.testing.assert_allclose(deviations[i].T @ deviations[i], perturbed, atol=1e-12 * scale)
        for j in range(i, len(times)):
            t, after = times[j], p[process.level(times[j])]
            expected = sde.alpha(t) / sde.alpha(s) * before @ marginal @ after
            np.testing.assert_allclose(deviations[i].T @ deviations[j], expected, atol=1e-12 * scale)


def test_a_path_stays_in_the_subspace_it_was_projected_onto(like, array, host, eps):
    process = make(VE(), NESTED[2])
    times = [0.2, process.times[0], 0.5, *process.times[1:], 0.99, 0.99]
    x = process.path(array(np.random.default_rng(6).standard_normal((2, 5, 2, 3, 4))), times, rng=1)
    assert x.dtype == like.dtype and x.shape == (len(times), 2, 5, 2, 3, 4)
    for i, t in enumerate(times):
        u = process.subspaces[process.level(t)]
        check(x[i], host(u.project(x[i])), like)
    assert float(abs(process.subspaces[1].reject(x[1])).max()) > 0.1  # at t_1 itself it is not yet projected
    np.testing.assert_allclose(host(x[-1]), host(x[-2]), rtol=10 * eps)  # no time, no noise


def test_a_path_refuses_times_that_are_not_a_path():
    process, x = make(VE(), NESTED[0]), np.zeros((2, 5))
    for times in ([], [0.5, 0.4], [0.1, math.nan]):
        with pytest.raises(ValueError, match="at least one time, and times that do not decrease"):
            process.path(x, times, 0)
    for times in ([-0.1, 0.5], [0.5, 1.1], [math.nan]):
        with pytest.raises(ValueError, match=r"times of a path lie in \[0, 1\]"):
            process.path(x, times, 0)
