"""The order of every solver, through Algorithm 1 and its jumps: the law of its samples against a perfect solver's."""

import math

import numpy as np
import pytest

from subspace_sde import EDM, VE, VP, LowPass, NestedSubspaces, RectifiedFlow, SubspaceSDE, SubVP, sample
from subspace_sde.oracles import Gaussian
from subspace_sde.sampling import OwnSpacing, Rho, UniformLogSNR, UniformTime, law_of_samples, sampled_law
from subspace_sde.solvers import (
    DDIM,
    Ancestral,
    DormandPrince,
    DPMSolver,
    EulerMaruyama,
    Heun,
    Langevin,
    PredictorCorrector,
    ReverseDiffusion,
)
from tests.testing.faulty_solvers import Published

D = 7
SIZES = (7, 5, 3, 2)


def data(seed=0):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((D, D)) / math.sqrt(D)
    return Gaussian(rng.standard_normal(D), (root * np.geomspace(2, 0.02, D)) @ root.T + 0.01 * np.eye(D))


def levels(k):
    steps = [LowPass((a,), b, axes=(-1,)) for a, b in zip(SIZES, SIZES[1:])]
    return NestedSubspaces(steps[:k], ambient_shape=(D,))


def made(sde, k):
    times = [sde.time_at_log_snr(v) for v in (0.5, -0.5, -1.5)[:k]]
    return SubspaceSDE(sde, levels(k), times, (0.1, 0.2, 0.4)[:k])


def scores_of(law, process):
    return [law.restrict(u).score(process.sde) for u in process.subspaces]


def errors(process, law, solver, eta, counts, spacing=None):
    exact, found = law_of_samples(process, law, eta), []
    for n in counts:
        got = sampled_law(process, scores_of(law, process), solver, n, spacing)
        found.append(
            (
                np.linalg.norm(got.covariance - exact.covariance) / np.linalg.norm(exact.covariance),
                np.linalg.norm(got.mean - exact.mean),
            )
        )
    return np.asarray(found)


def orders(found):
    return np.log2(found[:-1] / found[1:])


CASES = [  # solver, η of the SDE it solves, order
    (EulerMaruyama(), 1.0, 1),
    (ReverseDiffusion(), 1.0, 1),
    (Ancestral(), 1.0, 1),
    (DDIM(), 0.0, 1),
    (DDIM(0.7), 0.49, 1),
    (Heun(), 0.0, 2),
    (DPMSolver(2), 0.0, 2),
    (DPMSolver(3), 0.0, 3),
    (DPMSolver(2, eta=1.0), 1.0, 2),
    (DPMSolver(2, eta=0.4), 0.4, 2),
]


@pytest.mark.parametrize("k", [0, 2, 3])
@pytest.mark.parametrize(("solver", "eta", "order"), CASES)
def test_order_of_the_covariance(solver, eta, order, k):
    counts = (256, 512) if eta == 0 else (128, 256)  # noise takes a row for every number drawn
    found = errors(made(EDM(), k), data(), solver, eta, counts, OwnSpacing())[:, 0]
    assert orders(found)[-1] == pytest.approx(order, abs=0.15), found
    assert found[-1] < {1: 0.06, 2: 2e-3, 3: 2e-6}[order]


@pytest.mark.parametrize("spacing", [UniformLogSNR(), Rho(4.0)], ids=["log-SNR", "rho"])
@pytest.mark.parametrize("sde", [VE(), VP(), SubVP(), RectifiedFlow()])
@pytest.mark.parametrize(("solver", "order"), [(DDIM(), 1), (Heun(), 2), (DPMSolver(2), 2), (DPMSolver(3), 3)])
def test_order_on_every_process(solver, order, sde, spacing):
    # of the whole law: mean and covariance; on VE's long stages parts of the leading error cancel, and more is seen
    found = np.sum(errors(made(sde, 2), data(), solver, 0.0, (200, 400), spacing), axis=1)
    assert orders(found)[-1] > order - 0.15, found
    assert found[-1] < {1: 0.04, 2: 2e-3, 3: 2e-4}[order]


def test_the_published_coefficient_of_3m_is_of_order_2():
    """What is wrong with half of the second difference, so that the right one is not taken for the same."""
    found = errors(made(EDM(), 0), data(), Published(3), 0.0, (96, 192))[:, 0]
    assert orders(found)[-1] == pytest.approx(2, abs=0.15)


