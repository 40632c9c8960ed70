"""Posterior sampling: the exact law of its samples for Gaussian data, against closed forms and independent ones.

For Gaussian data every method is affine in the numbers it draws, so that draws that are unit vectors tell mean and
covariance of its samples, without Monte Carlo. What a method is biased by is computed a second time from dense
matrices, and compared.
"""

import math
import re

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from subspace_sde import VE, VP, Downsampling, LowPass, NestedSubspaces, SubspaceSDE, sample
from subspace_sde.backend import Noise, backend_of
from subspace_sde.measurements import Blur, Dense, Mask, Pooling
from subspace_sde.oracles import Gaussian
from subspace_sde.posterior import (
    DPS,
    Observation,
    PiGDM,
    RePaint,
    Replacement,
    View,
    conjugate_gradients,
    sample_posterior,
)
from subspace_sde.sampling import Start, stage_times
from subspace_sde.sampling.solver_law import _UnitDraws
from subspace_sde.sampling.watching import Checked
from subspace_sde.solvers import DPMSolver, Heun
from tests.measurements.test_kinds import Squares, WrongAdjoint, matrix

SHAPE = (8,)
NESTED = {
    "means": NestedSubspaces([Downsampling(SHAPE, 2, axes=(-1,)), Downsampling((4,), 2, axes=(-1,))]),
    "low-pass": NestedSubspaces([LowPass(SHAPE, 5, axes=(-1,)), LowPass((5,), 3, axes=(-1,))]),
}
SEEN = {
    "mask": Mask([1, 1, 1, 1, 1, 0, 0, 0], SHAPE),
    "pooling": Pooling(SHAPE, 4, axes=(-1,)),
    "blur": Blur(SHAPE, [0.25, 0.5, 0.25], axes=(-1,)),
}
each_nested = pytest.mark.parametrize("nested", NESTED.values(), ids=NESTED)
each_measurement = pytest.mark.parametrize("measurement", SEEN.values(), ids=SEEN)
each_sde = pytest.mark.parametrize("sde", [VE(), VP()], ids=lambda s: type(s).__name__)
staged_and_full = pytest.mark.parametrize("full", [False, True], ids=["staged", "full"])


def make(nested, sde, variances, top, mean=None):
    """A process whose Gaussian data have its own complements, and `top` as the covariance of level K."""
    process = SubspaceSDE(sde, nested, [sde.time_at_log_snr(v) for v in (1.0, -2.0)], variances, mean)
    u = [level.matrix() for level in nested]
    covariance = u[-1] @ top @ u[-1].T
    for v, outer, inner in zip(variances, u, u[1:]):
        covariance = covariance + v * (outer @ outer.T - inner @ inner.T)
    law = Gaussian(np.zeros(SHAPE) if mean is None else mean, (covariance + covariance.T) / 2)
    return process, law, [law.restrict(level).score(sde) for level in nested]


def uneven(nested, sde):
    n = nested[-1].dim
    root = np.random.default_rng(1).standard_normal((n, n)) / math.sqrt(n)
    return make(nested, sde, (0.1, 0.3), 0.5 * root @ root.T + 0.3 * np.eye(n))


def observed(measurement, law, noise):
    y = measurement.apply(law.sample(1, rng=5)[0])
    return Observation(measurement, y + noise * np.random.default_rng(2).standard_normal(y.shape), noise)


def law_of(process, scores, observation, method, steps, solver=None, **more):
    """Mean and covariance of the samples."""
    solver, count = Heun() if solver is None else solver, _UnitDraws(0)
    sample_posterior(process, scores, observation, 1, method, solver, steps, count, **more)
    draws = _UnitDraws(count.drawn)
    x = sample_posterior(process, scores, observation, 1 + count.drawn, method, solver, steps, draws, **more).x
    x = x.reshape(len(x), -1)
    return x[0], (x[1:] - x[0]).T @ (x[1:] - x[0])


def posterior(law, observation):
    a, mean = matrix(observation.measurement), law.mean.reshape(-1)
    gain = law.covariance @ a.T @ np.linalg.inv(a @ law.covariance @ a.T + observation.noise**2 * np.eye(len(a)))
    return mean + gain @ (observation.y.reshape(-1) - a @ mean), law.covariance - gain @ a @ law.covariance


def off(found, expected):
    return [float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in zip(found, expected)]


# -- guidance


