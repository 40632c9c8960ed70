"""Langevin steps and correctors against their formula and closed forms."""

import math

import numpy as np
import pytest

from subspace_sde import VE, VP, Downsampling
from subspace_sde.backend import backend_of
from subspace_sde.oracles import Gaussian
from subspace_sde.solvers import EulerMaruyama, Langevin, PredictorCorrector

STEP = Downsampling((3, 4), (3, 2), axes=(-2, -1))


def stretched(x, t):
    return -x * (1 + x * x / 10) / (0.5 + t)


@pytest.mark.parametrize("complement_only", [False, True])
def test_a_langevin_step_is_its_formula_sample_by_sample(complement_only, like, array, host, eps):
    x, *noises = np.random.default_rng(4).standard_normal((3, 6, 3, 4))
    left = [array(z) for z in noises]
    mover = Langevin(steps=2, snr=0.3, complement_only=complement_only)
    calls = []

    def score(y, t):
        calls.append((tuple(y.shape), t))
        return stretched(y, t)

    found = mover.move(array(x), 0.25, score, lambda: left.pop(0), STEP)
    assert calls == [((6, 3, 4), 0.25)] * 2 and not left and found.dtype == like.dtype
    u = STEP.matrix()
    off = np.eye(12) - u @ u.T if complement_only else np.eye(12)
    for i in range(6):
        y = x[i].ravel()
        for noise in noises:
            s, z = off @ stretched(y, 0.25), off @ noise[i].ravel()
            size = 2 * (0.3 * np.linalg.norm(z) / np.linalg.norm(s)) ** 2
            y = y + size * s + math.sqrt(2 * size) * z
        np.testing.assert_allclose(host(found)[i].ravel(), y, rtol=0, atol=100 * eps * np.max(np.abs(y)))


def test_only_the_complement_moves_after_an_injection(like, array, host, eps):
    rng = np.random.default_rng(5)
    x = array(rng.standard_normal((4, 3, 4)))
    moved = {
        only: Langevin(steps=5, snr=0.3, complement_only=only).move(
            x, 0.25, stretched, lambda: array(rng.standard_normal((4, 3, 4))), STEP
        )
        for only in (True, False)
    }
    before = host(STEP.restrict(x))
    np.testing.assert_allclose(host(STEP.restrict(moved[True])), before, rtol=0, atol=50 * eps)
    assert np.min(np.max(np.abs(host(STEP.restrict(moved[False])) - before), axis=(1, 2))) > 0.1
    for y in moved.values():
        assert np.min(np.max(np.abs(host(STEP.reject(y)) - host(STEP.reject(x))), axis=(1, 2))) > 0.1
    # as a corrector no complement was injected, and all of x moves whatever the switch says
    whole = Langevin(complement_only=True).move(x, 0.25, stretched, lambda: x, None)
    assert float(abs(STEP.restrict(whole) - STEP.restrict(x)).max()) > 0.1


def test_no_sample_feels_another(like, array, host):
    # bitwise: one sample's neighbours are replaced by giants
    rng = np.random.default_rng(6)
    x, z = rng.standard_normal((2, 3, 3, 4))
    y = x * np.asarray([1e3, 1, 1e-3])[:, None, None]
    for injected in (None, STEP):
        a, b = (Langevin(2).move(array(v), 0.25, stretched, lambda: array(z), injected) for v in (x, y))
        np.testing.assert_array_equal(host(a)[1], host(b)[1])
        assert not np.array_equal(host(a)[0], host(b)[0])


@pytest.mark.parametrize("n, snr", [(6, 0.16), (30, 0.3)])
def test_the_energy_after_a_langevin_step_has_its_closed_form(n, snr, like, host):
    # x, z ~ N(0, vI), N(0, I) in n dimensions, s = −x/v, ε = 2 r² ‖z‖² v²/‖x‖²; as E‖z‖⁴ = n(n + 2) and
    # E‖x‖⁻² = 1/(v(n − 2)): E‖x'‖²/(nv) = 1 − 4r² + 4r²(1 + r²)(n + 2)/(n − 2). The step follows each sample's own
    # norms, so it leaves the law to 16 r²/(n − 2), which a high dimension makes small
    v, num, r = 0.7, 60_000, snr
    backend = backend_of(like)
    generator = backend.generator(7, like)
    x = v**0.5 * backend.normal(generator, (num, n), like)
    moved = Langevin(1, snr).move(x, 0.5, lambda y, t: -y / v, lambda: backend.normal(generator, (num, n), like))
    energy = np.sum(host(moved) ** 2, axis=1) / (n * v)
    expected = 1 - 4 * r**2 + 4 * r**2 * (1 + r**2) * (n + 2) / (n - 2)
    assert abs(energy.mean() - expected) < 4.5 * energy.std() / math.sqrt(num)
    assert abs(expected - 1) > 4.5 * energy.std() / math.sqrt(num)  # so that 1 would not pass


