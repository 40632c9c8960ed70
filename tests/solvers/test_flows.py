"""Solvers against exact flows and laws of Gaussians, on which every one of them is affine; the measured orders."""

import math

import numpy as np
import pytest

from subspace_sde import EDM, VE, VP, Downsampling, LowPass, NestedSubspaces, RectifiedFlow, SubspaceSDE, SubVP
from subspace_sde.oracles import Gaussian
from subspace_sde.solvers import EulerMaruyama, Heun

D = 5
STAGES = [  # where noise and data are of one size
    (VE(), 0.6, 0.4),
    (VP(), 0.5, 0.15),
    (SubVP(), 0.5, 0.2),
    (EDM(), 3.0, 0.4),
    (RectifiedFlow(), 0.7, 0.3),
]
each_stage = pytest.mark.parametrize("sde, start, end", STAGES, ids=[type(s[0]).__name__ for s in STAGES])


def gaussian(seed=0):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((D, D)) / math.sqrt(D)
    return Gaussian(rng.standard_normal(D), root @ root.T + 0.1 * np.eye(D))


def power(matrix, exponent):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**exponent) @ vectors.T


def marginal(law, sde, t):
    d = law.mean.size
    return sde.alpha(t) * law.mean.ravel(), sde.alpha(t) ** 2 * law.covariance + sde.sigma(t) ** 2 * np.eye(d)


def affine(solver, times, score, sde, d=D):
    """(A, b, Q): a solver takes N(m, C) at times[0] to N(Am + b, ACAᵀ + Q) at times[-1], read off unit vectors."""
    a, b, q = np.eye(d), np.zeros(d), np.zeros((d, d))
    for t, s in zip(times, times[1:]):
        moved = solver.step(
            np.concatenate([np.zeros((1, d)), np.eye(d)]), t, s, score, sde, lambda: np.zeros((d + 1, d))
        )
        shaken = solver.step(np.zeros((d, d)), t, s, score, sde, lambda: np.eye(d))
        step, noise = (moved[1:] - moved[0]).T, (shaken - moved[0]).T
        a, b, q = step @ a, step @ b + moved[0], step @ q @ step.T + noise @ noise.T
    return a, b, q


def orders(errors):
    return [math.log2(a / b) for a, b in zip(errors, errors[1:])]


def grids(sde, start, end, counts):
    return [sde.grid_between(start, end, n).tolist() for n in counts]


@each_stage
def test_heun_follows_the_probability_flow_to_order_2(sde, start, end):
    # the exact flow of a Gaussian: x(s) = α(s)μ + M(s)^½ M(t)^-½ (x(t) − α(t)μ), M = α²C + σ²I
    law, errors = gaussian(), {"map": [], "mean": [], "covariance": []}
    (m_t, c_t), (m_s, c_s) = marginal(law, sde, start), marginal(law, sde, end)
    for times in grids(sde, start, end, (16, 32, 64, 128)):
        a, b, q = affine(Heun(), times, law.score(sde), sde)
        assert not q.any()  # deterministic
        errors["map"].append(np.linalg.norm(a - power(c_s, 0.5) @ power(c_t, -0.5)))
        errors["mean"].append(np.linalg.norm(a @ m_t + b - m_s))
        errors["covariance"].append(np.linalg.norm(a @ c_t @ a.T - c_s))
    if max(errors["mean"]) < 1e-12:  # on a straight line, which Heun follows exactly
        del errors["mean"]
        assert isinstance(sde, VE | EDM | RectifiedFlow)
    for name, found in errors.items():
        assert found[-1] < 1e-3
        assert orders(found)[-1] == pytest.approx(2, abs=0.15), (name, orders(found))


@each_stage
def test_euler_maruyama_preserves_the_marginal_to_order_1(sde, start, end):
    # and carries a state on to E[x(s) | x(t)] = α(s)μ + α(t)/α(s) M(s) … as the exact reverse SDE does
    law, errors = gaussian(), {"map": [], "mean": [], "covariance": []}
    (m_t, c_t), (m_s, c_s) = marginal(law, sde, start), marginal(law, sde, end)
    for times in grids(sde, start, end, (64, 128, 256, 512)):
        a, b, q = affine(EulerMaruyama(), times, law.score(sde), sde)
        errors["map"].append(np.linalg.norm(a - sde.alpha(start) / sde.alpha(end) * c_s @ np.linalg.inv(c_t)))
        errors["mean"].append(np.linalg.norm(a @ m_t + b - m_s))
        errors["covariance"].append(np.linalg.norm(a @ c_t @ a.T + q - c_s))
    if max(errors["mean"]) < 1e-12:
        del errors["mean"]
        assert isinstance(sde, VE | EDM | RectifiedFlow)
    for name, found in errors.items():
        assert found[-1] < 3e-2
        assert orders(found)[-1] == pytest.approx(1, abs=0.15), (name, orders(found))


