"""Eqs. 4-6 and 9-11 against closed forms, exact laws and a naive computation with matrices."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from subspace_sde import EDM, VE, VP, Basis, Downsampling, LowPass, NestedSubspaces, RectifiedFlow, SubspaceSDE, SubVP
from subspace_sde.arrays import device, namespace
from subspace_sde.backend import backend_of, library
from subspace_sde.oracles import Gaussian
from subspace_sde.statistics import complement_moments

NESTED = [  # K = 1, 2, 3 in one, two and three dimensions, odd sizes
    NestedSubspaces([LowPass((5,), 3, axes=(-1,))]),
    NestedSubspaces(
        [Basis.spanning(np.random.default_rng(0).standard_normal((6, 4)), (3, 2), (2, 2)), LowPass((2, 2), (1, 2))]
    ),
    NestedSubspaces(
        [Downsampling((2, 3, 4), 2, axes=(0, -1)), LowPass((1, 3, 2), (2, 1)), Downsampling((1, 2, 1), 2, axes=(-2,))]
    ),
]
SDES = [VE(), VP(), SubVP(), EDM(), RectifiedFlow()]
each_nested = pytest.mark.parametrize("nested", NESTED, ids=lambda n: f"K={len(n) - 1}")
each_sde = pytest.mark.parametrize("sde", SDES, ids=repr)


def check(found, expected, like, scale=1.0):
    """Library, dtype, and values to a few hundred roundings of the numbers' scale."""
    assert found.dtype == like.dtype and library(found) == library(like)
    eps = float(namespace(like).finfo(like.dtype).eps)
    tolerance = 300 * eps * scale * max(1.0, float(np.max(np.abs(expected), initial=0)))
    np.testing.assert_allclose(backend_of(found).to_numpy(found), expected, rtol=0, atol=tolerance)


def times_of(sde, count):
    """Times at which noise and data are of one size, where a mistake in either shows."""
    return [sde.time_at_log_snr(v) for v in (1.5, 0.0, -1.5)[:count]]


def make(sde, nested, mean=None, variances=(0.7, 0.4, 0.9)):
    k = len(nested) - 1
    return SubspaceSDE(sde, nested, times_of(sde, k), variances[:k], mean)


def matrices(nested):
    """U_k and P_k of the full space."""
    u = [level.matrix() for level in nested]
    return u, [m @ m.T for m in u]


def matching_gaussian(process, seed=0):
    """U_K A U_Kᵀ + Σ_k v_k (P_{k-1} − P_k): the complements are isotropic and independent, as the model has them."""
    u, p = matrices(process.subspaces)
    n = u[-1].shape[1]
    root = np.random.default_rng(seed).standard_normal((n, n)) / math.sqrt(n)
    covariance = u[-1] @ (root @ root.T + 0.1 * np.eye(n)) @ u[-1].T
    for v, outer, inner in zip(process.complement_variances, p, p[1:]):
        covariance = covariance + v * (outer - inner)
    mean = np.zeros(process.subspaces.ambient_shape) if process.mean is None else process.mean
    return Gaussian(mean, (covariance + covariance.T) / 2)


def any_gaussian(nested, seed=1):
    d = nested[0].dim
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((d, d)) / math.sqrt(d)
    return Gaussian(rng.standard_normal(nested.ambient_shape), root @ root.T + 0.1 * np.eye(d))


def some_mean(nested):
    return np.random.default_rng(2).standard_normal(nested.ambient_shape)


def mixed_times(process, batch):
    """Times over the batch, from every stage, t_k and the ends included."""
    ends = [process.sde.t_min, *process.times, process.sde.T]
    inner = [a + w * (b - a) for a, b in zip(ends, ends[1:]) for w in (0.3, 0.8)]
    return np.random.default_rng(3).permutation(np.resize([*inner, *ends], batch))


class Scripted(np.random.Generator):
    """Draws that are unit vectors: row r of all the draws together is e_r (and zeros in the rows before `first`).

    What is done with the noise is affine, so that the rows of the result are its matrix, and its law is exact.
    """

    def __init__(self, first):
        super().__init__(np.random.PCG64(0))
        self.used = first

    def standard_normal(self, shape, dtype=np.float64):
        numbers = math.prod(shape[1:])
        draws = np.eye(shape[0], dtype=dtype)[:, self.used : self.used + numbers]
        assert draws.shape[1] == numbers, "more rows are needed"
        self.used += numbers
        return draws.reshape(shape)