def test_langevin_keeps_the_law_at_a_small_ratio():
    # 30 steps in 300 dimensions, no two variances alike; every variance within 5 standard errors and the steps' bias
    n, num, snr, steps = 300, 1500, 0.03, 30
    variances, rng = np.linspace(0.5, 1.5, n), np.random.default_rng(8)
    x = rng.standard_normal((num, n)) * np.sqrt(variances)
    y = Langevin(steps, snr).move(x, 0.5, lambda v, t: -v / variances, lambda: rng.standard_normal((num, n)))
    assert np.mean((y - x) ** 2) > 0.05  # it moved
    ratios = np.mean(y**2, axis=0) / variances
    assert np.max(np.abs(ratios - 1)) < 5 * math.sqrt(2 / num) + 16 * steps * snr**2 / (n - 2) + 4 * snr**2
    assert abs(np.mean(ratios) - 1) < 5 * math.sqrt(2 / num / n) + 16 * steps * snr**2 / (n - 2) + 4 * snr**2


def test_langevin_gives_an_injected_complement_its_correlation_back():
    # every pair of numbers has variances 1 and 4: x⊥ regressed on x_k has slope (1 − 4)/(1 + 4), an injection has 0
    step, sde, t, (num, d) = Downsampling((200,), 2, axes=(-1,)), VE(), 0.2, (500, 200)
    variances = np.tile([1.0, 4.0], d // 2)
    law, rng = Gaussian(np.zeros(d), np.diag(variances)), np.random.default_rng(9)
    at_t = variances + sde.sigma(t) ** 2
    exact, other = rng.standard_normal((2, num, d)) * np.sqrt(at_t)
    injected = step.project(exact) + step.reject(other)  # the marginals are right, they are independent
    moved = Langevin(150, 0.15).move(injected, t, law.score(sde), lambda: rng.standard_normal((num, d)), step)

    def slope(x):
        coarse, pairs = step.restrict(x), x.reshape(num, -1, 2)
        fine = (pairs[..., 0] - pairs[..., 1]) / math.sqrt(2)
        return np.sum(coarse * fine) / np.sum(coarse**2)

    expected = (at_t[0] - at_t[1]) / (at_t[0] + at_t[1])
    stderr = math.sqrt(2 / (num * d))
    assert abs(slope(exact) - expected) < 5 * stderr and abs(slope(injected)) < 5 * stderr
    assert abs(slope(moved) - expected) < 0.02 * abs(expected) + 5 * stderr


def test_a_corrector_lowers_the_error_of_a_coarse_predictor():
    # 16 steps of the whole VE from σ = 50: the predictor alone is far from the data's variance
    sde, law, (num, d) = VE(), Gaussian(np.zeros(100), 0.09 * np.eye(100)), (1000, 100)
    exact, times = 0.09 + sde.sigma(0.0) ** 2, sde.grid(16).tolist()

    def error(corrector):
        rng = np.random.default_rng(10)
        x = sde.prior_std * rng.standard_normal((num, d))
        solver = EulerMaruyama() if corrector is None else PredictorCorrector(EulerMaruyama(), corrector)
        for t, s in zip(times, times[1:]):
            x = solver.step(x, t, s, law.score(sde), sde, lambda: rng.standard_normal((num, d)))
        return abs(np.mean(x**2) / exact - 1)

    assert error(None) > 0.05 > 8 * math.sqrt(2 / num / d)
    assert error(Langevin(2, 0.16)) < 0.8 * error(None)


def test_a_corrector_works_at_the_end_of_the_step():
    calls, z = [], np.ones((2, 3))

    def score(x, t):
        calls.append(t)
        return -x

    x = np.random.default_rng(11).standard_normal((2, 3))
    found = PredictorCorrector(EulerMaruyama(), Langevin(2, 0.2)).step(x, 0.5, 0.4, score, VP(), lambda: z)
    assert calls == [0.5, 0.4, 0.4]
    predicted = EulerMaruyama().step(x, 0.5, 0.4, lambda y, t: -y, VP(), lambda: z)
    np.testing.assert_array_equal(found, Langevin(2, 0.2).move(predicted, 0.4, lambda y, t: -y, lambda: z))
    calls.clear()
    np.testing.assert_array_equal(
        PredictorCorrector(EulerMaruyama(), Langevin(0)).step(x, 0.5, 0.4, score, VP(), lambda: z), predicted
    )
    assert calls == [0.5]


def test_langevin_steps_that_make_no_sense_are_refused():
    for steps, snr in ((-1, 0.1), (1, 0.0), (1, -0.1), (1, math.nan)):
        with pytest.raises(ValueError, match="integer steps >= 0 and snr > 0, got"):
            Langevin(steps, snr)