def test_noise_limits_3m_to_order_2():
    found = errors(made(VE(), 2), data(), DPMSolver(3, eta=1.0), 1.0, (128, 256))[:, 0]
    assert orders(found)[-1] == pytest.approx(2, abs=0.15)


def test_ancestral_is_ddim_with_all_the_noise_and_dpm_solver_begins_as_ddim():
    law, process = data(), made(VP(), 2)
    scores = scores_of(law, process)
    pairs = [(Ancestral(), DDIM(1.0)), (DPMSolver(2), DDIM()), (DPMSolver(2, eta=1.0), DDIM(1.0))]
    for one, other in pairs:
        a, b = (sample(process, scores, 5, solver, 3, rng=2).x for solver in (one, other))  # one step a stage
        np.testing.assert_allclose(a, b, rtol=1e-9)
    with pytest.raises(AssertionError):
        a, b = (sample(process, scores, 5, solver, 6, rng=2).x for solver in (DPMSolver(2), DDIM()))
        np.testing.assert_allclose(a, b, rtol=1e-3)


@pytest.mark.parametrize("k", [0, 2])
@pytest.mark.parametrize("sde", [VE(), VP(), EDM(), RectifiedFlow()])
def test_dormand_prince_is_as_exact_as_its_tolerance(sde, k):
    # its map is affine to within the tolerance: the law by the responses to unit draws is that of a perfect solver
    law, process = data(), made(sde, k)
    found = []
    for tolerance in (1e-4, 1e-7):
        got = sampled_law(process, scores_of(law, process), DormandPrince(tolerance, tolerance), k + 1)
        exact = law_of_samples(process, law)
        found.append(np.linalg.norm(got.covariance - exact.covariance) / np.linalg.norm(exact.covariance))
    assert found[1] < 2e-5 and found[1] < found[0] / 10, found


def test_churn_keeps_the_law():
    # it has no order: as much noise is added as is taken out again, and at many steps the law is the data's
    law, process, num = data(), made(EDM(), 0), 4000
    exact = law_of_samples(process, law).covariance
    spread = np.sqrt((np.outer(np.diag(exact), np.diag(exact)) + exact**2) / num)
    for solver in (Heun(churn=0.3), Heun(churn=0.1, churn_range=(0.05, 10.0))):
        x = sample(process, scores_of(law, process), num, solver, 120, rng=np.random.default_rng(3)).x
        assert np.max(np.abs(np.cov(x.T) - exact) / spread) < 4.5
    solver = Heun(churn=0.3, churn_std=1.1)
    wrong = sample(process, scores_of(law, process), num, solver, 120, rng=np.random.default_rng(3)).x
    assert np.max(np.abs(np.cov(wrong.T) - exact) / spread) > 6  # so that a wrong amount would be seen


def test_churn_raises_the_noise_and_no_more_than_that():
    # with the score of x(t) for data 0 the flow contracts to 0: what churn adds is seen alone
    sde, t, s, num = VP(), 0.5, 0.4, 200_000
    ratio = sde.sigma(t) / sde.alpha(t)
    seen = []

    def score(x, at):
        seen.append((at, float(np.var(x))))
        return -x / sde.sigma(at) ** 2

    rng = np.random.default_rng(0)
    x = sde.sigma(t) * rng.standard_normal((num, 1))
    Heun(churn=0.25, churn_std=1.0).step(x, t, s, score, sde, lambda: rng.standard_normal((num, 1)))
    at, variance = seen[0]
    assert sde.sigma(at) / sde.alpha(at) == pytest.approx(1.25 * ratio, rel=1e-9)
    assert variance == pytest.approx(sde.sigma(at) ** 2, rel=5 * math.sqrt(2 / num))
    for solver in (Heun(churn=0.25, churn_range=(10.0, 20.0)), Heun()):  # out of range: no draw at all
        seen.clear()
        solver.step(x, t, s, score, sde, None)
        assert [time for time, _ in seen] == [t, s]
    seen.clear()
    Heun(churn=0.25).step(x, sde.T, s, score, sde, None)  # not above T
    assert seen[0][0] == sde.T