def rows(gaussian, noise):
    """x(0) for `Scripted`: the mean, the d columns of a root of the covariance about it, `noise` times the mean."""
    d = gaussian.mean.size
    values, vectors = np.linalg.eigh(gaussian.covariance)
    deviations = np.concatenate([np.zeros((1, d)), (vectors * np.sqrt(values)).T, np.zeros((noise, d))])
    return gaussian.mean + deviations.reshape(-1, *gaussian.shape)


def law(x):
    """Mean, and covariance of x, from the rows of `Scripted`."""
    flat = x.reshape(x.shape[0], -1)
    return flat[0], (flat[1:] - flat[0]).T @ (flat[1:] - flat[0])


# -- levels and eqs. 4-6 ---------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(times=st.lists(st.floats(0.01, 0.99), min_size=2, max_size=2, unique=True).map(sorted))
def test_the_level_changes_just_above_each_time(like, array, host, times):
    kind = np.float32 if "32" in str(like.dtype) else np.float64
    nested = NESTED[1]
    process = SubspaceSDE(VE(), nested, times, (0.1, 0.1))
    for k, t in enumerate(process.times, start=1):
        assert process.level(t) == k - 1
        assert process.level(math.nextafter(t, 0)) <= k - 1
        assert process.level(math.nextafter(t, 1)) >= k
        at = np.asarray(t).astype(kind)
        found = process.level(array([at, np.nextafter(at, kind(2))]))
        assert "int64" in str(found.dtype)
        # two t_k can be one float32 number: then both jumps are made just above it
        rounded = [kind(s) for s in process.times]
        assert host(found).tolist() == [sum(s < at for s in rounded), sum(s <= at for s in rounded)]


def test_levels_at_the_ends_and_between():
    process = make(VE(), NESTED[2])
    assert [process.level(t) for t in (0, 0.0, *process.times, 1.0, 1)] == [0, 0, 0, 1, 2, 3, 3]
    grid = np.linspace(0, 1, 101).reshape(1, 101)
    np.testing.assert_array_equal(process.level(grid), [[process.level(float(t)) for t in grid[0]]])
    assert [process.ends(k) for k in range(4)] == list(zip((0.0, *process.times), (*process.times, 1.0)))
    assert [process.shape(k) for k in range(4)] == [(2, 3, 4), (1, 3, 2), (1, 2, 1), (1, 1, 1)]


def test_jumps_are_the_dirac_terms_of_eq_6():
    process = make(VP(), NESTED[2])
    assert [t for t, _ in process.jumps] == list(process.times)
    x = np.random.default_rng(0).standard_normal((3, 2, 3, 4))
    for (_, u), p in zip(process.jumps, matrices(process.subspaces)[1][1:]):
        np.testing.assert_allclose(u.project(x).reshape(3, -1), x.reshape(3, -1) @ p, atol=1e-14)


