"""PiGDM and DPS: exact where they must be, biased by what they are by definition, on every library."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from subspace_sde import VE, VP, NestedSubspaces, SubspaceSDE
from subspace_sde.backend import Noise, backend_of
from subspace_sde.measurements import Mask, Pooling
from subspace_sde.oracles import Gaussian
from subspace_sde.posterior import DPS, Observation, PiGDM, View, sample_posterior
from subspace_sde.sampling.solver_law import _UnitDraws
from subspace_sde.sampling.watching import Checked
from subspace_sde.solvers import Heun
from tests.measurements.kinds import matrix
from tests.posterior.gaussians import (
    NESTED,
    SEEN,
    SHAPE,
    each_sde,
    law_of,
    make,
    observed,
    off,
    staged_and_full,
    uneven,
)

each_nested = pytest.mark.parametrize("nested", NESTED.values(), ids=NESTED)
each_measurement = pytest.mark.parametrize("measurement", SEEN.values(), ids=SEEN)


def posterior(law, observation):
    a, mean = matrix(observation.measurement), law.mean.reshape(-1)
    gain = law.covariance @ a.T @ np.linalg.inv(a @ law.covariance @ a.T + observation.noise**2 * np.eye(len(a)))
    return mean + gain @ (observation.y.reshape(-1) - a @ mean), law.covariance - gain @ a @ law.covariance


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
    # ΠGDM takes the data for isotropic, of variance 0.5, where theirs are 0.1 to 1: mean off by 6 to 18 %, covariance
    # by 5 to 13 %, total variance by 6 % at most, to either side; the staged form knows the hidden complements better
    assert biases[PiGDM][0] < 0.2 and biases[PiGDM][1] < 0.14 and abs(biases[PiGDM][2] - 1) < 0.07, biases
    # DPS believes y too much: mean off by 42 to 76 %, covariance by 26 to 50 %, total variance too small by 13 to 38 %
    assert 0.4 < biases[DPS][0] < 0.8 and 0.25 < biases[DPS][1] < 0.51 and 0.6 < biases[DPS][2] < 0.9, biases


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


@pytest.mark.parametrize(("weight", "steps"), [(1.0, 20), (3.0, 50)])
def test_dps_with_steps_too_large_is_refused_before_it_looks_finite(weight, steps):
    # explicit steps are unstable there, and end at |x| = 200 for N(0, I) data if nobody looks
    shape, sde = (4, 4), VE()
    process = SubspaceSDE(sde, NestedSubspaces([], ambient_shape=shape), [], [])
    law, pooling = Gaussian(np.zeros(shape), np.eye(16)), Pooling(shape, 2)
    observation = Observation(pooling, pooling.apply(law.sample(1, rng=3)[0]), 0.1)
    with pytest.raises(ValueError, match=r"the state is not finite .* or the steps are too large"):
        sample_posterior(process, [law.score(sde)], observation, 8, DPS(weight), steps=steps, rng=1)
    x = sample_posterior(process, [law.score(sde)], observation, 8, DPS(weight), steps=200, rng=1).x
    assert np.max(np.abs(x)) < 4 and np.mean(np.abs(pooling.apply(x) - observation.y)) < 0.1
