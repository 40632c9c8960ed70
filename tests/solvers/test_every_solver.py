"""Every solver on every SDE, α ≠ 1 among them: formulas, point masses, noise, and the laws that they lead to."""

import math

import numpy as np
import pytest

from subspace_sde import EDM, VE, VP, Downsampling, NestedSubspaces, RectifiedFlow, SubspaceSDE, SubVP
from subspace_sde.oracles import Gaussian
from subspace_sde.sampling import law_of_samples, sampled_law
from subspace_sde.solvers import (
    DDIM,
    Ancestral,
    DormandPrince,
    DPMSolver,
    EulerMaruyama,
    Heun,
    ReverseDiffusion,
)

SDES = [VE(), VP(), SubVP(), EDM(), RectifiedFlow()]
each_sde = pytest.mark.parametrize("sde", SDES, ids=lambda s: type(s).__name__)
SOLVERS = {  # with η of the SDE that they solve
    "Euler-Maruyama": (EulerMaruyama(), 1.0),
    "reverse diffusion": (ReverseDiffusion(), 1.0),
    "ancestral": (Ancestral(), 1.0),
    "DDIM": (DDIM(), 0.0),
    "DDIM, 0.6": (DDIM(0.6), 0.36),
    "Heun": (Heun(), 0.0),
    "Heun, churn": (Heun(churn=0.05), 0.0),
    "2M": (DPMSolver(2), 0.0),
    "3M": (DPMSolver(3), 0.0),
    "2M, SDE": (DPMSolver(2, eta=1.0), 1.0),
    "3M, SDE": (DPMSolver(3, eta=0.5), 0.5),
    "Dormand-Prince": (DormandPrince(1e-6, 1e-6), 0.0),
}
each_solver = pytest.mark.parametrize(("solver", "eta"), SOLVERS.values(), ids=SOLVERS)


@each_sde
@each_solver
def test_the_law_of_the_samples_is_that_of_a_perfect_solver(solver, eta, sde):
    """Factors differ by axis, the mean is not 0, and the injection is in the middle: close already at 150 steps."""
    u = Downsampling((2, 4), (1, 2), axes=(-2, -1))
    rng = np.random.default_rng(0)
    root = rng.standard_normal((8, 8)) / math.sqrt(8)
    law = Gaussian(rng.standard_normal((2, 4)), root @ root.T + 0.2 * np.eye(8))
    process = SubspaceSDE(sde, NestedSubspaces([u]), [float(sde.time_at_log_snr(-0.7))], [0.4], mean=law.mean)
    scores = [law.score(sde), law.restrict(u).score(sde)]
    churned = bool(getattr(solver, "churn", 0))
    counts = (75, 150) if eta == 0 and not churned else (50, 100)  # noise takes a row for every number drawn
    exact, size = law_of_samples(process, law, eta), np.linalg.norm(law.covariance)
    found = [
        (np.linalg.norm(got.covariance - exact.covariance) / size, np.linalg.norm(got.mean - exact.mean))
        for got in (sampled_law(process, scores, solver, n) for n in counts)
    ]
    first_order = churned or isinstance(solver, EulerMaruyama | ReverseDiffusion | Ancestral | DDIM)
    assert max(found[-1]) < (0.2 if first_order else 0.01), found
    if not churned:  # which mends the injection as well, the more the more often
        for before, after in zip(*found):  # it vanishes with the steps: nothing is wrong that does not
            assert after < max(0.65 * before, 1e-3), found


@each_sde
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_draws_from_the_posterior(sde, eta):
    """x(s) given x(t) and D: mean α(s) D + √(σ²(s) − ζ²) ε, ζ² = η² times the variance of p(x(s) | x(t), x(0))."""
    t, s = (float(sde.time_at_log_snr(v)) for v in (-0.5, 0.7))
    solvers = [DDIM(eta), *([Ancestral()] if eta == 1 else [])]
    clean, eps = 0.3, -0.9
    x = np.full((1, 1), sde.alpha(t) * clean + sde.sigma(t) * eps)
    score = lambda x, t: -(x - sde.alpha(t) * clean) / sde.sigma(t) ** 2  # noqa: E731
    a = sde.alpha(t) / sde.alpha(s)
    gained = sde.sigma(t) ** 2 - a**2 * sde.sigma(s) ** 2  # x(t) = a x(s) + √gained z, and Bayes
    zeta = eta * math.sqrt(sde.sigma(s) ** 2 * gained / sde.sigma(t) ** 2)
    for solver in solvers:
        still, shaken = (solver.step(x, t, s, score, sde, lambda z=z: np.full((1, 1), z)).item() for z in (0.0, 1.0))
        assert shaken - still == pytest.approx(zeta, abs=1e-12)
        assert still == pytest.approx(sde.alpha(s) * clean + math.sqrt(sde.sigma(s) ** 2 - zeta**2) * eps, rel=1e-9)


