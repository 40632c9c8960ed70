"""The error of a borrowed network on a level: closed forms, standard errors, and from when on it serves."""

import math

import numpy as np
import pytest

from subspace_sde import VE, VP, Basis, Downsampling, Identity, LowPass, level_error
from subspace_sde.divergence import LevelError
from subspace_sde.oracles import DCTGaussian, Gaussian
from tests.divergence.closed_forms import SDES, SHAPE, Counted, D, borrowed_error, cubature, gaussian

each_sde = pytest.mark.parametrize("sde", SDES)
LEVELS = [LowPass(SHAPE, 3), Downsampling(SHAPE, (3, 2)), LowPass(SHAPE, 3) @ LowPass((3, 3), 2), Identity(SHAPE)]


def small_law(subspace, seed):
    """What a network that was trained on small arrays of that shape might take for their law."""
    rng, n = np.random.default_rng(seed), subspace.dim
    root = rng.standard_normal((n, n)) / math.sqrt(n)
    return Gaussian(rng.standard_normal(subspace.shape), root @ root.T + 0.1 * np.eye(n))


def network(law, sde, subspaces):
    """One score of all sizes: that of `law` in the full space, and of other laws for smaller arrays."""
    scores = {u.shape: small_law(u, k).score(sde) for k, u in enumerate(subspaces)}
    scores[law.shape] = law.score(sde)
    return lambda x, t: scores[tuple(x.shape[-2:])](x, t)


@each_sde
def test_of_gaussians_it_is_the_closed_form(sde):
    law = gaussian()
    x0, table = cubature(law)
    times = [sde.time_at_log_snr(v) for v in (1.5, 0.0, -2.0)]
    found = level_error(network(law, sde, LEVELS[:3]), sde, LEVELS, [x0], times, rng=table)
    for u, k, errors in zip(LEVELS, range(4), found):
        small, c = (law, 1.0) if k == 3 else (small_law(u, k), u.coordinate_scale)
        believed = Gaussian(c * small.mean, c**2 * small.covariance)
        for i, t in enumerate(times):
            excess, ratio = borrowed_error(law, sde, u, believed, t)
            assert errors.excess[i] == pytest.approx(excess, rel=1e-9, abs=1e-12)
            assert errors.ratio[i] == pytest.approx(ratio, rel=1e-9)
    itself = found[3]  # the whole space is no level
    assert np.max(np.abs([itself.excess, itself.stderr, itself.ratio_stderr, np.asarray(itself.ratio) - 1])) < 1e-12


@each_sde
def test_with_the_level_s_own_score_it_is_what_the_complement_tells(sde):
    """σ² E‖Uᵀs_0(x) − s_k(Uᵀx)‖²/n_k, not negative, and gone where the complement is independent of the coordinates."""
    law, u = gaussian(), LEVELS[0]
    c, level = u.coordinate_scale, law.restrict(u)
    small = Gaussian(level.mean / c, level.covariance / c**2).score(sde)
    exact = law.score(sde)
    x0, table = cubature(law)
    times = [sde.time_at_log_snr(v) for v in (1.5, 0.0, -2.0)]
    found = level_error(lambda x, t: (exact if x.shape[-2:] == SHAPE else small)(x, t), sde, [u], [x0], times, table)[0]
    for t, excess in zip(times, found.excess):
        marginal = sde.alpha(t) ** 2 * law.covariance + sde.sigma(t) ** 2 * np.eye(D)
        inverse, m = np.linalg.inv(marginal), u.matrix()
        gap = m.T @ inverse - np.linalg.inv(m.T @ marginal @ m) @ m.T
        assert excess == pytest.approx(sde.sigma(t) ** 2 * np.trace(gap @ marginal @ gap.T) / u.dim, rel=1e-8)
        assert excess > 0

    independent = DCTGaussian(np.zeros(16), 1 / np.arange(1, 17) ** 2)
    half = LowPass((16,), 8, axes=(-1,))
    of_level = independent.restrict(half)
    small = DCTGaussian(np.zeros(8), of_level.eigenvalues / 2).score(sde)
    exact = independent.score(sde)
    x = independent.sample(50, rng=0)
    found = level_error(lambda y, t: (exact if y.shape[-1] == 16 else small)(y, t), sde, [half], x, times)[0]
    assert np.max(np.abs(found.excess)) < 1e-12 and np.max(np.abs(np.asarray(found.ratio) - 1)) < 1e-12


def test_the_standard_errors_are_those_over_seeds():
    law, sde, u = gaussian(0.5), VE(), LEVELS[0]
    believed = small_law(u, 0)
    score, c = network(law, sde, [u]), u.coordinate_scale
    exact = borrowed_error(law, sde, u, Gaussian(c * believed.mean, c**2 * believed.covariance), 0.45)
    runs = [level_error(score, sde, [u], law.sample(300, rng=(seed + 1) * 999), [0.45], seed)[0] for seed in range(60)]
    for value, error, truth in (("excess", "stderr", exact[0]), ("ratio", "ratio_stderr", exact[1])):
        z = np.asarray([(getattr(r, value)[0] - truth) / getattr(r, error)[0] for r in runs])
        assert abs(z.mean()) < 4 / math.sqrt(60) and 0.7 < z.std() < 1.3