@staged_and_full
@each_sde
@each_measurement
@each_nested
def test_pigdm_is_exact_for_data_as_it_takes_them(nested, measurement, sde, full):
    # isotropic data: N(D, r²) is the truth, on every level, and so are the hidden complements
    mean = np.random.default_rng(3).standard_normal(SHAPE)
    process, law, scores = make(nested, sde, (1.0, 1.0), np.eye(nested[-1].dim), mean)
    observation = observed(measurement, law, 0.3)
    found = law_of(process, scores, observation, PiGDM(1.0), 200, full=full)
    in_mean, in_covariance = off(found, posterior(law, observation))
    assert in_covariance < 4e-3  # Heun's steps
    assert in_mean < (0.02 if isinstance(sde, VE) else 0.005)  # the start from N(0, σ(T)²), without mean and y


@each_measurement
def test_with_a_variance_for_each_level_the_staged_form_is_no_worse_than_full(measurement):
    sde, nested = VP(), NESTED["means"]
    process, law, scores = uneven(nested, sde)
    observation = observed(measurement, law, 0.3)
    each = PiGDM([float(np.trace(law.restrict(u).covariance)) / u.dim for u in nested])
    truth = posterior(law, observation)
    own, whole = (off(law_of(process, scores, observation, each, 200, full=full), truth) for full in (False, True))
    assert own[0] < 0.14 and own[1] < 0.15, own
    assert own[0] < 1.01 * whole[0] and own[1] < 1.01 * whole[1], (own, whole)


@each_measurement
@each_nested
def test_the_hidden_complement_is_exact_where_only_the_top_level_is_seen_as_it_is(nested, measurement):
    # the variances of the complements are those at time 0, and none of them is 1: a stage K alone must be exact
    sde = VP()
    process, law, scores = make(nested, sde, (0.05, 0.4), 0.8 * np.eye(nested[-1].dim))
    observation, k = observed(measurement, law, 0.3), 2
    view = View(process, observation, k)
    t, a, u = process.times[-1], matrix(measurement), nested[k].matrix()
    alpha, sigma = sde.alpha(t), sde.sigma(t)
    x = np.random.default_rng(4).standard_normal((1, *nested[k].shape))
    # p(y | x_k(t)) from the joint law of y and x_k(t)
    joint = alpha * a @ law.covariance @ u
    gain = joint @ np.linalg.inv(alpha**2 * u.T @ law.covariance @ u + sigma**2 * np.eye(u.shape[1]))
    covariance = a @ law.covariance @ a.T + 0.09 * np.eye(len(a)) - gain @ joint.T
    rest = observation.y.reshape(-1) - gain @ x[0]
    expected = gain.T @ np.linalg.solve(covariance, rest)
    prepared = PiGDM(0.8).prepare(view, Checked(scores[k], k), Heun(), slice(0, 1))
    np.testing.assert_allclose((prepared.score(x, t) - scores[k](x, t))[0], expected, rtol=1e-6, atol=1e-9)
    # and the complement at the injection, given y and x_k
    step, outer = nested.steps[k - 1], nested[k - 1].matrix()
    inner = step.matrix()
    reject = np.eye(len(inner)) - inner @ inner.T
    clean = alpha * reject @ outer.T @ law.covariance @ a.T  # of the complement and y
    gain = clean @ np.linalg.inv(covariance)
    expected = inner @ x[0] + gain @ rest
    spread = reject * (alpha**2 * 0.4 + sigma**2) - gain @ clean.T
    counting = _UnitDraws(0)
    for rng in (counting, None):
        rng = _UnitDraws(counting.drawn) if rng is None else rng
        rows = 1 + counting.drawn * (rng is not counting)
        many = np.broadcast_to(x, (rows, *x.shape[1:]))
        denoised = (many + sigma**2 * scores[k](many, t)) / alpha
        variance = PiGDM(0.8).variance(t, sde)
        drawn = view.inject(many, denoised, variance, Noise(rng, (rows,), x), slice(0, 1))
    np.testing.assert_allclose(drawn[0], expected, atol=1e-9)
    np.testing.assert_allclose((drawn[1:] - drawn[0]).T @ (drawn[1:] - drawn[0]), spread, atol=1e-9)


