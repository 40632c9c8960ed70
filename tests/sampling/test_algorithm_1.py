"""Algorithm 1: the law of its samples, exactly; its times, counts, seeds, and what it refuses."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from subspace_sde import EDM, VE, VP, Downsampling, LowPass, NestedSubspaces, RectifiedFlow, SubspaceSDE, sample
from subspace_sde.backend import backend_of, streams
from subspace_sde.oracles import Gaussian
from subspace_sde.sampling import stage_times
from subspace_sde.solvers import EulerMaruyama, Heun, Langevin, PredictorCorrector, SingleStep

NESTED = [
    NestedSubspaces([], ambient_shape=(5,)),
    NestedSubspaces([LowPass((5,), 3, axes=(-1,))]),
    NestedSubspaces([Downsampling((2, 3), 2, axes=(0,)), LowPass((1, 3), 2, axes=(-1,))]),
]
SDES = [VE(), VP(), EDM()]
each_nested = pytest.mark.parametrize("nested", NESTED, ids=lambda n: f"K={len(n) - 1}")
each_sde = pytest.mark.parametrize("sde", SDES, ids=repr)


def make(sde, nested, mean=None):
    k = len(nested) - 1
    return SubspaceSDE(sde, nested, [sde.time_at_log_snr(v) for v in (0.5, -1.5)[:k]], (0.4, 0.7)[:k], mean)


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


@pytest.mark.parametrize("solver", [EulerMaruyama(), Heun()], ids=lambda s: type(s).__name__)
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


# -- times


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
    for steps in (10.0, 1e3, True, "10", None, np.float64(10)):
        with pytest.raises(TypeError, match="steps must be an integer, or times from T down to t_min, got"):
            stage_times(process, steps)
        with pytest.raises(TypeError, match="steps must be an integer, or times from T down to t_min, got"):
            sample(process, [np.negative] * 2, 1, steps=steps)


def normal_score(sde):
    return lambda x, t: -x / (sde.alpha(t) ** 2 + sde.sigma(t) ** 2)


class Recorder(SingleStep):
    """A solver that writes down its steps and what it was handed."""

    def __init__(self):
        self.steps = []

    def step(self, x, t, s, score, sde, noise):
        self.steps.append((t, s, tuple(x.shape)))
        assert type(t) is float and noise().shape == x.shape
        score(x, t)
        return x


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


# -- the steps after an injection


def test_langevin_after_an_injection_is_handed_the_score_at_x_k_minus_1_and_t_k(like, host):
    process, handed = make(VE(), NESTED[2]), []

    def network(k):
        return lambda x, t: -(k + 2.0) * x / (1 + t)

    def move(x, t, score, noise, injected):
        handed.append((tuple(x.shape), t, injected))
        k = len(process.subspaces) - 1 - len(handed)
        np.testing.assert_array_equal(host(score(x, t)), host(network(k)(x, t)))
        z = noise()
        assert z.shape == x.shape and z.dtype == x.dtype
        return x + 1

    found = sample(
        process,
        [network(k) for k in range(3)],
        3,
        Recorder(),
        6,
        like=like,
        langevin=SimpleNamespace(move=move),
        trajectory=True,
    )
    nested = process.subspaces
    assert handed == [((3, 1, 3), process.times[1], nested.steps[1]), ((3, 2, 3), process.times[0], nested.steps[0])]
    counts = [len(t) - 1 for t in stage_times(process, 6)]
    assert found.evaluations == (counts[0] + 1, counts[1] + 1, counts[2])  # that one is counted too


@pytest.mark.parametrize("only", [True, False])
def test_the_steps_after_an_injection_move_the_complement_alone(only, like, host, eps):
    process = make(VE(), NESTED[1])
    found = sample(
        process,
        [normal_score(VE())] * 2,
        5,
        Heun(),
        steps=40,
        rng=6,
        like=like,
        langevin=Langevin(4, 0.3, only),
        trajectory=True,
    )
    (_, _, low), (_, _, high) = next(p for p in zip(found.trajectory, found.trajectory[1:]) if p[0][1] != p[1][1])
    gap = np.abs(host(process.subspaces.steps[0].restrict(high)) - host(low))
    assert np.max(gap) < 100 * eps * float(abs(low).max()) if only else np.min(np.max(gap, axis=1)) > 0.05


# -- seeds


@pytest.mark.parametrize(
    "solver, langevin",
    [(None, None), (Heun(), Langevin(2)), (PredictorCorrector(), Langevin(1, complement_only=False))],
    ids=["Euler-Maruyama", "Heun", "predictor-corrector"],
)
def test_sample_i_is_bitwise_the_same_in_any_batch(solver, langevin, like, host):
    nested = NestedSubspaces([Downsampling((3, 4, 6), 2), Downsampling((3, 2, 3), 3, axes=(-1,))])
    process = make(VE(), nested)
    scores = [lambda x, t: -x / (1 + VE().sigma(t) ** 2)] * 3

    def draw(num, rng):
        return host(sample(process, scores, num, solver, 10, rng, like, langevin).x)

    whole = draw(7, 8)
    for start, stop in ((0, 7), (0, 1), (2, 5), (3, 4), (4, 7)):
        np.testing.assert_array_equal(draw(stop - start, streams(8, start, stop)), whole[start:stop])
    np.testing.assert_array_equal(draw(3, 8), whole[:3])
    mixed = [streams(8, i, i + 1)[0] for i in (5, 0, 6)]
    np.testing.assert_array_equal(draw(3, mixed), whole[[5, 0, 6]])
    assert not np.array_equal(draw(3, 9), whole[:3]) and len(np.unique(whole)) == whole.size


def test_a_generator_is_taken_as_it_is(like, host):
    process = make(VP(), NESTED[1])
    first, second, again = (
        host(sample(process, [normal_score(VP())] * 2, 3, steps=4, rng=g, like=like).x)
        for g in (lambda g: [g, g, backend_of(like).generator(1, like)])(backend_of(like).generator(1, like))
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)  # it goes on


def test_torch_samples_carry_no_graph(torch_like):
    process = make(VE(), NESTED[1])
    weight = torch.ones((), dtype=torch_like.dtype, device=torch_like.device, requires_grad=True)

    def score(x, t):
        return -weight * x / (1 + VE().sigma(t) ** 2)

    found = sample(process, [score] * 2, 2, steps=4, like=torch_like, langevin=Langevin(), trajectory=True)
    assert not found.x.requires_grad and found.x.grad_fn is None
    assert not any(x.requires_grad for _, _, x in found.trajectory)
    assert torch.is_grad_enabled()


# -- what is refused


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("level, step, row", [(2, 1, 0), (1, 2, 3), (0, 3, 4)])
def test_a_score_that_is_not_finite_is_named(level, step, row, value, like, array):
    process, calls = make(VE(), NESTED[2]), [0, 0, 0]

    def score_of(k):
        def score(x, t):
            calls[k] += 1
            bad = np.zeros(x.shape)
            if k == level and calls[k] == step:
                bad[(row, *(0,) * (x.ndim - 1))] = value
            return -x / (1 + VE().sigma(t) ** 2) + array(bad)

        return score

    s = stage_times(process, 30)[level][step]
    message = rf"not finite on level {level} at t = {s:.6g} \(step {step} of that level\), sample {row}"
    with pytest.raises(ValueError, match=message), np.errstate(invalid="ignore"):
        sample(process, [score_of(k) for k in range(3)], 5, steps=30, like=like)
    assert calls[level] >= step and calls[:level] == [0] * level


def test_langevin_that_breaks_a_sample_is_step_0(like, array):
    process = make(VE(), NESTED[1])

    def move(x, t, score, noise, injected):
        bad = np.zeros(x.shape)
        bad[1] = math.nan
        return x + array(bad)

    with pytest.raises(ValueError, match=rf"level 0 at t = {process.times[0]:.6g} \(step 0 of that level\), sample 1"):
        sample(process, [normal_score(VE())] * 2, 3, steps=4, like=like, langevin=SimpleNamespace(move=move))


def test_large_numbers_are_finite(like, xp):
    # their sum is not: a guard that adds up would refuse them
    process, big = make(VE(), NESTED[0]), float(xp.finfo(like.dtype).max) / 2
    solver = SimpleNamespace(stage=lambda x, times, score, sde, noise: ((s, x * 0 + big) for s in times[1:]))
    found = sample(process, [normal_score(VE())], 2, solver, 3, like=like)
    assert bool(xp.all(found.x == big))


def test_what_is_no_score_is_named(like):
    process = make(VE(), NESTED[1])
    good = normal_score(VE())
    half = (lambda x, t: x.half()) if isinstance(like, torch.Tensor) else (lambda x, t: x.astype(np.float16))
    other = (lambda x, t: np.zeros(x.shape)) if isinstance(like, torch.Tensor) else (lambda x, t: torch.zeros(x.shape))
    for bad in (half, other, lambda x, t: x[:1], lambda x, t: x[..., :1], lambda x, t: 0.0, lambda x, t: None):
        for k in (0, 1):
            scores = [bad if j == k else good for j in range(2)]
            with pytest.raises(
                ValueError, match=rf"the score of level {k} returned .* a score has the shape and dtype"
            ):
                sample(process, scores, 3, steps=4, like=like)


def test_calls_that_make_no_sense_are_refused():
    process, scores = make(VE(), NESTED[1]), [normal_score(VE())] * 2
    for missing in ([], scores[:1], [*scores, scores[0]], scores[0]):
        with pytest.raises(ValueError, match="levels 0 to 1 and needs 2 scores"):
            sample(process, missing, 3)
    for num in (0, -1, 2.0, True, None):
        with pytest.raises(ValueError, match="num must be an integer >= 1, got"):
            sample(process, scores, num)
    with pytest.raises(ValueError, match="2 levels need at least as many steps, got 1"):
        sample(process, scores, 3, steps=1)
    with pytest.raises(ValueError, match="like must be a floating-point array, got int64"):
        sample(process, scores, 3, like=np.zeros((), dtype=np.int64))
    with pytest.raises(TypeError, match="expected an array"):
        sample(process, scores, 3, like=[0.0])
    with pytest.raises(ValueError, match="rng holds 2 integers for 3 samples"):
        sample(process, scores, 3, rng=[1, 2], steps=4)
    with pytest.raises(TypeError, match="rng must be an integer, a sequence of integers"):
        sample(process, scores, 3, rng=0.5, steps=4)
    with pytest.raises(TypeError, match="rng must be an integer, a sequence"):
        sample(process, scores, 3, rng=torch.Generator(), steps=4)  # of another library than the samples