def test_batches_and_libraries_agree_and_the_score_is_called_once_forfor_each(array):
    law, sde = gaussian(), VP()
    x, times = law.sample(30, rng=1), [0.3, 0.6]
    score = Counted(network(law, sde, LEVELS[:2]))
    whole = level_error(score, sde, LEVELS[:2], x, times, rng=3)
    assert score.rows == 30 * 2 * 3
    parts = level_error(score, sde, LEVELS[:2], [x[:7], x[7:]], times, rng=3)
    again = level_error(score, sde, LEVELS[:2], iter([x]), times, rng=3)
    for a, b, c in zip(whole, parts, again):
        np.testing.assert_allclose(a.excess, b.excess, rtol=1e-10)
        np.testing.assert_allclose(a.ratio_stderr, b.ratio_stderr, rtol=1e-8)
        assert a == c

    def affine(x, t):  # on any library
        return -x / (1 + sde.sigma(t) ** 2)

    found = level_error(affine, sde, LEVELS[:2], array(x), times, rng=3)
    mean = sum(abs(v) for e in found for v in e.excess)
    assert all(math.isfinite(v) for e in found for v in (*e.excess, *e.stderr)) and mean > 0
    assert type(found[0].excess[0]) is float


def test_a_level_is_left_out_at_times_that_the_network_does_not_know():
    def score(x, t):
        return -x / (1 + VE().sigma(t) ** 2)

    u, v = LowPass((16,), 8, axes=(-1,)), Downsampling((16,), 16, axes=(-1,))
    x, times = np.random.default_rng(0).standard_normal((5, 16)), [0.03, 0.1, 0.2, 1.0]
    near, far = level_error(score, VE(), [u, v], x, times)
    assert near.times == (0.1, 0.2, 1.0) and far.times == (0.2, 1.0)  # σ/c is σ_min at log c / log(5000)
    with pytest.raises(ValueError, match=r"can serve Downsampling.* in \[0.16\d*, 1\], where none of the times lies"):
        level_error(score, VE(), [v], x, [0.05, 0.1])


def test_from_when_on_a_level_may_be_served():
    def made(*excess, sde=None):
        n = len(excess)
        return LevelError(tuple(0.1 * (i + 1) for i in range(n)), excess, *((1.0,) * n,) * 3, sde=sde)

    assert made(1e-1, 1e-2, 1e-3, 1e-4).time_at(10**-2.5) == pytest.approx(0.25)
    assert made(1e-1, 1e-4, 1e-2, 1e-4).time_at(1e-3) == pytest.approx(0.35)  # the last crossing counts
    assert made(1e-2, -1e-2).time_at(5e-3) == pytest.approx(0.125)  # a logarithm of less than 0 there is not
    assert made(1e-2, 0.0).time_at(5e-3) == pytest.approx(0.15)
    assert made(-1e-3, 1e-5, -1.0).time_at(1e-4) == 0.1
    with pytest.raises(ValueError, match=r"never stays below 0\.001: the smallest is -0\.5, the last 0\.1 at t = 0\.2"):
        made(-0.5, 0.1).time_at(1e-3)
    for wrong in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="must be positive"):
            made(1.0).time_at(wrong)


def test_errors_that_are_none_are_refused():
    with pytest.raises(ValueError, match="stderr must have one number for each of the 2 times"):
        LevelError((0.1, 0.2), (1.0, 1.0), (1.0,), (1.0, 1.0), (1.0, 1.0))
    with pytest.raises(ValueError, match="increase strictly"):
        LevelError((0.2, 0.1), *((1.0, 1.0),) * 4)
    with pytest.raises(ValueError, match="are finite"):
        LevelError((0.2,), (math.nan,), *((1.0,),) * 3)


def test_what_makes_no_sense_is_refused():
    sde, u, x = VE(), LowPass((6,), 3, axes=(-1,)), np.zeros((4, 6))

    def score(x, t):
        return -x

    for subspaces, what in (([], "none"), ([u, LowPass((5,), 3, axes=(-1,))], r"arrays of shapes \[\(5,\), \(6,\)\]")):
        with pytest.raises(ValueError, match=f"give at least one subspace, all of one space, got {what}"):
            level_error(score, sde, subspaces, x, [0.5])
    with pytest.raises(ValueError, match="has no coordinate_scale"):
        level_error(score, sde, [Basis(np.eye(6)[:, :2])], x, [0.5])
    for times in ([], [0.5, 0.4], [0.5, 1.1]):
        with pytest.raises(ValueError, match=r"times must increase strictly in \[0, 1\]"):
            level_error(score, sde, [u], x, times)
    with pytest.raises(ValueError, match=r"`level_error` takes trailing shape \(6,\), got \(5,\)"):
        level_error(score, sde, [u], np.zeros((4, 5)), [0.5])
    with pytest.raises(ValueError, match="hold no samples"):
        level_error(score, sde, [u], x[:0], [0.5])
    with pytest.raises(ValueError, match=r"the score returned shape \(4, 5\)"):
        level_error(lambda x, t: x[..., :-1], sde, [u], x, [0.5])
    with pytest.raises(ValueError, match=r"not finite at t = 0\.5, for sample 2 of the data"):
        level_error(lambda x, t: -x, sde, [u], np.concatenate([x[:2], math.nan + x[2:]]), [0.4, 0.5][1:])