def guided_law(process, law, observation, variance, full):
    """The samples' law without a step error: stage by stage the flow is integrated with dense matrices."""
    sde, nested, a = process.sde, process.subspaces, matrix(observation.measurement)
    y, k, d = observation.y.reshape(-1), process.K, law.mean.size
    projections = [u.matrix() @ u.matrix().T for u in nested]
    hidden = [v * (p - q) for v, p, q in zip(process.complement_variances, projections, projections[1:])]
    n = nested[k].dim
    mean, spread = np.zeros(n), sde.prior_std**2 * np.eye(n)
    if full:
        u = nested[k].matrix()
        mean, spread = np.zeros(d), u @ spread @ u.T
        for j in range(1, k + 1):
            spread = spread + process.complement_variance(j, sde.T) * (projections[j - 1] - projections[j])
    for k in reversed(range(process.K + 1)):
        u = np.eye(d) if full else nested[k].matrix()
        c, b = u.T @ law.covariance @ u, a @ u
        noise = observation.noise**2 * np.eye(len(a)) + (0 if full or not k else a @ sum(hidden[:k]) @ a.T)

        def flow(t, state, c=c, b=b, noise=noise):
            alpha, sigma, n = sde.alpha(t), sde.sigma(t), len(c)
            columns = state.reshape(n, n + 1)
            precision = np.linalg.inv(alpha**2 * c + sigma**2 * np.eye(n))
            jacobian = (np.eye(n) - sigma**2 * precision) / alpha
            pull = jacobian.T @ b.T @ np.linalg.inv(noise + variance(t) * b @ b.T)
            score = -precision @ columns - pull @ b @ jacobian @ columns
            score[:, 0] += pull @ y
            return (sde.f(t) * columns - 0.5 * sde.g(t) ** 2 * score).reshape(-1)

        low, high = process.ends(k)
        begin = np.concatenate([mean[:, None], np.eye(len(c))], axis=1)
        end = solve_ivp(flow, (high, low), begin.reshape(-1), rtol=1e-8, atol=1e-10).y[:, -1]
        end = end.reshape(begin.shape)
        # the columns of the identity carry the constant too
        zero = solve_ivp(flow, (high, low), 0 * begin.reshape(-1), rtol=1e-8, atol=1e-10).y[:, -1].reshape(begin.shape)
        mean, phi = end[:, 0], end[:, 1:] - zero[:, 1:]
        spread = phi @ spread @ phi.T
        if k and not full:
            alpha, sigma = sde.alpha(low), sde.sigma(low)
            jacobian = (np.eye(len(c)) - sigma**2 * np.linalg.inv(alpha**2 * c + sigma**2 * np.eye(len(c)))) / alpha
            s, v, inner = noise + variance(low) * b @ b.T, process.complement_variances[k - 1], nested.steps[k - 1]
            up, outer = inner.matrix(), nested[k - 1].matrix()
            reject = np.eye(len(up)) - up @ up.T
            cross = alpha * v * reject @ outer.T @ a.T
            gain = cross @ np.linalg.inv(s)
            move = up - gain @ b @ jacobian
            mean = move @ mean + gain @ y
            spread = move @ spread @ move.T + (alpha**2 * v + sigma**2) * reject - gain @ cross.T
    return mean, spread


@staged_and_full
@each_measurement
@each_nested
def test_the_bias_of_guidance_is_the_one_it_has_by_its_definition(nested, measurement, full):
    sde = VP()
    process, law, scores = uneven(nested, sde)
    observation = observed(measurement, law, 0.3)
    truth, biases = posterior(law, observation), {}
    for method in (PiGDM(0.5), DPS()):
        found = law_of(process, scores, observation, method, 200, full=full)
        again = guided_law(process, law, observation, lambda t, m=method: m.variance(t, sde), full)
        assert max(off(found, again)) < 1e-2, method  # Heun's steps
        biases[type(method)] = (*off(found, truth), float(np.trace(found[1]) / np.trace(truth[1])))
    # ΠGDM takes the data for isotropic, of variance 0.5, where theirs are 0.1 to 1: mean off by 8 to 17 %, covariance
    # by 5 to 13 %, total variance by 6 % at most, to either side; the staged form knows the hidden complements better
    assert biases[PiGDM][0] < 0.18 and biases[PiGDM][1] < 0.14 and abs(biases[PiGDM][2] - 1) < 0.07, biases
    # DPS believes y too much: mean off by 36 to 63 %, covariance by 26 to 50 %, total variance too small by 13 to 38 %
    assert 0.35 < biases[DPS][0] < 0.65 and 0.25 < biases[DPS][1] < 0.51 and 0.6 < biases[DPS][2] < 0.9, biases


