"""The adaptive search for t_k against closed forms, its stated errors against their spread, and what it costs."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm
from scipy.optimize import brentq
from scipy.stats import chi2

from subspace_sde import EDM, VE, VP, Identity, LowPass, RectifiedFlow, SubVP, orthogonal_fisher_divergence
from subspace_sde.backend import backend_of, streams
from subspace_sde.divergence import SwitchTime, switch_times
from subspace_sde.oracles import Gaussian, Mixture, dct_basis
from tests.divergence.closed_forms import SHAPE, Counted, D, closed_form_within

LEVELS = [LowPass(SHAPE, (2, 3)), LowPass(SHAPE, 2), LowPass(SHAPE, 1)]
THRESHOLD = 3e-3
SDES = [VE(), VP(), SubVP(), EDM(), RectifiedFlow()]


def smooth():
    """A Gaussian whose variances fall with the frequency, along axes turned a little away from those of the DCT."""
    i, j = np.indices(SHAPE)
    skew = np.random.default_rng(3).standard_normal((D, D))
    axes = dct_basis(SHAPE).matrix() @ expm(0.03 * (skew - skew.T))
    mean = 0.05 * np.random.default_rng(1).standard_normal(SHAPE)
    return Gaussian(mean, axes @ np.diag((0.3 / (1 + i**2 + j**2) ** 2).ravel()) @ axes.T)


LAW = smooth()


def pool(n=2000, first=0):
    """n samples, `first` of them moved to the end, whose mean and covariance are the law's, exactly.

    The divergence of a Gaussian depends on no more, so that its closed form is what is to be found.
    """
    z = np.random.default_rng(10**6).standard_normal((n, D))
    z = z - z.mean(0)
    z = np.linalg.solve(np.linalg.cholesky(z.T @ z / n), z.T).T
    return np.roll(LAW.mean + (z @ np.linalg.cholesky(LAW.covariance).T).reshape(n, *SHAPE), -first, axis=0)


def crossing(sde, subspace, within=None, center=False, threshold=THRESHOLD):
    """The time at which the closed form meets the threshold."""
    outer = Identity(SHAPE) if within is None else within

    def excess(u):
        t = min(max(sde.from_grid_parameter(u), sde.t_min), sde.T)
        return math.log(closed_form_within(LAW, sde, outer, subspace, t, center) / threshold)

    low, high = sde.grid_parameter(sde.t_min), sde.grid_parameter(sde.T)
    return sde.from_grid_parameter(brentq(excess, low, high, xtol=1e-12))


def rate(sde, t):
    """The derivative of the grid parameter, in which the errors are asked for, by t, in which they are told."""
    return (sde.grid_parameter(1.0001 * t) - sde.grid_parameter(0.9999 * t)) / (2e-4 * t)


def consistent(z):
    """Whether these may be standard normal: mean and sum of squares inside 999 of 1000, and no outlier.

    4.5 and not 4, because the errors of the shortest searches rest on some hundred samples: of 2700 z five pass 4.
    """
    z = np.asarray(z)
    low, high = chi2.ppf([5e-4, 1 - 5e-4], z.size)
    return bool(np.all(np.abs(z) < 4.5) and low < np.sum(z**2) < high and abs(z.mean()) < 3.3 / math.sqrt(z.size))


@pytest.mark.parametrize("sde", SDES)
def test_the_spread_over_seeds_is_the_stated_error(sde):
    exact = [crossing(sde, u) for u in LEVELS]
    assert exact == sorted(exact) and exact[2] > exact[0] * 1.05
    found = [
        switch_times(
            LAW.score(sde), pool(first=90 * seed), sde, LEVELS, THRESHOLD, 0.003, rng=np.random.default_rng(seed)
        )
        for seed in range(20)
    ]
    pooled = []
    for k, t in enumerate(exact):
        times, errors = (np.asarray([getattr(f[k], name) for f in found]) for name in ("t", "stderr"))
        pooled += [(times - t) / errors]
        assert consistent(pooled[-1])
        assert all(f[k].reached for f in found) and all(e * rate(sde, s) < 0.003001 for e, s in zip(errors, times))
        assert np.median(errors * rate(sde, t)) > 0.0015  # no more is done than was asked for, but for whole rounds
    assert consistent(np.concatenate(pooled))


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("within", [None, LEVELS[0]], ids=["full", "within"])
def test_within_and_center_are_those_of_the_divergence(within, center):
    z = []
    for seed in range(12):
        found = switch_times(
            LAW.score(VE()), pool(), VE(), LEVELS[1:], THRESHOLD, rng=seed, within=within, center=center
        )
        z.append([(s.t - crossing(VE(), u, within, center)) / s.stderr for s, u in zip(found, LEVELS[1:])])
    assert all(consistent(column) for column in np.transpose(z))


def test_a_tight_error_leaves_no_bias():
    # 80 times fewer evaluations are spent at 0.003; what a parabola misses must not show here either
    found = [
        switch_times(
            LAW.score(VE()), pool(first=200 * seed), VE(), LEVELS[:1], THRESHOLD, 3e-4, rng=np.random.default_rng(seed)
        )[0]
        for seed in range(8)
    ]
    assert all(s.reached and s.evaluations > 4000 for s in found)
    assert consistent([(s.t - crossing(VE(), LEVELS[0])) / s.stderr for s in found])


def test_it_agrees_with_a_dense_curve_of_a_mixture():
    # no closed form: 300 000 evaluations on a grid as fine as the crossing is wide
    sde, u, rng = VE(), LowPass((6,), 2, axes=(-1,)), np.random.default_rng(5)
    law = Mixture([0.5, 0.3, 0.2], [Gaussian(rng.standard_normal(6), 0.02 * np.eye(6)) for _ in range(3)])
    x0, times = law.sample(20_000, rng=0), np.linspace(0.7, 0.84, 15)
    dense = orthogonal_fisher_divergence(law.score(sde), x0, sde, [u], times, np.random.default_rng(6))[0]
    t = dense.time_at(1e-2)
    i = np.searchsorted(times, t)  # the samples of all times are the same, and so is their error
    error = dense.stderr[i] / dense.values[i] / (math.log(dense.at(t - 0.005) / dense.at(t + 0.005)) / 0.01)
    z = []
    for seed in range(12):
        found = switch_times(law.score(sde), x0[1500 * seed :], sde, [u], 1e-2, rng=10 + seed)[0]
        z.append((found.t - t) / math.hypot(found.stderr, error))
    assert error < 0.0005 and consistent(z)


@pytest.mark.parametrize("scale", [1, 30])
def test_the_error_is_asked_for_in_the_grid_parameter_and_told_in_t(scale):
    # EDM's t is VE's noise level; there a scale of the data moves t by orders of magnitude
    law = Gaussian(scale * LAW.mean, scale**2 * LAW.covariance)
    for sde, derivative in ((EDM(), lambda t: 1.0), (VE(0.01, 50), lambda t: math.log(5000) * VE().sigma(t))):
        found = switch_times(law.score(sde), scale * pool(), sde, LEVELS[:1], THRESHOLD, 0.003)[0]
        assert found.reached and 0.5 < found.stderr * rate(sde, found.t) / 0.003 < 1.001
        gap = sde.sigma(found.t) - scale * crossing(EDM(), LEVELS[0])
        assert abs(gap) < 4 * found.stderr * derivative(found.t)


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("sde", [VE(), EDM()])
def test_it_takes_a_quarter_of_the_evaluations_of_a_grid(sde, levels):
    grid = [float(t) for t in sde.grid(22)[-2:0:-1]]
    assert len(grid) == 21
    subspaces = LEVELS[:levels]
    curves = orthogonal_fisher_divergence(LAW.score(sde), pool(), sde, subspaces, grid, rng=99)
    spent, needed = [], []
    for seed in range(6):
        score = Counted(LAW.score(sde))
        found = switch_times(score, pool(first=300 * seed), sde, subspaces, THRESHOLD, rng=seed)
        assert all(s.reached and s.evaluations == score.rows for s in found)
        spent.append(score.rows)
        rows = []
        for s, curve, subspace in zip(found, curves, subspaces):
            t = crossing(sde, subspace)
            i = max(i for i, time in enumerate(grid) if time < t)
            # relative error of one sample at the times about t; the same samples serve all of the grid
            scatter = min(curve.stderr[j] / curve.values[j] for j in (i, i + 1)) * math.sqrt(len(pool()))
            slope = math.log(curve.values[i] / curve.values[i + 1]) / (grid[i + 1] - grid[i])
            rows.append((scatter / (slope * s.stderr)) ** 2)
        needed.append(21 * max(rows))
    assert np.mean(spent) < 0.25 * np.mean(needed)


def test_every_evaluation_serves_all_subspaces():
    one, five = Counted(LAW.score(VE())), Counted(LAW.score(VE()))
    switch_times(one, pool(), VE(), LEVELS[:1], THRESHOLD)
    found = switch_times(five, pool(), VE(), LEVELS[:1] * 5, THRESHOLD)
    assert all(s.evaluations == five.rows for s in found)
    assert five.rows < 2 * one.rows  # each has its own windows, of 32 samples at least


def test_the_samples_are_used_in_order_each_with_noise_of_its_own():
    sde, x0, seen = VE(), pool(150), []

    def score(x, t):
        seen.extend((t, v) for v in x)
        return LAW.score(sde)(x, t)

    found = switch_times(score, x0, sde, LEVELS[:1], THRESHOLD, rng=5)[0]
    assert len(seen) == found.evaluations > 300
    for row in (0, 31, 32, 149, 150, 299, 300, found.evaluations - 1):
        t, x = seen[row]
        noise = backend_of(x0).generator(streams(5, row, row + 1)[0], x0)
        expected = x0[row % 150] + sde.sigma(t) * backend_of(x0).normal(noise, (1, *SHAPE), x0)[0]
        np.testing.assert_allclose(x, expected, rtol=1e-12)


def test_batches_and_one_array_are_the_same_search(like, eps):
    x0, score = backend_of(like).from_numpy(pool(150), like), LAW.score(VE())

    def search(data, rng=3):
        return switch_times(score, data, VE(), LEVELS, THRESHOLD, 0.004, rng=rng)

    whole = search(x0)
    for data in ([x0[i : i + 7] for i in range(0, 150, 7)], (x0[i : i + 90] for i in range(0, 150, 90))):
        for a, b in zip(search(data), whole):
            # what rounding does to the samples' D, 1/√D times its size, and to the places of later rounds
            assert a.t == pytest.approx(b.t, abs=1e3 * eps) and a.evaluations == b.evaluations
    other = search(x0, backend_of(like).generator(4, like))
    for k, u in enumerate(LEVELS):
        assert other[k].t != whole[k].t
        for s in (other[k], whole[k]):
            assert s.reached and abs(s.t - crossing(VE(), u)) < 4.5 * s.stderr


def test_the_curve_is_what_was_seen():
    found = switch_times(LAW.score(VE()), pool(), VE(), LEVELS, THRESHOLD, 1e-3)
    for s, u in zip(found, LEVELS):
        curve = s.curve
        exact = np.asarray([closed_form_within(LAW, VE(), Identity(SHAPE), u, t, False) for t in curve.times])
        near = np.argmin(np.abs(np.asarray(curve.times) - s.t))
        assert abs(curve.values[near] / exact[near] - 1) < 0.5 and curve.times[-1] == 1.0
        assert np.all(np.abs(np.log(curve.values / exact)) < 2.5)  # four samples at least, of 5 dimensions at least
        assert curve.sde is not None and curve.parts.lost == D - u.dim
    inner = found[2].curve.within(found[0].curve)
    exact = [closed_form_within(LAW, VE(), LEVELS[0], LEVELS[2], t, False) for t in inner.times]
    assert abs(math.log(inner.at(found[2].t) / np.interp(found[2].t, inner.times, exact))) < 0.7


def test_no_gradient_is_recorded(torch_like):
    weight = torch.ones((), dtype=torch_like.dtype, device=torch_like.device, requires_grad=True)
    x0 = backend_of(torch_like).from_numpy(pool(100), torch_like)
    seen = set()

    def score(x, t):
        s = weight * LAW.score(VE())(x, t)
        seen.add(s.requires_grad)
        return s

    switch_times(score, x0, VE(), LEVELS[:1], THRESHOLD, 0.02)
    assert seen == {False}


def test_a_threshold_met_from_the_first_time_on_gives_the_first_time():
    for sde in (VE(), EDM()):
        early, late = switch_times(LAW.score(sde), pool(), sde, [LEVELS[0], LEVELS[2]], 10.0)
        assert (early.t, early.stderr, early.reached) == (sde.t_min, 0.0, True) and late.evaluations < 200
    # from the first time of the scan, where that is later than the crossing; or exactly zero from there on
    times = np.linspace(0.6, 1, 5)
    found = switch_times(LAW.score(VE()), pool(), VE(), LEVELS, THRESHOLD, times=times)
    assert {(s.t, s.stderr, s.reached) for s in found} == {(0.6, 0.0, True)}
    normal, unit = Gaussian(np.zeros(SHAPE), np.eye(D)), np.concatenate([np.eye(D), -np.eye(D)]) * math.sqrt(D)
    exact = switch_times(normal.score(VE()), unit.reshape(-1, *SHAPE), VE(), LEVELS, THRESHOLD)
    assert {(s.t, s.stderr) for s in exact} == {(0.0, 0.0)}


@pytest.mark.parametrize("offset", [-2e-3, 0.0, 2e-3])
def test_a_crossing_at_the_first_time_is_told_from_one_before_it(offset):
    t = crossing(VE(), LEVELS[0])
    times = np.linspace(t + offset, 1, 9)
    found = [
        switch_times(LAW.score(VE()), pool(), VE(), LEVELS[:1], THRESHOLD, 0.003, times, rng=seed)[0]
        for seed in range(8)
    ]
    for s in found:
        assert s.reached and s.t >= times[0] and abs(s.t - max(t, times[0])) < 4 * max(s.stderr, 1e-3)


def test_a_crossing_close_to_the_last_time_is_found():
    t = crossing(VE(), LEVELS[0])
    z = []
    for seed in range(12):
        times = np.linspace(0, t + 0.004, 9)
        s = switch_times(LAW.score(VE()), pool(first=100 * seed), VE(), LEVELS[:1], THRESHOLD, 1e-3, times, rng=seed)[0]
        z.append((s.t - t) / s.stderr)
        assert s.t <= times[-1]
    assert consistent(z)


def test_a_threshold_that_is_never_met_names_the_smallest_value_and_the_subspace():
    for score, smallest in ((lambda x, t: 0 * x, r"(0\.[67]|1)"), (lambda x, t: x, r"\d")):
        with pytest.raises(
            ValueError,
            match=r"D_F of subspace 0 \(LowPass.* does not stay below 0.003: the smallest value reached is "
            + smallest
            + r".*, the last .* at t = 1$",
        ):
            switch_times(score, pool(), VE(), LEVELS, THRESHOLD)
    # at an earlier last time the third alone is not met
    t = crossing(VE(), LEVELS[1])
    with pytest.raises(ValueError, match=r"D_F of subspace 2 \(LowPass") as info:
        switch_times(LAW.score(VE()), pool(), VE(), LEVELS, THRESHOLD, times=np.linspace(0, t + 0.01, 12))
    smallest = float(str(info.value).split("reached is ")[1].split(",")[0])
    exact = closed_form_within(LAW, VE(), Identity(SHAPE), LEVELS[2], t + 0.01, False)
    assert 0.5 < smallest / exact < 1.5


def test_a_crossing_beyond_the_last_time_is_refused_however_close():
    # 1 in 100 in t beyond: the scan alone cannot tell, the search does
    times = np.linspace(0, crossing(VE(), LEVELS[0]) - 0.01, 9)
    with pytest.raises(ValueError, match=r"D_F of subspace 0 .* does not stay below 0.003: the smallest value"):
        switch_times(LAW.score(VE()), pool(), VE(), LEVELS[:1], THRESHOLD, 1e-3, times)


def test_too_few_evaluations_are_reported_not_raised():
    most = 184  # of the scan: 15 times of 8 samples, two of 32
    for limit in (most, most + 40, 500):
        score = Counted(LAW.score(VE()))
        found = switch_times(score, pool(), VE(), LEVELS, THRESHOLD, 1e-4, max_evaluations=limit)
        assert score.rows == found[0].evaluations <= limit < score.rows + 32
        assert not any(s.reached for s in found) and all(s.stderr > 1e-4 for s in found)
    assert all(abs(s.t - crossing(VE(), u)) < 4 * s.stderr < 0.1 for s, u in zip(found, LEVELS))
    enough = switch_times(LAW.score(VE()), pool(), VE(), LEVELS, THRESHOLD, max_evaluations=10**6)
    assert all(s.reached for s in enough)
    assert enough[0].t == switch_times(LAW.score(VE()), pool(), VE(), LEVELS, THRESHOLD)[0].t


def test_a_score_that_is_not_finite_is_named():
    calls = []

    def broken(x, t):
        calls.append(t)
        s = LAW.score(VE())(x, t)
        return s * np.where(np.arange(len(x)) == 5, math.nan, 1).reshape(-1, 1, 1) if len(calls) == 3 else s

    # of 30 samples 32 at T, in two pieces; then the sixth at the next time
    with pytest.raises(ValueError, match=r"the score is not finite at t = 0\.9375, for sample 7 of the data"):
        switch_times(broken, pool(30), VE(), LEVELS, THRESHOLD)
    with pytest.raises(ValueError, match="a score has the shape and dtype of x"):
        switch_times(lambda x, t: x[..., :1], pool(30), VE(), LEVELS, THRESHOLD)


def test_questions_without_an_answer_are_refused():
    def ask(threshold=THRESHOLD, stderr=0.002, levels=LEVELS, data=None, **kwargs):
        return switch_times(
            LAW.score(VE()), pool(50) if data is None else data, VE(), levels, threshold, stderr, **kwargs
        )

    with pytest.raises(ValueError, match="the threshold must be positive, got inf: give a finite number"):
        ask(threshold=math.inf)
    for value in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="the threshold must be positive, got"):
            ask(threshold=value)
        with pytest.raises(ValueError, match="stderr must be positive and finite, got"):
            ask(stderr=value)
    for times in ([], [0.5, 0.5], [0.5, 1.1]):
        with pytest.raises(ValueError, match=r"times must increase strictly in \[0, 1\], got"):
            ask(times=times)
    with pytest.raises(ValueError, match="the scan needs two times at least"):
        ask(times=[0.5])
    with pytest.raises(ValueError, match="max_evaluations must be at least 184, what the scan may take, got 183"):
        ask(max_evaluations=183)
    with pytest.raises(TypeError, match="rng must be one integer or a generator: how many samples"):
        ask(rng=[1, 2, 3])
    with pytest.raises(ValueError, match="at least one subspace"):
        ask(levels=[])
    with pytest.raises(ValueError, match="not nested"):
        ask(levels=LEVELS[:1], within=LEVELS[2])
    with pytest.raises(ValueError, match="no data"):
        ask(data=[])


def test_a_switch_time_says_what_it_is():
    found = switch_times(LAW.score(VE()), pool(), VE(), LEVELS[:1], THRESHOLD)[0]
    assert isinstance(found, SwitchTime)
    with pytest.raises(AttributeError):
        found.t = 0.5