@each_sde
@each_nested
def test_drift_and_diffusion_are_the_derivatives_of_the_kernel(nested, sde, like, xp, array, host, eps):
    # f = (log α)' and g² = (σ²)' − 2fσ², by central differences; G = g U_k U_kᵀ by matrices
    process, (_, p) = make(sde, nested), matrices(nested)
    batch = (2, 7)
    x = np.random.default_rng(4).standard_normal((*batch, *nested.ambient_shape))
    t = mixed_times(process, 14).clip(sde.t_min + 0.01, sde.T - 0.01).reshape(batch)
    h = 1e-6 * (1 - t if isinstance(sde, RectifiedFlow) else 1)
    f = (np.log(sde.alpha(t + h)) - np.log(sde.alpha(t - h))) / (2 * h)
    g = np.sqrt((sde.sigma(t + h) ** 2 - sde.sigma(t - h) ** 2) / (2 * h) - 2 * f * sde.sigma(t) ** 2)
    shape = (*batch, *(1,) * len(nested.ambient_shape))
    drift, x_like = process.drift(array(x), array(t)), array(x)
    tolerance = max(1e-6, 1000 * eps)
    assert drift.dtype == like.dtype
    np.testing.assert_allclose(host(drift), f.reshape(shape) * x, rtol=tolerance, atol=1e-6)
    projected = np.stack([p[process.level(s)] @ y.ravel() for s, y in zip(t.ravel(), x.reshape(14, -1))])
    diffusion = process.diffusion(x_like, xp.asarray(t, dtype=xp.float64, device=device(like)))
    assert diffusion.dtype == like.dtype
    expected = g.reshape(shape) * projected.reshape(x.shape)
    np.testing.assert_allclose(host(diffusion), expected, rtol=tolerance, atol=tolerance * np.max(g))
    # one t for all is the same as that t for each
    one = float(t[0, 0])
    check(process.drift(x_like, one)[0, 0], host(drift[0, 0]), like)
    check(process.diffusion(x_like, one)[0, 0], host(diffusion[0, 0]), like)


# -- forward marginals and paths -------------------------------------------------------------------------------


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


# -- eq. 9 and injection ---------------------------------------------------------------------------------------


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


# -- eqs. 10 and 11 --------------------------------------------------------------------------------------------


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


def wiggly(k):
    """Any function will do as a score: eq. 11 does not ask where it comes from."""

    def score(x, t):
        xp = torch if isinstance(x, torch.Tensor) else np
        t = t if isinstance(t, float) else t.reshape(*t.shape, *(1,) * (x.ndim - t.ndim))
        return xp.sin((k + 1) * x) * (1.0 + t) - 0.3 * k

    return score


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


def test_k_0_is_the_plain_process():
    nested = NestedSubspaces([], ambient_shape=(3,))
    process = SubspaceSDE(VP(), nested, [], [])
    x = np.random.default_rng(14).standard_normal((4, 3))
    assert process.K == 0 and process.level(1.0) == 0 and process.jumps == () and process.ends(0) == (1e-3, 1.0)
    np.testing.assert_array_equal(process.diffusion(x, 0.3), VP().g(0.3) * x)
    full = process.full_score([lambda y, t: np.sin(y) * t])
    np.testing.assert_array_equal(full(x, 0.3), np.sin(x) * 0.3)
    with pytest.raises(ValueError, match="needs 0 <= base < k <= 0"):
        process.complement_variance(1, 0.5)


# -- fit, and what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize("center", [False, True])
def test_fit_takes_arrays_batches_and_moments_alike(like, array, host, eps, center):
    nested = NESTED[1]
    x = np.random.default_rng(15).standard_normal((30, 3, 2)) + 1
    x = array(x)
    plain = SubspaceSDE.fit(VE(), nested, [0.4, 0.6], x, center=center)
    flat = host(x).reshape(30, 6)
    mean = flat.mean(0)
    if center:
        np.testing.assert_allclose(plain.mean.ravel(), mean, atol=1e-14)
    else:
        assert plain.mean is None
    p = matrices(nested)[1]
    for v, a, b in zip(plain.complement_variances, p, p[1:]):
        off = (flat - mean * center) @ (a - b)
        assert v == pytest.approx(np.sum(off**2) / 30 / round(np.trace(a - b)), rel=1e-12)
    for data in ((x[i : i + 7] for i in range(0, 30, 7)), complement_moments(nested, x)):
        other = SubspaceSDE.fit(VE(), nested, [0.4, 0.6], data, center=center)
        np.testing.assert_allclose(other.complement_variances, plain.complement_variances, rtol=1e-13)
    with pytest.raises(ValueError, match="and not of"):
        SubspaceSDE.fit(VE(), NESTED[0], [0.4], complement_moments(nested, x))