def test_a_level_of_its_own_is_the_same_as_going_through_the_full_space(like, array, host, eps):
    process, law, _ = uneven(NESTED["low-pass"], VP())
    observation = Observation(SEEN["blur"], array(observed(SEEN["blur"], law, 0.3).y[0]), 0.3)
    clean = array(np.random.default_rng(0).standard_normal((4, 5)))
    view = View(process, observation, 1)
    level = view.reduced(0.05)
    assert level is not view and level is view.reduced(0.05)
    assert View(process, observation, 1, largest=4).reduced(0.05) is not level
    for variance in (0.05, 0.3):
        a, b = (host(v.pull(clean, variance, slice(0, 4))) for v in (view, level))
        np.testing.assert_allclose(a, b, atol=2e4 * eps)
        weights = [
            v * (p @ p.T - q @ q.T) for v, p, q in zip((0.1,), *zip([u.matrix() for u in process.subspaces[:2]]))
        ]
        u, m = process.subspaces[1].matrix(), matrix(SEEN["blur"])
        s = 0.09 * np.eye(8) + m @ (sum(weights) + variance * u @ u.T) @ m.T
        expected = np.linalg.solve(s, host(observation.y).T - m @ u @ host(clean).T).T @ m @ u
        np.testing.assert_allclose(a, expected, atol=2e4 * eps)


def test_nothing_of_full_size_is_computed_above_t_1_once_a_level_has_what_it_needs():
    process, law, scores = uneven(NESTED["means"], VP())
    observation = observed(SEEN["mask"], law, 0.3)
    times = {2: [], 1: [], 0: []}

    class Watched(Mask):
        def _apply(self, x, xp):
            times[watching[0]].append(tuple(x.shape))
            return super()._apply(x, xp)

    watching = [0]
    watched = Observation(Watched(SEEN["mask"].mask, SHAPE), observation.y[0], 0.3)
    for k in (2, 1, 0):
        watching[0] = k
        prepared = PiGDM().prepare(View(process, watched, k), Checked(scores[k], k), Heun(), slice(0, 1))
        times[k].clear()
        prepared.score(np.ones((1, *process.shape(k))), process.ends(k)[1])
    assert not times[2] and not times[1] and times[0]


def test_torch_differentiates_any_score(torch_like):
    process, law, scores = uneven(NESTED["low-pass"], VE())
    y = observed(SEEN["pooling"], law, 0.3).y[0]
    kinds = [np.zeros((), dtype=str(torch_like.dtype).split(".")[1]), torch_like]
    eps = np.finfo(kinds[0].dtype).eps
    bare = [lambda x, t, score=score: score(x, t) for score in scores]
    given = [backend_of(like).from_numpy(y, like) for like in kinds]
    drawn = np.random.default_rng(0).standard_normal((2, 3))
    for k in range(3):
        x = np.repeat(drawn[:, :1], process.subspaces[k].dim, axis=1)
        found = []
        for s, kind, observation in zip((scores, bare), kinds, (Observation(SEEN["pooling"], v, 0.3) for v in given)):
            view = View(process, observation, k)
            checked = Checked(s[k], k)
            guided = PiGDM(0.5).prepare(view, checked, Heun(), slice(0, 2)).score
            found.append(backend_of(kind).to_numpy(guided(backend_of(kind).from_numpy(x, kind), process.ends(k)[1])))
            assert checked.calls == 1  # the derivative goes back through the same evaluation
        np.testing.assert_allclose(found[1], found[0], rtol=0, atol=3e4 * eps)


# -- replacement and RePaint


def replaced_law(process, law, observation, steps, resamplings, jump):
    """The samples' law by the same steps of Heun, in dense matrices: full dimension, exact scores."""
    sde, a, d = process.sde, matrix(observation.measurement), law.mean.size
    q = a.T @ np.linalg.inv(a @ a.T) @ a
    known = a.T @ np.linalg.inv(a @ a.T) @ observation.y.reshape(-1)

    def replaced(mean, spread, t):
        rest = np.eye(d) - q
        return rest @ mean + sde.alpha(t) * known, rest @ spread @ rest + sde.sigma(t) ** 2 * q

    def slope(t):
        return sde.f(t) * np.eye(d) + 0.5 * sde.g(t) ** 2 * np.linalg.inv(
            sde.alpha(t) ** 2 * law.covariance + sde.sigma(t) ** 2 * np.eye(d)
        )

    mean, spread = np.zeros(d), sde.prior_std**2 * np.eye(d)
    for k in range(1, process.K + 1):
        p, r = (process.subspaces[j].matrix() @ process.subspaces[j].matrix().T for j in (k - 1, k))
        spread = spread + (process.complement_variance(k, sde.T) - sde.prior_std**2) * (p - r)
    for grid in reversed(stage_times(process, steps)):
        mean, spread = replaced(mean, spread, grid[0])
        for first in range(0, len(grid) - 1, jump):
            part = grid[first : first + jump + 1]
            for again in range(resamplings):
                for t, s in zip(part, part[1:]):
                    m, n, h = slope(t), slope(s), s - t
                    step = np.eye(d) + 0.5 * h * (m + n @ (np.eye(d) + h * m))
                    mean, spread = replaced(step @ mean, step @ spread @ step.T, s)
                if again < resamplings - 1:
                    ratio = sde.alpha(part[0]) / sde.alpha(part[-1])
                    fresh = sde.sigma(part[0]) ** 2 - ratio**2 * sde.sigma(part[-1]) ** 2
                    mean, spread = replaced(ratio * mean, ratio**2 * spread + fresh * np.eye(d), part[0])
    return mean, spread