def test_uniform_time_is_what_it_says():
    found = sample(
        made(EDM(), 0), scores_of(data(), made(EDM(), 0)), 1, DDIM(), 4, spacing=UniformTime(), trajectory=True
    )
    np.testing.assert_allclose([t for t, _, _ in found.trajectory], np.linspace(80, 0.002, 5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DDIM(1.5), "eta lies between 0, without noise, and 1, the reverse SDE, got 1.5"),
        (lambda: DDIM(-0.1), "eta lies between 0"),
        (lambda: DPMSolver(4), "order 2 or 3, got 4"),
        (lambda: DPMSolver(2, eta=2), "eta lies between 0, the ODE, and 1, the reverse SDE, got 2"),
        (lambda: Heun(churn=0.5), "a share between 0 and √2 − 1 = 0.414 a step, got 0.5"),
        (lambda: Heun(churn=-0.1), "a share between 0"),
        (lambda: Heun(churn=0.1, churn_range=(2, 1)), "two values of σ/α, the smaller first"),
        (lambda: Heun(churn=0.1, churn_std=-1), "churn_std must not be negative"),
        (lambda: DormandPrince(0), "rtol and atol must be positive and finite, got 0"),
        (lambda: Rho(0.5), "rho must be at least 1, got 0.5"),
        (lambda: Langevin(1, 0), "snr > 0"),
    ],
)
def test_options_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("solver", [DPMSolver(2), DormandPrince()])
def test_a_corrector_needs_single_steps(solver):
    with pytest.raises(TypeError, match=r"a predictor takes single steps, and .* does not: use ReverseDiffusion"):
        PredictorCorrector(solver)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_score_that_is_not_finite_is_named_by_the_adaptive_solver_too(value, like, xp, array):
    process = made(VE(), 2)

    def broken(x, t):
        s = -x / (1 + VE().sigma(t) ** 2)
        bad = np.zeros(x.shape)
        bad[2, 0] = value if t < 0.6 else 0.0
        return s + array(bad)

    good = [lambda x, t: -x / (1 + VE().sigma(t) ** 2)] * 3
    with pytest.raises(ValueError, match=r"on level 1 the score is not finite at t = 0\.\d+, sample 2"):
        sample(process, [good[0], broken, good[2]], 4, DormandPrince(), 10, like=like)


def test_a_score_that_is_too_rough_for_adaptive_steps_is_named(like, xp):
    process = made(VE(), 0)
    rough = lambda x, t: xp.sign(x - t) * 1e12 * (1 if int(t * 1e12) % 2 else -1)  # noqa: E731
    with pytest.raises(ValueError, match=r"on level 0 the steps vanish .*: take a larger rtol and atol"):
        sample(process, [rough], 2, DormandPrince(1e-9, 1e-9), 10, like=like)


@pytest.mark.parametrize(
    "solver",
    [
        DDIM(0.5), Ancestral(), ReverseDiffusion(), DPMSolver(2), DPMSolver(3), DPMSolver(3, 0.5), Heun(0.2),
        PredictorCorrector(), DormandPrince(1e-6, 1e-6),
    ]
)  # fmt: skip
def test_every_library_gives_the_same_samples_from_the_same_noise(solver, like, array, host, eps, monkeypatch):
    # numpy's draws for all: then only the arithmetic differs
    law, process = data(), made(VP(), 2)

    def draws():
        rng = np.random.default_rng(5)
        return lambda self, shape: array(rng.standard_normal((*self._batch, *shape)))

    monkeypatch.setattr("subspace_sde.backend.Noise.normal", draws())
    found = sample(process, scores_of(law, process), 6, solver, 30, like=like)
    assert found.x.dtype == like.dtype and found.x.device == like.device
    with monkeypatch.context() as patch:
        rng = np.random.default_rng(5)
        patch.setattr(
            "subspace_sde.backend.Noise.normal", lambda self, shape: rng.standard_normal((*self._batch, *shape))
        )
        expected = sample(process, scores_of(law, process), 6, solver, 30).x
    slack = 2e-4 if isinstance(solver, DormandPrince) else 3e4 * eps  # scores grow like 1/σ²
    np.testing.assert_allclose(host(found.x), expected, rtol=0, atol=slack)


@pytest.mark.parametrize(
    ("solver", "expected"),
    [
        (DPMSolver(2), lambda n: n),
        (DPMSolver(3), lambda n: n + 1),  # 2S takes a second one in the first step of each stage
        (DDIM(), lambda n: n),
        (Ancestral(), lambda n: n),
        (ReverseDiffusion(), lambda n: n),
        (Heun(), lambda n: 2 * n),
        (PredictorCorrector(), lambda n: 2 * n),
    ],
)
def test_evaluations_of_each_stage(solver, expected):
    from subspace_sde.sampling import stage_times

    process = made(EDM(), 2)
    found = sample(process, scores_of(data(), process), 2, solver, 18)
    assert found.evaluations == tuple(expected(len(t) - 1) for t in stage_times(process, 18, solver=solver))
