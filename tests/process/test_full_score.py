"""Eqs. 10 and 11 against exact scores and a naive computation with matrices."""

import math

import numpy as np
import pytest
import torch

from subspace_sde import VE, VP
from tests.process.gaussians import (
    NESTED,
    check,
    each_nested,
    each_sde,
    make,
    matching_gaussian,
    matrices,
    mixed_times,
    some_mean,
    wiggly,
)


@each_nested
def test_eq_10_puts_the_components_together_again(nested):
    x = np.random.default_rng(9).standard_normal((4, *nested.ambient_shape))
    for k in range(len(nested)):
        total = nested[k].embed(nested[k].restrict(x))
        norms = np.sum(nested[k].restrict(x) ** 2)
        for j in range(k):
            off = nested.between(j, j + 1).reject(nested[j].restrict(x))
            total, norms = total + nested[j].embed(off), norms + np.sum(off**2)
        np.testing.assert_allclose(total, x, atol=1e-13)
        assert norms == pytest.approx(np.sum(x**2), rel=1e-13)  # and they are orthogonal


@pytest.mark.parametrize("with_mean", [False, True])
@each_sde
@each_nested
def test_full_score_is_the_exact_score_of_a_matching_gaussian(nested, sde, like, array, host, eps, with_mean):
    process = make(sde, nested, some_mean(nested) if with_mean else None)
    gaussian = matching_gaussian(process)
    scores = [gaussian.restrict(level).score(sde) for level in nested]
    full, batch = process.full_score(scores), (2, 3, 2)
    t = mixed_times(process, 12).reshape(batch)
    x = np.random.default_rng(10).standard_normal((*batch, *nested.ambient_shape))
    # the exact score by a solved linear system in float64
    d = nested[0].dim

    def exact(y, s):
        marginal = sde.alpha(s) ** 2 * gaussian.covariance + sde.sigma(s) ** 2 * np.eye(d)
        return -np.linalg.solve(marginal, y.ravel() - sde.alpha(s) * gaussian.mean.ravel())

    expected = np.stack([exact(y, float(s)) for y, s in zip(x.reshape(12, -1), t.ravel())]).reshape(x.shape)
    # float32 times move the score by eps · |∂s/∂t|, as large as 10⁴ near t_min: compare in its own units
    found = full(array(x), array(t))
    assert found.dtype == like.dtype and found.shape == x.shape
    scale = np.max(np.abs(expected), axis=tuple(range(3, x.ndim)), keepdims=True)
    error = np.max(np.abs(host(found) - expected) / scale)
    assert error < 2e4 * eps
    for s in (sde.t_min, *process.times, 0.4 * sde.T, sde.T):
        one = host(full(array(x[0, 0]), s))
        exactly = np.stack([exact(y, s) for y in x[0, 0]]).reshape(x[0, 0].shape)
        np.testing.assert_allclose(one, exactly, atol=1000 * eps * np.max(np.abs(exactly)))
    # without leading axes, and with a t of no axes
    lone = full(array(x[1, 2, 1]), array(t[1, 2, 1]))
    np.testing.assert_allclose(host(lone), host(found)[1, 2, 1], rtol=0, atol=2e4 * eps * scale.max())


@pytest.mark.parametrize("with_mean", [False, True])
@each_nested
def test_full_score_is_eq_11_written_with_matrices(nested, like, array, host, eps, with_mean):
    sde = VP()
    process, u = make(sde, nested, some_mean(nested) if with_mean else None), matrices(nested)[0]
    scores = [wiggly(k) for k in range(len(nested))]
    mean = np.zeros(nested.ambient_shape) if process.mean is None else process.mean

    def naive(x, t, k):
        s = u[k] @ scores[k]((u[k].T @ x.ravel()).reshape(nested[k].shape), t).ravel()
        for j in range(k):
            inner = u[j].T @ u[j + 1]
            off = u[j] @ (np.eye(len(inner)) - inner @ inner.T) @ u[j].T
            s = s - off @ (x - sde.alpha(t) * mean).ravel() / process.complement_variance(j + 1, t)
        return s.reshape(x.shape)

    x = np.random.default_rng(11).standard_normal((3, 4, *nested.ambient_shape))
    t = mixed_times(process, 12).reshape(3, 4)
    full = process.full_score(scores)
    expected = np.stack(
        [naive(y, float(s), process.level(float(s))) for y, s in zip(x.reshape(12, *x.shape[2:]), t.flat)]
    )
    check(full(array(x), array(t)), expected.reshape(x.shape), like, scale=10)
    for k in range(process.K + 1):
        stage, (low, high) = process.full_score(scores, level=k), process.ends(k)
        for s in (low, 0.6 * low + 0.4 * high, high):
            check(stage(array(x[0, 0]), s), naive(x[0, 0], s, k), like, scale=10)
        for outside in (math.nextafter(low, -1), math.nextafter(high, 2)):
            with pytest.raises(ValueError, match=rf"stage {k} reaches from t = .* to .*, got t ="):
                stage(array(x[0, 0]), outside)
    for k, s in enumerate(process.times, start=1):
        below, above = (process.full_score(scores, level=j)(x[0, 0], s) for j in (k - 1, k))
        assert np.max(np.abs(below - above)) > 1e-2  # the two stages differ at t_k, and the function of t is the lower
        np.testing.assert_array_equal(full(x[0, 0], s), below)


def test_each_level_sees_its_own_elements_once(like, array, host, eps):
    nested, calls = NESTED[2], []
    process = make(VE(), nested)

    def recorder(k):
        def score(x, t):
            calls.append((k, tuple(x.shape), t))
            return x

        return score

    t = array(mixed_times(process, 12).reshape(4, 3))
    full = process.full_score([recorder(k) for k in range(4)])
    x = array(np.random.default_rng(12).standard_normal((4, 3, 2, 3, 4)))
    full(x, t)
    levels = host(process.level(t)).ravel()
    assert [k for k, _, _ in calls] == sorted(set(levels.tolist()))
    for k, shape, at in calls:
        assert shape == (np.sum(levels == k), *process.shape(k))
        np.testing.assert_array_equal(host(at), host(t).ravel()[levels == k])
    calls.clear()
    full(x, 0.1)
    assert calls == [(0, (4, 3, 2, 3, 4), 0.1)]
    calls.clear()
    assert tuple(full(x[:0], t[:0]).shape) == (0, 3, 2, 3, 4)


def test_full_score_can_be_differentiated():
    # the Jacobian of a Gaussian's score is minus the inverse of its covariance
    nested, sde = NESTED[1], VE()
    process = make(sde, nested, some_mean(nested))
    gaussian = matching_gaussian(process)
    full = process.full_score([gaussian.restrict(level).score(sde) for level in nested])
    t = torch.asarray([0.2, 0.5 * sum(process.times), 0.8], dtype=torch.float64)
    x = torch.asarray(np.random.default_rng(13).standard_normal((3, 3, 2)))
    jacobian = torch.autograd.functional.jacobian(lambda y: full(y, t), x).reshape(3, 6, 3, 6)
    for i, s in enumerate(t.tolist()):
        expected = -np.linalg.inv(gaussian.covariance + sde.sigma(s) ** 2 * np.eye(6))
        np.testing.assert_allclose(jacobian[i, :, i], expected, atol=1e-12)
        for j in {0, 1, 2} - {i}:
            assert not jacobian[i, :, j].any()