def test_heun_keeps_its_order_across_a_jump_only_stage_by_stage():
    # Above t_1 the model is the Gaussian with an isotropic complement, below it the law itself; both flows are exact.
    sde, nested, t_1 = VP(), NestedSubspaces([Downsampling((6,), 2, axes=(-1,))]), 0.3
    rng = np.random.default_rng(1)
    root = rng.standard_normal((6, 6)) / math.sqrt(6)
    law = Gaussian(np.zeros(6), root @ root.T + 0.1 * np.eye(6))
    process, u = SubspaceSDE(sde, nested, [t_1], [0.8]), nested[1].matrix()
    scores = [law.score(sde), law.restrict(nested[1]).score(sde)]
    model = Gaussian(np.zeros(6), u @ u.T @ law.covariance @ u @ u.T + 0.8 * (np.eye(6) - u @ u.T))
    flow = {
        k: power(marginal(g, sde, end)[1], 0.5) @ power(marginal(g, sde, start)[1], -0.5)
        for k, g, start, end in ((1, model, 0.5, t_1), (0, law, t_1, 0.15))
    }
    staged, plain = [], []
    for n in (32, 64, 128, 256):
        above, below = (np.linspace(0.5, t_1, n + 1).tolist(), np.linspace(t_1, 0.15, n + 1).tolist())
        pieces = [
            affine(Heun(), t, process.full_score(scores, level=k), sde, 6)[0] for k, t in ((1, above), (0, below))
        ]
        staged.append(np.linalg.norm(pieces[1] @ pieces[0] - flow[0] @ flow[1]))
        whole = affine(Heun(), above + below[1:], process.full_score(scores), sde, 6)[0]
        plain.append(np.linalg.norm(whole - flow[0] @ flow[1]))
    assert orders(staged)[-1] == pytest.approx(2, abs=0.15)
    assert orders(plain)[-1] == pytest.approx(1, abs=0.15)


def test_the_complement_of_the_full_model_scales_as_the_root_of_its_variance():
    # why sampling in stages and the ODE in full dimension are one model; through two levels, whatever the scores
    sde = VE()
    nested = NestedSubspaces([LowPass((7,), 5, axes=(-1,)), LowPass((5,), 2, axes=(-1,))])
    process = SubspaceSDE(sde, nested, [0.4, 0.55], [0.5, 1.5])
    full = process.full_score([lambda x, t: np.sin(x)] * 3, level=2)
    x, errors = np.random.default_rng(2).standard_normal((3, 7)), []
    for n in (32, 64, 128):
        y = x
        times = np.linspace(0.7, 0.55, n + 1).tolist()
        for t, s in zip(times, times[1:]):
            y = Heun().step(y, t, s, full, sde, None)
        worst = 0.0
        for k, level in ((1, nested[0]), (2, nested[1])):
            off = nested.steps[k - 1].reject
            ratio = math.sqrt(process.complement_variance(k, 0.55) / process.complement_variance(k, 0.7))
            worst = max(worst, np.max(np.abs(off(level.restrict(y)) - ratio * off(level.restrict(x)))))
        errors.append(worst)
    assert errors[-1] < 1e-3 and orders(errors)[-1] == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize("solver", [Heun(), EulerMaruyama()])
def test_one_step_is_its_formula_on_every_library(solver, like, array, host, eps):
    sde, t, s = VP(), 0.6, 0.55
    x, z = np.random.default_rng(3).standard_normal((2, 4, 2, 3))
    calls = []

    def score(y, at):
        calls.append(at)
        return y * y * (0.1 + at) - y

    found = solver.step(array(x), t, s, score, sde, lambda: array(z))
    assert found.dtype == like.dtype and found.device == like.device
    f, g = sde.f, sde.g
    if isinstance(solver, Heun):

        def slope(y, at):
            return f(at) * y - 0.5 * g(at) ** 2 * (y * y * (0.1 + at) - y)

        euler = x + (s - t) * slope(x, t)
        expected = x + (s - t) * 0.5 * (slope(x, t) + slope(euler, s))
        assert calls == [t, s]
    else:
        drift = f(t) * x - g(t) ** 2 * (x * x * (0.1 + t) - x)
        expected = x + (s - t) * drift + g(t) * math.sqrt(t - s) * z
        assert calls == [t]
    np.testing.assert_allclose(host(found), expected, rtol=0, atol=20 * eps)