@each_sde
@pytest.mark.parametrize("mask", [[1, 1, 1, 1, 0, 0, 0, 0], [1, 1, 0, 0, 1, 1, 0, 0]], ids=["half", "quarters"])
def test_the_bias_of_replacement_and_that_resampling_lowers_it(mask, sde):
    measurement = Mask(mask, SHAPE)
    process, law, scores = uneven(NESTED["means"], sde)
    observation, steps = observed(measurement, law, 0.0), 30
    a = matrix(measurement)
    gain = law.covariance @ a.T @ np.linalg.inv(a @ law.covariance @ a.T)
    truth = gain @ observation.y.reshape(-1), law.covariance - gain @ a @ law.covariance
    biases = []
    for method in (Replacement(), RePaint(2, 3), RePaint(6, 1)):
        again = getattr(method, "resamplings", 1), getattr(method, "jump", 1)
        found = law_of(process, scores, observation, method, steps, full=True)
        expected = replaced_law(process, law, observation, steps, *again)
        assert max(off(found, expected)) < 1e-7, method
        staged = law_of(process, scores, observation, method, steps)
        biases.append((off(found, truth), off(staged, truth)))
        for mean, covariance in (found, staged):  # what was seen comes out as it was seen
            np.testing.assert_allclose(a @ mean, sde.alpha(sde.t_min) * observation.y.reshape(-1), atol=1e-9)
            np.testing.assert_allclose(a @ covariance @ a.T, sde.sigma(sde.t_min) ** 2 * a @ a.T, atol=1e-9)
    (plain, plain_staged), _, (resampled, resampled_staged) = biases
    assert plain[0] > 0.1 and plain_staged[0] > 0.1, biases  # the mean of the rest is told too little of y
    assert resampled[0] < 0.6 * plain[0] and resampled_staged[0] < 0.6 * plain_staged[0], biases


def test_what_y_determines_on_a_level(like, array, host, eps):
    y = Mask([1, 1, 1, 1, 1, 0, 0, 1], SHAPE)
    process, law, _ = uneven(NESTED["means"], VP())
    x = law.sample(1, rng=0)[0]
    observation = Observation(y, array(y.apply(x)))
    for k, whole in ((1, [1, 1, 0, 0]), (2, [1, 0])):  # blocks wholly inside the mask; never a pooled mask
        found = View(process, observation, k).determined
        np.testing.assert_allclose(host(found.value)[0], whole * process.subspaces[k].restrict(x), atol=1e3 * eps)
        ones = array(np.ones((2, *process.shape(k))))
        np.testing.assert_allclose(host(found.project(ones)), [whole, whole], atol=1e3 * eps)
    # block 3 is one half seen, block 4 the other: 2 of 3 on level 1; on level 2 one of 1 and a half
    assert View(process, observation, 1).determined.share == pytest.approx(2 / 3, abs=1e-5)
    assert View(process, observation, 2).determined.share == pytest.approx(1 / 1.5, abs=1e-5)
    assert View(process, observation, 2, full=True).determined.share == 1
    assert View(process, observation, 2, largest=1).determined is None


def test_the_result_says_which_stage_ran_how():
    y = Mask([1, 1, 0, 0, 0, 0, 0, 0], SHAPE)
    for name, expected in (("means", [Replacement] * 2 + [PiGDM]), ("low-pass", [Replacement] + [PiGDM] * 2)):
        process, law, scores = uneven(NESTED[name], VP())
        observation = observed(y, law, 0.0)
        found = sample_posterior(process, scores, observation, 2, Replacement(PiGDM(0.5)), steps=30)
        assert [type(m) for m in found.methods] == expected and not found.full
        whole = sample_posterior(process, scores, observation, 2, Replacement(PiGDM(0.5)), steps=30, full=True)
        assert [type(m) for m in whole.methods] == [Replacement] * 3 and whole.full
        np.testing.assert_allclose(found.x[:, :2], whole.x[:, :2], atol=0.1)
        strict = sample_posterior(process, scores, observation, 2, Replacement(PiGDM(0.5), least=1.0), steps=30)
        assert all(type(m) in (Replacement, PiGDM) for m in strict.methods)


