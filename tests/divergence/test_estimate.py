"""The estimate of eq. 14 against its closed form for Gaussians, and its laws."""

import math

import numpy as np
import pytest
import torch

from subspace_sde import VE, VP, Basis, Downsampling, Identity, LowPass, orthogonal_fisher_divergence
from subspace_sde.backend import backend_of, streams
from subspace_sde.oracles import Gaussian
from tests.divergence.closed_forms import SDES, SHAPE, Counted, D, closed_form_within, cubature, gaussian

SUBSPACES = [
    LowPass(SHAPE, 2),
    Downsampling(SHAPE, 2, axes=(-1,)),
    Basis.spanning(np.random.default_rng(0).standard_normal((D, 5)), SHAPE),
]


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


def in_batches(x, size=400):
    """More than 512 in one batch is one batch too, which a `Table` needs."""
    return [x] if size is None else [x[i : i + size] for i in range(0, len(x), size)]


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("sde", SDES)
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
@pytest.mark.parametrize("sde", [VE(), VP()])
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
    for score in (lambda x, t: x[:1], lambda x, t: x[..., :1]):
        with pytest.raises(ValueError, match="a score has the shape and dtype of x"):
            orthogonal_fisher_divergence(score, x0, sde, SUBSPACES, [0.5])
    for score, kind in ((lambda x, t: 0.0, "float"), (lambda x, t: None, "NoneType")):
        with pytest.raises(TypeError, match=f"returned a {kind} where an array is due"):
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