def test_plans_that_make_no_sense_are_refused():
    nested = NESTED[1]
    for times in ([0.6, 0.4], [0.4, 0.4], [0.0, 0.5], [0.5, 1.0], [-0.1, 0.5], [0.5, 1.5], [math.nan, 0.5]):
        with pytest.raises(ValueError, match=r"increase strictly inside \(0, 1\), the smallest subspace last, got"):
            SubspaceSDE(VE(), nested, times, [0.1, 0.1])
    for times, variances in (([0.4], [0.1, 0.1]), ([0.4, 0.5, 0.6], [0.1, 0.1]), ([0.4, 0.5], [0.1]), ([], [])):
        with pytest.raises(ValueError, match="2 proper subspaces need as many times and complement variances"):
            SubspaceSDE(VE(), nested, times, variances)
    for bad in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="finite and not negative"):
            SubspaceSDE(VE(), nested, [0.4, 0.5], [0.1, bad])
    with pytest.raises(ValueError, match=r"the mean has shape \(2, 2\), the full space \(3, 2\)"):
        SubspaceSDE(VE(), nested, [0.4, 0.5], [0.1, 0.1], mean=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="the mean holds NaN"):
        SubspaceSDE(VE(), nested, [0.4, 0.5], [0.1, 0.1], mean=torch.full((3, 2), math.nan))
    with pytest.raises(TypeError, match="must be NestedSubspaces, got LowPass"):
        SubspaceSDE(VE(), nested.steps[1], [0.4, 0.5], [0.1, 0.1])
    with pytest.raises(TypeError, match="must be an IsotropicSDE, got str"):
        SubspaceSDE("VE", nested, [0.4, 0.5], [0.1, 0.1])


def test_scores_that_are_missing_or_no_functions_are_refused():
    process = make(VE(), NESTED[1])
    for scores in ([], [wiggly(0)], [wiggly(0)] * 4, wiggly(0)):
        with pytest.raises(ValueError, match="levels 0 to 2 and needs 3 scores, the full space's first, got"):
            process.full_score(scores)
    with pytest.raises(TypeError, match="callable"):
        process.full_score([wiggly(0), None, wiggly(2)])
    for level in (-1, 3):
        with pytest.raises(ValueError, match=rf"level must lie in 0 ... 2, got {level}"):
            process.full_score([wiggly(0)] * 3, level=level)


def test_arrays_of_another_space_are_refused_and_the_way_is_named():
    process = make(VE(), NESTED[1])
    full = process.full_score([wiggly(k) for k in range(3)])
    calls = {
        "perturb": lambda x: process.perturb(x, 0.5, 0),
        "path": lambda x: process.path(x, [0.5], 0),
        "drift": lambda x: process.drift(x, 0.5),
        "diffusion": lambda x: process.diffusion(x, np.zeros(7)),
        "full score": lambda x: full(x, 0.5),
        "stage": lambda x: process.full_score([wiggly(0)] * 3, level=0)(x, 0.1),
    }
    for call in calls.values():
        with pytest.raises(
            ValueError, match=r"trailing shape \(3, 2\), got \(2, 2\), .* level 1: .*subspaces\[1\].embed"
        ):
            call(np.zeros((7, 2, 2)))
        with pytest.raises(ValueError, match=r"got \(1, 2\), the coordinates of level 2"):
            call(torch.zeros(7, 1, 2))
        with pytest.raises(ValueError, match=r"takes trailing shape \(3, 2\), got \(2, 3\)"):
            call(np.zeros((7, 2, 3)))
        with pytest.raises(ValueError, match="takes floating-point numbers, got int64"):
            call(np.zeros((7, 3, 2), dtype=np.int64))
        with pytest.raises(TypeError, match="expected an array"):
            call([[1.0, 2.0]] * 3)


def test_a_t_that_does_not_fit_the_batch_is_refused():
    process, x = make(VE(), NESTED[1]), np.zeros((4, 2, 3, 2))
    full = process.full_score([wiggly(k) for k in range(3)])
    for call in (full, process.drift, process.diffusion, lambda y, t: process.perturb(y, t, 0)):
        for t in (np.full(4, 0.5), np.full((2, 4), 0.5), np.full(8, 0.5)):
            with pytest.raises(ValueError, match=r"t has shape .*, but the batch of x is \(4, 2\)"):
                call(x, t)
        with pytest.raises(TypeError):
            call(x, torch.full((4, 2), 0.5))
        with pytest.raises(TypeError):
            call(torch.asarray(x), np.full((4, 2), 0.5))