# -- randomness, starts, chunks


@staged_and_full
@pytest.mark.parametrize("method", [PiGDM(0.5), RePaint(2, 2)], ids=lambda m: type(m).__name__)
def test_sample_i_has_its_own_noise_and_its_own_y(method, full, like, array, host, eps):
    process, law, scores = uneven(NESTED["means"], VE())
    mask = SEEN["mask"]
    y = array(mask.apply(law.sample(5, rng=1)))
    every = sample_posterior(process, scores, Observation(mask, y), 5, method, steps=20, rng=3, full=full)
    chunks = sample_posterior(process, scores, Observation(mask, y), 5, method, steps=20, rng=3, full=full, chunk=2)
    one = sample_posterior(
        process, scores, Observation(mask, y[3]), 1, method, steps=20, rng=[every.seeds[3]], full=full
    )
    assert every.x.dtype == like.dtype and every.x.device == like.device
    np.testing.assert_allclose(host(chunks.x), host(every.x), atol=3e4 * eps)
    np.testing.assert_allclose(host(one.x)[0], host(every.x)[3], atol=3e4 * eps)
    rest = host(every.x) - host(every.x).mean(0)
    assert np.all(rest.std(0)[5:] > 0.05)  # no two alike
    assert every.seeds == chunks.seeds and len(every.seconds) == 3 and min(every.seconds) > 0


def test_the_measured_part_is_noised_from_T_on():
    process, _, scores = uneven(NESTED["means"], VE())
    mask = Mask([1, 1, 1, 1, 0, 0, 0, 0], SHAPE)
    y = 100 * np.ones(4)
    found = sample_posterior(process, scores, Observation(mask, y), 400, Replacement(), steps=30, trajectory=True)
    for t, k, x in found.trajectory[1:]:
        block = process.subspaces[k].restrict(np.concatenate([y, 0 * y]))
        seen = x[:, block == block.max()]
        sigma = process.sde.sigma(t)
        assert np.all(abs(seen.mean(0) - block.max()) < 5 * sigma / 20 + 1e-9)
        if t not in process.times:  # there the injection comes before the replacement
            np.testing.assert_allclose(seen.std(0), sigma, rtol=0.2)


def test_evaluations_count_the_injection():
    process, law, scores = uneven(NESTED["means"], VP())
    counts = [len(t) - 1 for t in stage_times(process, 20)]
    observation = observed(SEEN["mask"], law, 0.3)
    for full, once in ((False, 1), (True, 0)):
        found = sample_posterior(process, scores, observation, 2, DPS(), steps=20, full=full)
        assert found.evaluations == (counts[0], counts[1] + once, counts[2] + once)


@staged_and_full
def test_a_posterior_from_a_start(full):
    process, law, scores = uneven(NESTED["means"], VP())
    observation = observed(SEEN["mask"], law, 0.3)
    start = Start(law.sample(1, rng=9)[0], t=0.3)
    found = sample_posterior(process, scores, observation, 3, solver=Heun(), steps=40, start=start, full=full)
    assert found.methods[2] is None or process.level(0.3) == 2
    small = Start(process.subspaces[2].restrict(start.x), level=2)
    climbed = sample_posterior(process, scores, observation, 3, steps=40, start=small, full=full)
    assert climbed.x.shape == (3, 8) and climbed.evaluations[2] == (0 if full else 1)


