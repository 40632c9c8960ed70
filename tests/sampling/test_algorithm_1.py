"""Algorithm 1: the law of its samples, exactly; its times, its counts and its trajectory."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from subspace_sde import EDM, VE, VP, LowPass, NestedSubspaces, RectifiedFlow, SubspaceSDE, sample
from subspace_sde.backend import backend_of, streams
from subspace_sde.oracles import Gaussian
from subspace_sde.sampling import stage_times
from subspace_sde.solvers import EulerMaruyama, Heun, Langevin, PredictorCorrector
from tests.sampling.processes import NESTED, Recorder, make, normal_score

SDES = [VE(), VP(), EDM()]
each_nested = pytest.mark.parametrize("nested", NESTED, ids=lambda n: f"K={len(n) - 1}")
each_sde = pytest.mark.parametrize("sde", SDES)


def matching_gaussian(process, seed=0):
    """The complements are isotropic and independent, with the process's variances; and the process's mean."""
    u = [level.matrix() for level in process.subspaces]
    n = process.subspaces[-1].dim
    root = np.random.default_rng(seed).standard_normal((n, n)) / math.sqrt(n)
    covariance = u[-1] @ (0.3 * root @ root.T + 0.1 * np.eye(n)) @ u[-1].T
    for v, outer, inner in zip(process.complement_variances, u, u[1:]):
        covariance = covariance + v * (outer @ outer.T - inner @ inner.T)
    mean = np.zeros(process.subspaces.ambient_shape) if process.mean is None else process.mean
    return Gaussian(mean, (covariance + covariance.T) / 2)


def scores_of(law, process):
    return [law.restrict(level).score(process.sde) for level in process.subspaces]


class Scripted(np.random.Generator):
    """Draws that are unit vectors: row r of all the draws together is e_r, row 0 has no noise.

    With Gaussian scores a sample is affine in its noise, so that the rows of the result give its law exactly.
    """

    def __init__(self):
        super().__init__(np.random.PCG64(0))
        self.used = 1

    def standard_normal(self, shape, dtype=np.float64):
        numbers = math.prod(shape[1:])
        assert self.used + numbers <= shape[0], "more rows are needed"
        draws = np.zeros((shape[0], numbers), dtype=dtype)
        draws[np.arange(self.used, self.used + numbers), np.arange(numbers)] = 1
        self.used += numbers
        return draws.reshape(shape)


def exact_law(process, scores, solver, steps):
    """Mean and covariance of what `sample` returns."""
    counts = [len(t) - 1 for t in stage_times(process, steps)]
    dims = [level.dim for level in process.subspaces]
    drawn = dims[-1] + sum(dims[:-1]) + (0 if isinstance(solver, Heun) else sum(c * n for c, n in zip(counts, dims)))
    rng = Scripted()
    x = sample(process, scores, 1 + drawn, solver, steps, rng).x.reshape(1 + drawn, -1)
    assert rng.used == 1 + drawn  # all the noise there is
    return x[0], (x[1:] - x[0]).T @ (x[1:] - x[0])


def power(matrix, exponent):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**exponent) @ vectors.T


def limit_law(process, law, solver):
    """As steps → ∞: the data's law at t_min, but for level K's start from N(0, σ(T)²) instead of its marginal."""
    sde, u = process.sde, process.subspaces[-1].matrix()

    def marginal(g, t):
        return sde.alpha(t) ** 2 * g.covariance + sde.sigma(t) ** 2 * np.eye(len(g.covariance))

    inner, low, high = law.restrict(process.subspaces[-1]), sde.t_min, sde.T
    before, after = marginal(inner, high), marginal(inner, low)
    if isinstance(solver, Heun):
        flow = power(after, 0.5) @ power(before, -0.5)
    else:
        flow = sde.alpha(high) / sde.alpha(low) * after @ np.linalg.inv(before)
    wrong = sde.prior_std**2 * np.eye(len(before)) - before
    mean = sde.alpha(low) * law.mean.ravel() - u @ flow @ inner.mean.ravel() * sde.alpha(high)
    return mean, marginal(law, low) + u @ flow @ wrong @ flow.T @ u.T


@pytest.mark.parametrize("with_mean", [False, True])
@pytest.mark.parametrize(
    "solver, order, counts",
    [(EulerMaruyama(), 1, (200, 400)), (Heun(), 2, (100, 200))],
    ids=["Euler-Maruyama", "Heun"],
)
@each_sde
@each_nested
def test_the_law_of_the_samples_converges_to_that_of_the_data(nested, sde, solver, order, counts, with_mean):
    process = make(sde, nested, np.random.default_rng(1).standard_normal(nested.ambient_shape) if with_mean else None)
    law = matching_gaussian(process)
    mean, covariance = limit_law(process, law, solver)
    # the limit itself is the data's law, as far as α(T)²C is nothing beside σ(T)²
    small = (sde.alpha(sde.T) / sde.sigma(sde.T)) ** (1 if isinstance(solver, Heun) else 2)
    floor = sde.sigma(sde.t_min) ** 2 + (1 - sde.alpha(sde.t_min) ** 2) * np.max(law.covariance)
    assert np.max(np.abs(covariance - law.covariance)) < 4 * small**2 + 2 * floor
    assert np.max(np.abs(mean - law.mean.ravel())) < 4 * small + floor
    found = [exact_law(process, scores_of(law, process), solver, n) for n in counts]
    errors = [np.linalg.norm(c - covariance) / np.linalg.norm(covariance) for _, c in found]
    assert errors[-1] < (0.05 if order == 1 else 0.003), errors
    # over the whole of VE in one stage the errors of order 1 at σ above and below the data's cancel
    measured = 2 if isinstance(sde, VE) and process.K == 0 else order
    assert math.log2(errors[-2] / errors[-1]) == pytest.approx(measured, abs=0.15), errors
    if with_mean:
        gaps = [np.linalg.norm(m - mean) for m, _ in found]
        assert math.log2(gaps[-2] / gaps[-1]) == pytest.approx(order, abs=0.15), gaps


@pytest.mark.parametrize("solver", [EulerMaruyama(), Heun()])
def test_samples_have_that_law_on_every_library(solver, like, host):
    # the discretised law is known exactly: every entry of mean and covariance within 5 standard errors of it
    nested, num = NESTED[2], 1500
    process = make(VE(), nested, np.random.default_rng(2).standard_normal(nested.ambient_shape))
    law = matching_gaussian(process)
    mean, covariance = exact_law(process, scores_of(law, process), solver, 24)
    samples = sample(process, scores_of(law, process), num, solver, 24, rng=3, like=like)
    assert samples.x.dtype == like.dtype and samples.x.device == like.device and samples.x.shape == (num, 2, 3)
    x, diagonal = host(samples.x).reshape(num, -1), np.diag(covariance)
    assert np.all(np.abs(x.mean(0) - mean) < 5 * np.sqrt(diagonal / num))
    stderr = np.sqrt((np.outer(diagonal, diagonal) + covariance**2) / num)
    assert np.all(np.abs(np.cov(x.T) - covariance) < 5 * stderr)


def test_k_0_is_ordinary_sampling(like, array, host, eps):
    sde, steps, num = VP(), 12, 4
    process = SubspaceSDE(sde, NestedSubspaces([], ambient_shape=(2, 3)), [], [])

    def score(x, t):
        return -x * (1 + 0.1 * t) - 0.01 * x * x

    found = sample(process, [score], num, steps=steps, rng=4, like=like)
    backend = backend_of(like)
    generators = [backend.generator(s, like) for s in streams(4, 0, num)]

    def noise():
        return np.concatenate([host(backend.normal(g, (1, 2, 3), like)) for g in generators])

    x, times = sde.prior_std * noise(), np.linspace(sde.T, sde.t_min, steps + 1)
    for t, s in zip(times, times[1:]):
        x = x + (sde.f(t) * x - sde.g(t) ** 2 * score(x, t)) * (s - t) + sde.g(t) * math.sqrt(t - s) * noise()
    np.testing.assert_allclose(host(found.x), x, rtol=0, atol=1000 * eps)
    assert found.evaluations == (steps,) and len(found.seconds) == 1 and found.trajectory == []


@given(
    steps=st.integers(1, 300),
    times=st.lists(st.floats(0.001, 0.999), min_size=0, max_size=4, unique=True).map(sorted),
    sde=st.sampled_from([VE(), VP(), EDM(1e-3, 1.0), RectifiedFlow()]),
)
def test_every_step_is_used_once_and_stages_end_exactly(steps, times, sde):
    times = [t for t in times if sde.t_min < t < sde.T]
    k = len(times)
    sizes = [8, 7, 5, 4, 2][: k + 1]
    nested = NestedSubspaces([LowPass((a,), b, axes=(-1,)) for a, b in zip(sizes, sizes[1:])], (8,))
    process = SubspaceSDE(sde, nested, times, [0.1] * k)
    if steps < k + 1:
        with pytest.raises(ValueError, match=rf"{k + 1} levels need at least as many steps, got {steps}"):
            stage_times(process, steps)
        return
    grids = stage_times(process, steps)
    counts = [len(g) - 1 for g in grids]
    assert len(grids) == k + 1 and sum(counts) == steps and min(counts) >= 1
    ends = [sde.t_min, *times, sde.T]
    for grid, low, high in zip(grids, ends, ends[1:]):
        assert grid[0] == high and grid[-1] == low
        assert np.all(np.diff(grid) < 0)
        u = np.asarray([sde.grid_parameter(float(t)) for t in grid])
        np.testing.assert_allclose(np.diff(u), (u[-1] - u[0]) / (len(grid) - 1), rtol=1e-6, atol=1e-13)
    visited = np.concatenate([grids[-1], *(g[1:] for g in reversed(grids[:-1]))])
    assert len(set(visited.tolist())) == steps + 1  # t_k once, not twice
    # shares by length in the grid's own parameter, to within a step; one less for each stage that was given its one
    lengths = np.abs(np.diff([sde.grid_parameter(t) for t in ends]))
    share = lengths / lengths.sum() * steps
    given_one = np.sum(share < 1)
    assert np.all(np.asarray(counts) - share < 1 + 1e-9)
    assert np.all(share - np.asarray(counts) < 1 + given_one + 1e-9)


def test_steps_are_not_truncated_floats():
    # int(1000 * (1 − 0.9)) is 99
    process = SubspaceSDE(VE(), NESTED[1], [0.9], [0.1])
    assert [len(t) - 1 for t in stage_times(process, 1000)] == [900, 100]
    assert [len(t) - 1 for t in stage_times(process, np.int64(10))] == [9, 1]
    assert [len(t) - 1 for t in stage_times(process, torch.tensor(10))] == [9, 1]
    for steps in (10.0, True, np.float64(10)):
        with pytest.raises(TypeError, match="`steps` takes a whole number or a sequence of numbers, got"):
            sample(process, [np.negative] * 2, 1, steps=steps)
    own = np.asarray([1.0, 0.95, 0.9, 0.0])
    for steps in (own, own.tolist(), tuple(own), torch.asarray(own)):
        assert [t.tolist() for t in stage_times(process, steps)] == [[0.9, 0.0], [1.0, 0.95, 0.9]]


def test_the_solver_visits_the_times_in_their_order_on_their_levels():
    process, solver = make(EDM(), NESTED[2]), Recorder()
    found = sample(process, [normal_score(EDM())] * 3, 3, solver, steps=20)
    grids = stage_times(process, 20)
    expected = [(float(t), float(s), (3, *process.shape(k))) for k in (2, 1, 0) for t, s in zip(grids[k], grids[k][1:])]
    assert solver.steps == expected
    assert found.evaluations == tuple(len(g) - 1 for g in grids)


def test_evaluations_are_counted_for_every_solver(like):
    process, calls = make(VP(), NESTED[2]), [0, 0, 0]

    def counting(k):
        def score(x, t):
            assert type(t) is float
            calls[k] += 1
            return -x

        return score

    counts = [len(t) - 1 for t in stage_times(process, 15)]
    for solver, langevin, expected in (
        (None, None, counts),
        (Heun(), None, [2 * n for n in counts]),
        (PredictorCorrector(corrector=Langevin(2)), None, [3 * n for n in counts]),
        (Heun(), Langevin(3), [2 * counts[0] + 3, 2 * counts[1] + 3, 2 * counts[2]]),  # none at the start
    ):
        calls[:] = [0, 0, 0]
        found = sample(process, [counting(k) for k in range(3)], 2, solver, 15, like=like, langevin=langevin)
        assert found.evaluations == tuple(expected) == tuple(calls)
        assert len(found.seconds) == 3 and min(found.seconds) > 0


def test_the_trajectory_is_every_state(like, array, host, eps):
    process = make(VE(), NESTED[2])
    found = sample(process, [normal_score(VE())] * 3, 4, steps=9, rng=5, like=like, trajectory=True)
    grids = stage_times(process, 9)
    assert [(t, k) for t, k, _ in found.trajectory] == [(float(t), k) for k in (2, 1, 0) for t in grids[k]]
    assert found.trajectory[-1][2] is found.x
    for _, k, x in found.trajectory:
        assert x.shape == (4, *process.shape(k)) and x.dtype == like.dtype
    # x_k(t_k) is still in x_{k-1}(t_k) after the injection
    for (t, k, low), (s, j, high) in zip(found.trajectory, found.trajectory[1:]):
        if k != j:
            assert t == s == process.times[j]
            np.testing.assert_allclose(
                host(process.subspaces.steps[j].restrict(high)),
                host(low),
                rtol=0,
                atol=100 * eps * float(abs(low).max()),
            )
    again = sample(process, [normal_score(VE())] * 3, 4, steps=9, rng=5, like=like)
    np.testing.assert_array_equal(host(again.x), host(found.x))
