"""Eq. 14 of a Gaussian against its closed form, the laws of its estimate, and the times read off its curve."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from subspace_sde import (
    EDM,
    VE,
    VP,
    Basis,
    DivergenceCurve,
    Downsampling,
    Identity,
    LowPass,
    NestedSubspaces,
    RectifiedFlow,
    orthogonal_fisher_divergence,
)
from subspace_sde.backend import backend_of, streams
from subspace_sde.divergence.estimate import ComplementParts
from subspace_sde.oracles import Gaussian

SHAPE, D = (3, 4), 12
SUBSPACES = [
    LowPass(SHAPE, 2),
    Downsampling(SHAPE, 2, axes=(-1,)),
    Basis.spanning(np.random.default_rng(0).standard_normal((D, 5)), SHAPE),
]
SDES = [VE(), VP(), EDM(), RectifiedFlow()]


def gaussian(scale=1.0):
    rng = np.random.default_rng(1)
    root = scale * rng.standard_normal((D, D)) / math.sqrt(D)
    return Gaussian(scale * rng.standard_normal(SHAPE), root @ root.T + 0.05 * np.eye(D))


def closed_form(law, sde, subspace, t, center):
    """A sum over the eigenvectors v_j of the covariance, with p_j = ‖P⊥v_j‖² and m = ‖P⊥μ‖²."""
    eigenvalues, v = np.linalg.eigh(law.covariance)
    u = subspace.matrix()
    n = len(u) - u.shape[1]
    p = 1 - np.sum((u.T @ v) ** 2, axis=0)
    mu = law.mean.ravel()
    m = 0.0 if center else mu @ mu - np.sum((u.T @ mu) ** 2)
    a, s = sde.alpha(t) ** 2, sde.sigma(t) ** 2
    variance = a * (p @ eigenvalues + m) / n + s
    marginal = a * eigenvalues + s
    return variance / n * (p @ ((1 - marginal / variance) ** 2 / marginal) + a * m / variance**2)


def closed_form_within(law, sde, outer, inner, t, center):
    """The same expectation with matrices, in the coordinates of `outer`: what the score says beyond y is averaged."""
    u, w = outer.matrix(), outer.matrix().T @ inner.matrix()
    off = np.eye(len(w)) - w @ w.T
    n = len(w) - w.shape[1]
    mu = np.zeros(len(off)) if center else off @ u.T @ law.mean.ravel()
    a, s = sde.alpha(t) ** 2, sde.sigma(t) ** 2
    variance = a * (np.trace(off @ u.T @ law.covariance @ u) + mu @ mu) / n + s
    marginal = a * law.covariance + s * np.eye(D)
    gap = off @ (u.T / variance - u.T @ np.linalg.inv(marginal))
    return variance / n * (np.trace(gap @ marginal @ gap.T) + a * mu @ mu / variance**2)


class Table(np.random.Generator):
    """Hands out the same prescribed draws every time."""

    def __init__(self, draws):
        super().__init__(np.random.PCG64(0))
        self.draws = draws

    def standard_normal(self, shape, dtype=np.float64):
        return self.draws.reshape(shape).astype(dtype)


def cubature(law):
    """x(0) and ε on the corners ±√d of their axes, every pair once: the first two moments of the law, exactly.

    What is averaged is quadratic for a Gaussian, so that the average over these points is the expectation.
    """
    values, vectors = np.linalg.eigh(law.covariance)
    axes = math.sqrt(D) * np.concatenate([np.eye(D), -np.eye(D)])
    x0 = law.mean.ravel() + axes @ (vectors * np.sqrt(values)).T
    return np.repeat(x0, 2 * D, axis=0).reshape(-1, *SHAPE), Table(np.tile(axes, (2 * D, 1)))


def in_batches(x, size=400):
    """More than 512 in one batch is one batch too, which a `Table` needs."""
    return [x] if size is None else [x[i : i + size] for i in range(0, len(x), size)]


class Counted:
    def __init__(self, score):
        self.score, self.times, self.rows = score, [], 0

    def __call__(self, x, t):
        assert type(t) is float
        self.times.append(t)
        self.rows += x.shape[0]
        return self.score(x, t)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("sde", SDES, ids=repr)
def test_the_divergence_of_a_gaussian_is_its_closed_form(sde, center):
    law = gaussian()
    x0, table = cubature(law)
    times = [sde.time_at_log_snr(v) for v in (3.0, 1.0, -0.5, -3.0)]
    score = Counted(law.score(sde))
    curves = orthogonal_fisher_divergence(score, [x0], sde, SUBSPACES, times, rng=table, center=center)
    assert score.times == times and score.rows == len(times) * len(x0)  # one evaluation for all the subspaces
    for curve, subspace in zip(curves, SUBSPACES):
        assert curve.times == tuple(times) and len(curve.stderr) == len(times)
        expected = [closed_form(law, sde, subspace, t, center) for t in times]
        np.testing.assert_allclose(curve.values, expected, rtol=1e-9)
        assert expected[0] > 10 * expected[-1] > 0
    # and every curve is the one that it would be alone
    for curve, subspace in zip(curves, SUBSPACES):
        alone = orthogonal_fisher_divergence(law.score(sde), [x0], sde, [subspace], times, rng=table, center=center)
        assert alone == [curve]


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("sde", [VE(), VP()], ids=repr)
def test_the_divergence_within_a_subspace(sde, center):
    law, outer = gaussian(), LowPass(SHAPE, (2, 3))
    inner = [
        outer @ LowPass((2, 3), 1),
        LowPass(SHAPE, (2, 1)),
        outer @ Basis([[0.6], [0.8], [0], [0], [0], [0]], (2, 3)),
    ]
    x0, table = cubature(law)
    times = [sde.time_at_log_snr(v) for v in (2.0, 0.0, -2.0)]
    score = Counted(law.score(sde))
    curves = orthogonal_fisher_divergence(score, [x0], sde, inner, times, rng=table, within=outer, center=center)
    assert score.times == times
    for curve, subspace in zip(curves, inner):
        expected = [closed_form_within(law, sde, outer, subspace, t, center) for t in times]
        np.testing.assert_allclose(curve.values, expected, rtol=1e-9)


def chain():
    """U_1 ⊃ U_2 ⊃ U_3 of the full space, of 6, 2 and 1 dimensions."""
    return NestedSubspaces([LowPass(SHAPE, (2, 3)), LowPass((2, 3), (1, 2)), Basis([[0.6], [0.8]], (1, 2))])


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("sde", SDES, ids=repr)
def test_nested_curves_give_the_divergence_within_each_other(sde, center, like, eps):
    nested, law = chain(), gaussian()
    x0 = backend_of(like).from_numpy(law.sample(90, np.random.default_rng(4)), like)
    times = [sde.time_at_log_snr(v) for v in (4.0, 1.0, -1.0, -4.0, -6.0)]

    def measure(subspaces, within=None):
        rng = backend_of(like).generator(8, like)
        return orthogonal_fisher_divergence(law.score(sde), x0, sde, subspaces, times, rng, within, center)

    curves = measure(nested[1:])
    for j, k in ((1, 2), (1, 3), (2, 3)):
        derived, direct = curves[k - 1].within(curves[j - 1]), measure([nested[k]], within=nested[j])[0]
        # D is what is left where the score and its Gaussian, about 1/√D times as long, cancel: in the arrays' own
        # precision for each sample, and in float64 the squares of them where the curves are subtracted
        exact = np.asarray(direct.values)
        bound = 40 * eps / np.sqrt(exact) + 500 * np.finfo(np.float64).eps / exact
        assert np.all(np.abs(derived.values / exact - 1) < bound)
        assert derived.times == direct.times and derived.stderr is None and derived.sde is sde
        assert derived.parts.lost == direct.parts.lost == nested[j].dim - nested[k].dim
        np.testing.assert_allclose(derived.parts.energy, direct.parts.energy, rtol=100 * eps)
        np.testing.assert_allclose(derived.parts.squares, direct.parts.squares, rtol=100 * eps)
    # and curves that are themselves relative to U_1 go on: U_{3|1} and U_{2|1} give U_{3|2}
    inner, outer = (curves[k].within(curves[0]) for k in (2, 1))
    np.testing.assert_allclose(inner.within(outer).values, curves[2].within(curves[1]).values, rtol=1e-9)


@pytest.mark.parametrize("center", [False, True])
def test_a_derived_curve_is_the_closed_form(center):
    nested, law = chain(), gaussian()
    x0, table = cubature(law)
    times = [0.1, 0.3, 0.5, 0.9]
    curves = orthogonal_fisher_divergence(law.score(VE()), [x0], VE(), nested[1:], times, table, center=center)
    for j, k in ((1, 2), (1, 3), (2, 3)):
        expected = [closed_form_within(law, VE(), nested[j], nested[k], t, center) for t in times]
        np.testing.assert_allclose(curves[k - 1].within(curves[j - 1]).values, expected, rtol=1e-8)


def test_a_derived_curve_is_never_negative():
    # the score of the complement's own Gaussian: every divergence is rounding alone
    nested, sde = chain(), VE()
    law = Gaussian(np.zeros(SHAPE), np.eye(D))
    x0, table = cubature(law)
    curves = orthogonal_fisher_divergence(law.score(sde), [x0], sde, nested[1:], [0.1, 0.5, 0.9], table)
    derived = curves[2].within(curves[0])
    assert 0 <= min(derived.values) and max(derived.values) < 1e-13


def test_curves_that_do_not_nest_are_refused():
    nested, law = chain(), gaussian()
    x0 = law.sample(50, np.random.default_rng(5))

    def measure(times=(0.3, 0.6), scale=1):
        return orthogonal_fisher_divergence(law.score(VE()), scale * x0, VE(), nested[1:], times)

    curves = measure()
    for outer in (curves[2], curves[1]):
        with pytest.raises(ValueError, match=r"the outer subspace loses 1[01] dimensions, the inner one 10: call"):
            curves[1].within(outer)
    with pytest.raises(ValueError, match="different times: measure both subspaces in one call"):
        curves[1].within(measure(times=(0.3, 0.7))[0])
    bare = DivergenceCurve(curves[0].times, curves[0].values, sde=VE())
    for inner, outer in ((curves[1], bare), (bare, curves[0])):
        with pytest.raises(ValueError, match="holds no parts: `within` needs curves from"):
            inner.within(outer)
    with pytest.raises(ValueError, match="a divergence below 0: the subspaces are not nested, or the samples not"):
        curves[1].within(measure(scale=10)[0])


def test_the_score_is_called_once_for_each_time_and_batch_whatever_the_number_of_subspaces():
    law, sde, times = gaussian(), VE(), np.linspace(0.1, 0.9, 21)
    subspaces = [LowPass(SHAPE, (3, 3)), LowPass(SHAPE, (2, 3)), LowPass(SHAPE, 2), LowPass(SHAPE, 1), SUBSPACES[1]]
    data = in_batches(law.sample(100, np.random.default_rng(6)), 40)
    score = Counted(law.score(sde))
    curves = orthogonal_fisher_divergence(score, data, sde, subspaces, times)
    assert len(curves) == 5 and len(score.times) == 21 * len(data) and score.rows == 21 * 100
    curves[3].within(curves[0])
    assert len(score.times) == 21 * len(data)


def test_the_two_closed_forms_agree():
    for center in (False, True):
        for t in (0.1, 0.4, 0.8):
            a = closed_form(gaussian(), VP(), SUBSPACES[0], t, center)
            b = closed_form_within(gaussian(), VP(), Identity(SHAPE), SUBSPACES[0], t, center)
            assert a == pytest.approx(b, rel=1e-10)


def test_estimates_lie_within_their_standard_errors(like):
    # real noise on every library and dtype; the moments of the data are exact, the noise is not
    law, sde = gaussian(), VE()
    x0 = backend_of(like).from_numpy(np.tile(cubature(law)[0], (4, 1, 1)), like)
    times, generator = [0.3, 0.45, 0.6, 0.8], backend_of(like).generator(2, like)
    for center in (False, True):
        curves = orthogonal_fisher_divergence(law.score(sde), x0, sde, SUBSPACES, times, generator, center=center)
        for curve, subspace in zip(curves, SUBSPACES):
            exact = np.asarray([closed_form(law, sde, subspace, t, center) for t in times])
            assert np.all(np.abs(np.asarray(curve.values) - exact) < 4.5 * np.asarray(curve.stderr))
            assert np.all(np.asarray(curve.stderr) < 0.08 * exact)


def test_standard_errors_are_the_spread_over_seeds():
    # 150 data sets of 300: (value − exact)/stderr has mean 0 and variance 1, but for skewness and for the error of the
    # complement's variance, which the standard error leaves out and which is small where noise outweighs data
    law, sde, times = gaussian(), VE(), [0.6, 0.8]
    exact = np.asarray([[closed_form(law, sde, u, t, False) for t in times] for u in SUBSPACES])
    z = []
    for seed in range(150):
        x0 = law.sample(300, np.random.default_rng(seed))
        generator = np.random.default_rng(1000 + seed)
        curves = orthogonal_fisher_divergence(law.score(sde), x0, sde, SUBSPACES, times, generator)
        z.append([(np.asarray(c.values) - e) / c.stderr for c, e in zip(curves, exact)])
    z = np.asarray(z)
    assert np.all(np.abs(z.mean(0)) < 4.5 / math.sqrt(150) + 0.15)
    assert np.all(np.abs(z.std(0) - 1) < 4.5 / math.sqrt(300))


def test_batches_and_one_array_are_the_same_estimate(like, eps):
    law, sde, times = gaussian(), VP(), [0.2, 0.7]
    x0 = backend_of(like).from_numpy(law.sample(530, np.random.default_rng(3)), like)  # more than one batch

    def curves(data, rng=5):
        return orthogonal_fisher_divergence(law.score(sde), data, sde, SUBSPACES, times, rng=rng, center=True)

    whole = curves(x0)
    for data, rng in (
        (in_batches(x0, 170), 5),
        ((b for b in in_batches(x0, 529)), 5),
        (in_batches(x0, 250), list(streams(5, 0, 530))),
        (x0, np.asarray(streams(5, 0, 530), dtype=np.uint64)),
    ):
        for a, b in zip(curves(data, rng), whole):
            np.testing.assert_allclose(a.values, b.values, rtol=100 * eps)
            np.testing.assert_allclose(a.stderr, b.stderr, rtol=1000 * eps)
    assert curves(x0, 6)[0].values != whole[0].values


def test_a_matching_complement_has_no_divergence():
    # C = U A Uᵀ + v P⊥ and the mean modelled: P⊥s + x⊥/Σ⊥ is 0 but for the estimate of v
    u = SUBSPACES[0].matrix()
    law = Gaussian(gaussian().mean, u @ np.diag([0.3, 0.5, 1, 2]) @ u.T + 0.4 * (np.eye(D) - u @ u.T))
    x0, table = cubature(law)
    for sde in SDES:
        times = [sde.time_at_log_snr(v) for v in (3.0, 0.0)]
        curve = orthogonal_fisher_divergence(law.score(sde), [x0], sde, SUBSPACES[:1], times, table, center=True)[0]
        assert max(curve.values) < 1e-24


def test_a_score_that_is_no_score_is_named(like, array):
    sde, x0 = VE(), array(np.random.default_rng(7).standard_normal((30, *SHAPE)))
    batches = [x0[:10], x0[10:20], x0[20:]]
    calls = []

    def broken(x, t):
        calls.append(t)
        s = -x
        bad = np.ones(x.shape)
        if len(calls) == 8:  # third batch, second time
            bad[4, 1, 2] = math.nan
        return s * array(bad)

    with pytest.raises(ValueError, match=r"the score is not finite at t = 0\.5, for sample 24 of the data"):
        orthogonal_fisher_divergence(broken, batches, sde, SUBSPACES, [0.2, 0.5, 0.8])
    for score in (lambda x, t: x[:1], lambda x, t: x[..., :1], lambda x, t: 0.0, lambda x, t: None):
        with pytest.raises(ValueError, match="a score has the shape and dtype of x"):
            orthogonal_fisher_divergence(score, x0, sde, SUBSPACES, [0.5])
    with pytest.raises(ValueError, match=r"dtype .*float16 for x .*a score has the shape and dtype of x"):
        half = (lambda x, t: x.half()) if isinstance(like, torch.Tensor) else (lambda x, t: x.astype(np.float16))
        orthogonal_fisher_divergence(half, x0, sde, SUBSPACES, [0.5])


def test_no_gradient_is_recorded(torch_like):
    weight = torch.ones((), dtype=torch_like.dtype, device=torch_like.device, requires_grad=True)
    x0 = torch.zeros((4, *SHAPE), dtype=torch_like.dtype, device=torch_like.device) + 1
    seen = []

    def score(x, t):
        seen.append((-weight * x).requires_grad)
        return -weight * x

    orthogonal_fisher_divergence(score, x0, VE(), SUBSPACES, [0.5, 0.6])
    assert seen == [False, False]


def test_questions_without_an_answer_are_refused():
    sde, x0, score = VE(), np.ones((4, *SHAPE)), lambda x, t: -x
    for times in ([], [0.5, 0.5], [0.6, 0.5], [-0.1, 0.5], [0.5, 1.1], [math.nan]):
        with pytest.raises(ValueError, match=r"times must increase strictly in \[0, 1\], got"):
            orthogonal_fisher_divergence(score, x0, sde, SUBSPACES, times)
    with pytest.raises(ValueError, match="at least one subspace"):
        orthogonal_fisher_divergence(score, x0, sde, [], [0.5])
    with pytest.raises(ValueError, match="must lose dimensions, but one keeps all 12: leave it out"):
        orthogonal_fisher_divergence(score, x0, sde, [Identity(SHAPE)], [0.5])
    with pytest.raises(ValueError, match="not nested"):
        orthogonal_fisher_divergence(score, x0, sde, SUBSPACES[:1], [0.5], within=SUBSPACES[2])
    with pytest.raises(ValueError, match=r"trailing shape \(3, 4\), got \(4, 3\)"):
        orthogonal_fisher_divergence(score, np.ones((4, 4, 3)), sde, SUBSPACES, [0.5])
    with pytest.raises(ValueError, match="floating-point"):
        orthogonal_fisher_divergence(score, np.ones((4, *SHAPE), dtype=np.uint8), sde, SUBSPACES, [0.5])
    with pytest.raises(ValueError, match=r"the data hold NaN .* samples 0 to 3"):
        orthogonal_fisher_divergence(score, np.full((4, *SHAPE), math.nan), sde, SUBSPACES, [0.5])
    with pytest.raises(ValueError, match="no data"):
        orthogonal_fisher_divergence(score, [], sde, SUBSPACES, [0.5])
    with pytest.raises(ValueError, match="rng holds 3 integers for 4 samples"):
        orthogonal_fisher_divergence(score, x0, sde, SUBSPACES, [0.5], rng=[1, 2, 3])


# -- the curve ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sde", [None, *SDES], ids=repr)
@given(start=st.floats(-2, 2), slope=st.floats(0.5, 30), part=st.floats(0.001, 0.999))
def test_time_at_is_exact_where_the_curve_is_log_linear_in_the_grids_parameter(sde, start, slope, part):
    low, high = (0.0, 1.0) if sde is None else (sde.t_min, sde.T)
    u = (lambda t: t) if sde is None else sde.grid_parameter
    times = np.linspace(low, high, 7)
    width = u(high) - u(low)

    def value(t):
        return math.exp(start - slope * (u(t) - u(low)) / width)

    curve = DivergenceCurve(times, [value(t) for t in times], sde=sde)
    t = low + part * (high - low)
    assert curve.time_at(value(t)) == pytest.approx(t, rel=1e-8, abs=1e-10)


@given(
    values=st.lists(st.floats(1e-6, 10), min_size=2, max_size=8),
    threshold=st.floats(1e-6, 10),
    sde=st.sampled_from([None, EDM(1, 20)]),
)
def test_time_at_is_the_first_time_from_which_the_curve_stays_below(values, threshold, sde):
    times = [1 + i for i in range(len(values))]
    curve = DivergenceCurve(times, values, sde=sde)
    if values[-1] > threshold:
        with pytest.raises(ValueError, match=r"never stays below .* the smallest value is .*, the last .* at t ="):
            curve.time_at(threshold)
        return
    t = curve.time_at(threshold)
    u = (lambda s: s) if sde is None else sde.grid_parameter

    def interpolated(s):
        return np.interp(u(s), [u(v) for v in times], np.log(values))

    assert times[0] <= t <= times[-1]
    later = np.linspace(t, times[-1], 50)
    assert np.all(interpolated(later) <= math.log(threshold) + 1e-9)
    if t > times[0]:
        assert interpolated(t) == pytest.approx(math.log(threshold), abs=1e-6)
        assert (
            max(v for s, v in zip(times, values) if s < t) > threshold
            or interpolated(t - 1e-7) > math.log(threshold) - 1e-6
        )


@pytest.mark.parametrize("sde", [None, EDM(1, 20)], ids=repr)
@given(values=st.lists(st.floats(1e-6, 10), min_size=2, max_size=8), part=st.floats(0, 1))
def test_at_interpolates_as_time_at_does(sde, values, part):
    times = [1 + i for i in range(len(values))]
    curve = DivergenceCurve(times, values, sde=sde)
    assert [curve.at(t) for t in times] == list(curve.values)
    u = (lambda s: s) if sde is None else sde.grid_parameter
    t = 1 + part * (len(values) - 1)
    expected = np.exp(np.interp(u(t), [u(s) for s in times], np.log(values)))
    assert curve.at(t) == pytest.approx(expected, rel=1e-9)
    threshold = math.sqrt(values[-1] * max(values))
    if threshold > values[-1] * (1 + 1e-9):
        assert curve.at(curve.time_at(threshold)) == pytest.approx(threshold, rel=1e-6)


def test_at_outside_the_times_is_refused():
    curve = DivergenceCurve((0.1, 0.3), (1.0, 0.0))
    for t in (0.0999, 0.3001, math.nan):
        with pytest.raises(ValueError, match=r"the curve is known for t in \[0.1, 0.3\], got"):
            curve.at(t)
    assert curve.at(0.3) == 0.0 and curve.at(0.2) == pytest.approx(1e-150)
    assert DivergenceCurve((0.5,), (2.0,)).at(0.5) == 2.0


def test_a_curve_that_rises_again_gives_its_last_crossing():
    curve = DivergenceCurve((0.1, 0.2, 0.3, 0.4, 0.5), (1.0, 1e-4, 1.0, 1e-2, 1e-3))
    assert curve.time_at(1e-2) == pytest.approx(0.4)
    assert curve.time_at(1e-1) == pytest.approx(0.35)
    assert curve.time_at(1.0) == 0.1  # it never lies above
    assert curve.time_at(1e9) == 0.1
    with pytest.raises(ValueError, match="the threshold must be positive, got inf: give a finite number"):
        curve.time_at(math.inf)
    with pytest.raises(
        ValueError, match=r"never stays below 0.0005: the smallest value is 0.0001, the last 0.001 at t = 0.5"
    ):
        curve.time_at(5e-4)
    with pytest.raises(ValueError, match=r"never stays below 1e-05: the smallest value is 0.0001"):
        curve.time_at(1e-5)
    for threshold in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="the threshold must be positive, got"):
            curve.time_at(threshold)
    assert DivergenceCurve((0.0, 1.0), (1.0, 0.0)).time_at(1e-3) <= 1.0
    threshold = 0.1
    assert DivergenceCurve((0.0, 1.0), (math.nextafter(threshold, 1), threshold)).time_at(threshold) == pytest.approx(1)


def test_curves_that_are_none_are_refused():
    for times, values, stderr, message in (
        ((0.1, 0.2), (1.0,), None, "same length"),
        ((0.1, 0.2), (1.0, 2.0), (0.1,), "same length"),
        ((), (), None, "increase strictly"),
        ((0.2, 0.2), (1.0, 2.0), None, "increase strictly"),
        ((0.1, 0.2), (1.0, -2.0), None, "finite and not negative"),
        ((0.1, 0.2), (1.0, math.nan), None, "finite and not negative"),
    ):
        with pytest.raises(ValueError, match=message):
            DivergenceCurve(times, values, stderr)
    bare = DivergenceCurve((0.1, 0.2), (2.0, 1.0))
    assert bare.stderr is bare.sde is bare.parts is None
    assert bare == DivergenceCurve((0.1, 0.2), (2.0, 1.0), None, VE(), ComplementParts(3, 1.0, ((1.0, 1.0),) * 3))