def test_a_start_is_noised_and_gone_on_from():
    # data N(0, I): the flow from t to t_min scales x by √(var(t_min)/var(t)) on every level alike
    sde, nested = VE(), NESTED["means"]
    process, _, scores = make(nested, sde, (1.0, 1.0), np.eye(2))
    x0 = np.random.default_rng(0).standard_normal((500, 8))

    def scale(s, t):
        return math.sqrt((1 + sde.sigma(s) ** 2) / (1 + sde.sigma(t) ** 2))

    t = 0.9 * process.times[0]
    edited = sample(process, scores, 500, Heun(), 600, rng=1, start=Start(x0, t=t))
    shrunk = scale(sde.t_min, t)
    rest = edited.x - shrunk * x0
    assert abs(rest.std() / (shrunk * sde.sigma(t)) - 1) < 0.03 and abs(rest.mean()) < 0.02
    assert edited.evaluations[1:] == (0, 0)
    # from level 2, at t_2: what the small image said is kept on level 2, and the complement is drawn
    t = process.times[1]
    climbed = sample(process, scores, 500, Heun(), 600, rng=1, start=Start(nested[2].restrict(x0), level=2))
    rest = nested[2].restrict(climbed.x) - scale(sde.t_min, t) * nested[2].restrict(x0)
    assert abs(rest.std() / (scale(sde.t_min, t) * sde.sigma(t)) - 1) < 0.05
    assert abs(nested.steps[0].reject(climbed.x).std() / math.sqrt(0.5) - 1) < 0.05
    assert climbed.evaluations[2] == 0 and climbed.evaluations[1] > 0
    # one for all, at a time in the stage above
    later = sample(process, scores, 4, DPMSolver(), 60, start=Start(nested[1].restrict(x0[0]), level=1, t=0.95))
    assert later.x.shape == (4, 8) and later.evaluations[2] > 0
    with pytest.raises(ValueError, match=r"a start on level 1 has shape \(4,\), or \(3, 4\) with one for each sample"):
        sample(process, scores, 3, start=Start(x0[0], level=1))
    for at in (0.0, 0.1 * process.times[0], 1.1):
        with pytest.raises(ValueError, match="a start on level 1 is noised to a time above t_min and from"):
            sample(process, scores, 3, start=Start(np.ones(4), level=1, t=at))
    with pytest.raises(ValueError, match="a start lies on one of the levels 0 to 2, got 3"):
        sample(process, scores, 3, start=Start(np.ones(2), level=3))
    with pytest.raises(ValueError, match="of one library, device and dtype"):
        sample(process, scores, 3, start=Start(np.ones(4, dtype=np.float32), level=1))


# -- conjugate gradients, and what is refused


def test_conjugate_gradients(like, array, host, eps):
    rng = np.random.default_rng(0)
    root = rng.standard_normal((6, 6))
    m, b = root @ root.T + np.eye(6), rng.standard_normal((4, 2, 3))
    b[2] = 0
    mine = array(m)

    def operator(x):
        return (x.reshape(-1, 6) @ mine).reshape(x.shape)

    x = host(conjugate_gradients(operator, array(b), 2))
    np.testing.assert_allclose(x.reshape(4, 6), np.linalg.solve(m, b.reshape(4, 6).T).T, atol=1e3 * eps)
    assert np.all(x[2] == 0)
    # singular, with b in the range: a solution all the same
    flat = array(np.diag([1.0, 2.0, 0.0]))
    found = host(conjugate_gradients(lambda v: v @ flat, array([[1.0, 1.0, 0.0]]), 1))
    np.testing.assert_allclose(found, [[1.0, 0.5, 0.0]], atol=100 * eps)


def test_refusals():
    process, _, scores = uneven(NESTED["means"], VP())
    mask = SEEN["mask"]
    y = np.zeros(5)
    with pytest.raises(ValueError, match=r"y has the shape \(5,\) of the measurement, or one such array for each"):
        Observation(mask, np.zeros(8))
    with pytest.raises(ValueError, match="y must hold floating-point numbers, got int64"):
        Observation(mask, np.zeros(5, dtype=int))
    with pytest.raises(ValueError, match="y holds NaN"):
        Observation(mask, y + np.nan)
    for noise in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="noise is a standard deviation, finite and not negative"):
            Observation(mask, y, noise)
    with pytest.raises(ValueError, match="iterations must be an integer >= 1"):
        Observation(mask, y, iterations=0)
    with pytest.raises(TypeError, match="must be a LinearMeasurement, got function"):
        Observation(lambda x: x, y)
    for wrong in (Squares, WrongAdjoint):
        with pytest.raises(ValueError, match=r"no linear map with its adjoint: .* does not hold"):
            Observation(wrong(SHAPE, SHAPE), np.zeros(8), 0.1)
    twice = Dense([[1.0] + [0.0] * 7] * 2)
    with pytest.raises(ValueError, match="without noise y must lie in the range of Dense"):
        Observation(twice, np.asarray([1.0, 2.0]))
    Observation(twice, np.asarray([1.0, 1.0])), Observation(twice, np.asarray([1.0, 2.0]), 0.1)
    with pytest.raises(ValueError, match=r"the measurement is one of arrays of shape \(9,\), the process has \(8,\)"):
        sample_posterior(process, scores, Observation(Mask([1] * 9, (9,)), np.zeros(9)), 1)
    with pytest.raises(ValueError, match="y holds 2 measurements for 3 samples"):
        sample_posterior(process, scores, Observation(mask, np.zeros((2, 5))), 3)
    with pytest.raises(TypeError, match=r"observation must be an Observation\(measurement, y, noise\), got ndarray"):
        sample_posterior(process, scores, y, 1)
    with pytest.raises(TypeError, match=r"method must be a Method, PiGDM\(\) say, got ABCMeta"):
        sample_posterior(process, scores, Observation(mask, y), 1, PiGDM)
    with pytest.raises(ValueError, match="DPS divides by the variance of the noise"):
        sample_posterior(process, scores, Observation(mask, y), 1, DPS())
    with pytest.raises(ValueError, match="numpy cannot differentiate backwards"):
        sample_posterior(process, [lambda x, t: -x] * 3, Observation(mask, y), 1)
    with pytest.raises(ValueError, match="level 2 needs a variance of its own, but only 2 were given"):
        sample_posterior(process, scores, Observation(mask, y), 1, PiGDM([1.0, 1.0]))
    with pytest.raises(ValueError, match="DPS divides by the variance of the noise"):
        sample_posterior(process, scores, Observation(mask, y), 1, Replacement(DPS()))
    for make_method in (lambda: PiGDM([]), lambda: PiGDM(0.0), lambda: PiGDM(weight=-1), lambda: DPS(math.nan)):
        with pytest.raises(ValueError, match="must be"):
            make_method()
    for make_method in (lambda: RePaint(0), lambda: RePaint(jump=1.5), lambda: RePaint(True)):
        with pytest.raises(ValueError, match="must be an integer >= 1"):
            make_method()
    with pytest.raises(ValueError, match="least is a share between 0 and 1"):
        Replacement(least=2)