@each_sde
@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_the_middle_of_2s_lies_on_the_path_of_the_noise(sde, eta):
    """One step of 3M is 2S: with the noise of its first half in the middle, its error in the variance is O(h³)."""
    v, score = 0.5, lambda x, t: -x / (0.5 * sde.alpha(t) ** 2 + sde.sigma(t) ** 2)
    errors = []
    for h in (0.2, 0.1, 0.05):
        times = [float(sde.time_at_log_snr(u)) for u in (0.3, 0.3 + 2 * h)]

        def moved(start, draws, times=times):
            left = [np.full((1, 1), z) for z in draws]
            [(_, x)] = DPMSolver(3, eta=eta).stage(np.full((1, 1), start), times, score, sde, lambda: left.pop(0))
            return x.item()

        before, after = (v * sde.alpha(t) ** 2 + sde.sigma(t) ** 2 for t in times)
        found = moved(1.0, (0, 0)) ** 2 * before + moved(0.0, (1, 0)) ** 2 + moved(0.0, (0, 1)) ** 2
        errors.append(abs(found - after))
    orders = [math.log2(a / b) for a, b in zip(errors, errors[1:])]
    assert min(orders) > 2.6, orders


@each_sde
@pytest.mark.parametrize("number", [1, 3])
def test_reverse_diffusion_is_its_formula(sde, number):
    """x(s) = (2 − a) x + G² score + G z, by the exact forward step a, G: with α ≠ 1 too."""
    times = np.linspace(0.7 * sde.T + 0.3 * sde.t_min, 0.4 * sde.T + 0.6 * sde.t_min, number + 1).tolist()
    score = lambda x, t: np.sin(x) * (1 + t)  # noqa: E731
    x = expected = np.random.default_rng(1).standard_normal((2, 3))
    z = np.full((2, 3), 0.7)
    for (_, found), t, s in zip(ReverseDiffusion().stage(x, times, score, sde, lambda: z), times, times[1:]):
        a = sde.alpha(t) / sde.alpha(s)
        g_squared = sde.sigma(t) ** 2 - (a * sde.sigma(s)) ** 2
        expected = (2 - a) * expected + g_squared * score(expected, t) + math.sqrt(g_squared) * z
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    if isinstance(sde, VP):  # (2 − √(1 − β)) x + β score + √β z of Song et al., appendix E
        beta = 1 - (sde.alpha(times[0]) / sde.alpha(times[1])) ** 2
        (_, x), *_ = ReverseDiffusion().stage(np.ones((1, 1)), times, score, sde, lambda: 0.0 * z[:1, :1])
        assert x.item() == pytest.approx(2 - math.sqrt(1 - beta) + beta * score(1.0, times[0]), rel=1e-12)


POINT = 0.8


@each_sde
@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize(
    "solver",
    [DDIM(), DDIM(0.5), DDIM(1.0), Ancestral(), DPMSolver(2), DPMSolver(3), DPMSolver(2, 1.0), DPMSolver(2, 0.3),
     DPMSolver(3, 1.0), DPMSolver(3, 0.3)],
    ids=lambda s: f"{type(s).__name__}-{'-'.join(str(v) for v in vars(s).values())[:7]}",
)  # fmt: skip
def test_exponential_integrators_are_exact_on_a_point_mass(solver, steps, sde):
    """D is constant, so that any number of steps, one even, ends in N(α(t_min) x₀, σ²(t_min)), noise and all."""
    process = SubspaceSDE(sde, NestedSubspaces([], ambient_shape=(1,)), [], [])
    score = lambda x, t: -(x - sde.alpha(t) * POINT) / sde.sigma(t) ** 2  # noqa: E731
    law = sampled_law(process, [score], solver, steps)
    assert law.covariance.item() == pytest.approx(float(sde.sigma(sde.t_min)) ** 2, rel=1e-9)
    eta = getattr(solver, "eta", 1.0)  # what is left of the beginning, N(0, σ²(T)) in place of N(α x₀, σ²(T))
    eta = eta if isinstance(solver, DPMSolver) else None
    left = float(sde.sigma(sde.t_min) / sde.sigma(sde.T)) * float(sde.alpha(sde.T)) * POINT
    h = 0.5 * (sde.log_snr(sde.t_min) - sde.log_snr(sde.T))
    if eta is not None:
        left *= math.exp(-eta * h)
        assert law.mean.item() == pytest.approx(float(sde.alpha(sde.t_min)) * POINT - left, rel=1e-9)
    else:
        assert abs(law.mean.item() - float(sde.alpha(sde.t_min)) * POINT) <= left * (1 + 1e-9)
