"""Eq. 9 and the injection of the complement against exact laws."""

import math

import numpy as np
import pytest

from subspace_sde import VE, VP, SubspaceSDE
from subspace_sde.backend import backend_of
from subspace_sde.oracles import Gaussian
from tests.process.gaussians import (
    NESTED,
    Scripted,
    any_gaussian,
    check,
    each_nested,
    each_sde,
    law,
    make,
    matching_gaussian,
    matrices,
    rows,
    some_mean,
    times_of,
)


@each_sde
@each_nested
def test_eq_9_for_steps_and_for_several_steps_at_once(nested, sde):
    # (n_j − n_k) Σ⊥_{k|j} = Σ over the steps between of (n_{i-1} − n_i) Σ⊥_{i|i-1}: energies add, densities do not
    process, dims = make(sde, nested), [level.dim for level in nested]
    for t in (sde.t_min, process.times[0], sde.T):
        for k in range(1, process.K + 1):
            step = sde.alpha(t) ** 2 * process.complement_variances[k - 1] + sde.sigma(t) ** 2
            assert process.complement_variance(k, t) == pytest.approx(step, rel=1e-14)
            for base in range(k):
                energy = sum(
                    (dims[i - 1] - dims[i]) * process.complement_variance(i, t) for i in range(base + 1, k + 1)
                )
                found = process.complement_variance(k, t, base=base)
                assert found == pytest.approx(energy / (dims[base] - dims[k]), rel=1e-13)


def test_eq_9_over_an_array_of_times(like, array, host, eps):
    process = make(VP(), NESTED[2])
    t = np.asarray([[process.times[0], 0.4, 1.0]])
    found = process.complement_variance(3, array(t), base=0)
    check(found, [[process.complement_variance(3, float(s), base=0) for s in t[0]]], like)


def test_eq_9_of_a_gaussian_is_the_trace_over_the_complement():
    nested, sde, t = NESTED[2], VP(), 0.3
    gaussian, (_, p) = any_gaussian(nested), matrices(nested)
    dims = [level.dim for level in nested]
    energies = [np.trace((a - b) @ gaussian.covariance) for a, b in zip(p, p[1:])]
    variances = [e / (n - m) for e, n, m in zip(energies, dims, dims[1:])]
    process = SubspaceSDE(sde, nested, times_of(sde, 3), variances)
    marginal = sde.alpha(t) ** 2 * gaussian.covariance + sde.sigma(t) ** 2 * np.eye(24)
    for k in (1, 2, 3):
        for base in range(k):
            expected = np.trace((p[base] - p[k]) @ marginal) / (dims[base] - dims[k])
            assert process.complement_variance(k, t, base) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("with_mean", [False, True])
@each_sde
@each_nested
def test_injection_leaves_x_k_and_draws_the_complement_of_the_law(nested, sde, with_mean):
    # mean U_{k|k-1} x + α P⊥ U_{k-1}ᵀ μ and covariance Σ⊥ P⊥_{k|k-1}, exactly
    process = make(sde, nested, some_mean(nested) if with_mean else None)
    for k in range(1, process.K + 1):
        step, t = nested.steps[k - 1], process.times[k - 1]
        n = step.ambient_dim
        x = np.broadcast_to(np.random.default_rng(k).standard_normal(step.shape), (1 + n, *step.shape))
        up = process.inject(x, k, Scripted(1))
        np.testing.assert_allclose(step.restrict(up), x, atol=1e-13 * (1 + sde.sigma(t)))
        mean, covariance = law(up)
        u = step.matrix()
        complement = np.eye(n) - u @ u.T
        expected = u @ x[0].ravel()
        if with_mean:
            expected = expected + sde.alpha(t) * complement @ nested[k - 1].matrix().T @ process.mean.ravel()
        np.testing.assert_allclose(mean, expected, atol=1e-13)
        variance = sde.alpha(t) ** 2 * process.complement_variances[k - 1] + sde.sigma(t) ** 2
        np.testing.assert_allclose(covariance, variance * complement, atol=1e-13 * max(1, variance))


def test_injected_noise_has_its_variance(like, array, host, eps):
    nested = NESTED[2]
    process, n = make(VE(), nested, some_mean(nested)), 20_000
    generator = backend_of(like).generator(7, like)
    x = array(np.random.default_rng(8).standard_normal((n // 4, 4, 1, 2, 1)))
    up = process.inject(x, 2, generator)
    step = nested.steps[1]
    check(step.restrict(up), host(x), like)
    lost = host(step.reject(up)).reshape(n, -1)
    mean = step.reject(nested[1].restrict(process.mean)).ravel()
    variance, dims = process.complement_variance(2, process.times[1]), step.ambient_dim - step.dim
    assert np.all(np.abs(lost.mean(0) - mean) < 5 * math.sqrt(variance / n))
    energy = np.sum((lost - mean) ** 2, axis=1)  # variance times a chi-squared of dims degrees
    assert abs(energy.mean() - variance * dims) < 5 * variance * math.sqrt(2 * dims / n)
    # independent of x_k: every correlation within 5 standard errors
    flat = host(x).reshape(n, -1)
    assert np.all(np.abs(flat.T @ (lost - mean) / n) < 5 * math.sqrt(variance / n))


@each_nested
def test_injection_turns_the_marginal_of_level_k_into_that_of_level_k_minus_1(nested):
    process = make(VP(), nested, some_mean(nested))
    gaussian = matching_gaussian(process)
    for k in range(1, process.K + 1):
        t, n = process.times[k - 1], nested[k - 1].dim
        alpha, sigma = VP().alpha(t), VP().sigma(t)
        low, high = (gaussian.restrict(nested[j]) for j in (k, k - 1))
        at_t = Gaussian(alpha * low.mean, alpha**2 * low.covariance + sigma**2 * np.eye(nested[k].dim))
        mean, covariance = law(process.inject(rows(at_t, n), k, Scripted(1 + nested[k].dim)))
        np.testing.assert_allclose(mean, alpha * high.mean.ravel(), atol=1e-13)
        np.testing.assert_allclose(covariance, alpha**2 * high.covariance + sigma**2 * np.eye(n), atol=1e-13)


def test_injection_is_refused_where_there_is_none():
    process = make(VE(), NESTED[1])
    for k in (0, 3, -1):
        with pytest.raises(ValueError, match=rf"one of the levels 1 to 2, got {k}"):
            process.inject(np.zeros((1, 2, 2)), k, 0)
        with pytest.raises(ValueError, match="needs 0 <= base < k <= 2"):
            process.complement_variance(k, 0.5)
    with pytest.raises(ValueError, match="needs 0 <= base < k <= 2, got 1, 1"):
        process.complement_variance(1, 0.5, base=1)
    with pytest.raises(ValueError, match=r"takes trailing shape \(2, 2\), got \(3, 2\): did you mean `restrict`\?"):
        process.inject(np.zeros((7, 3, 2)), 1, 0)
    with pytest.raises(ValueError, match="floating-point"):
        process.inject(np.zeros((7, 2, 2), dtype=np.int32), 1, 0)