def test_what_an_observation_may_be():
    # ill-conditioned, but in the range: a blur of its own image
    for dtype in (np.float32, np.float64):
        blur = Blur.gaussian((3, 16, 16), 1.0)
        x = np.random.default_rng(0).random((3, 16, 16)).astype(dtype)
        assert Observation(blur, blur.apply(x)).noise == 0
    # out of the range of singular maps, by a distance that is the true one
    a, y = np.asarray([[1.0, 0.0], [1.0, 0.0], [2.0, 1e-9]]), np.asarray([1.0, 0.0, 3.0])
    far = np.max(np.abs(y - a[:, :1] @ np.linalg.lstsq(a[:, :1], y, rcond=None)[0]))
    with pytest.raises(ValueError, match=re.escape(f"the nearest A x is {far:.1e} away: give the noise")):
        Observation(Dense(a * [1, 0]), y)
    root = np.random.default_rng(1).standard_normal((8, 5))
    singular, y = root @ root.T, np.random.default_rng(2).standard_normal(8)
    far = np.max(np.abs(y - singular @ np.linalg.lstsq(singular, y, rcond=1e-9)[0]))
    with pytest.raises(ValueError, match=re.escape(f"the nearest A x is {far:.1e} away")):
        Observation(Dense(singular), y)
    mask = SEEN["mask"]
    assert Observation(mask, np.zeros(mask.shape), np.float32(0.5), np.int64(7)).iterations == 7
    for noise in (True, "0.1", -0.1, math.nan, math.inf):
        with pytest.raises((ValueError, TypeError)):
            Observation(mask, np.zeros(mask.shape), noise)


def test_variances_of_any_kind():
    for one in (0.25, np.float32(0.25), np.asarray(0.25), torch.tensor(0.25)):
        assert PiGDM(one).variance(1.0, VE(), level=3) == PiGDM(0.25).variance(1.0, VE())
    for each in ([0.25, 0.5], np.asarray([0.25, 0.5])):
        assert PiGDM(each).variance(1.0, VE(), level=1) == PiGDM(0.5).variance(1.0, VE())
    with pytest.raises(TypeError, match=r"otherwise takes a Method, PiGDM\(\) say, got"):
        Replacement(PiGDM)


def test_a_complement_without_variance_needs_noise():
    nested = NESTED["means"]
    process = SubspaceSDE(VE(), nested, [0.4, 0.6], [0.0, 0.1])
    law, observation = Gaussian(np.zeros(8), np.eye(8)), Observation(SEEN["mask"], np.zeros(SEEN["mask"].shape))
    scores = [law.restrict(u).score(VE()) for u in nested]
    with pytest.raises(ValueError, match="a complement of variance 0 and a y without noise contradict each other"):
        sample_posterior(process, scores, observation, 2, steps=6)
    assert np.all(np.abs(sample_posterior(process, scores, observation, 2, steps=20, full=True).x) < 1e2)
