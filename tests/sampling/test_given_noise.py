"""Samples from a given x(T), which belong together; and the last step to E[x(0) | x(t_min)]."""

import math

import numpy as np
import pytest
import torch

from subspace_sde import EDM, VE, VP, NestedSubspaces, RectifiedFlow, SubspaceSDE, sample
from subspace_sde.oracles import Gaussian
from subspace_sde.sampling import Start, sampled_law, stage_times
from subspace_sde.scores import denoiser
from subspace_sde.solvers import DDIM, EulerMaruyama, Heun, Langevin
from tests.process.gaussians import any_gaussian
from tests.sampling.processes import NESTED, make, normal_score

each_sde = pytest.mark.parametrize("sde", [VE(), VP(), EDM(), RectifiedFlow()])


def exact_scores(process, law):
    return [law.restrict(u).score(process.sde) for u in process.subspaces]


def unit_noise(process, shape):
    """Rows of x(T): zero, and σ(T) times each unit vector."""
    d = math.prod(shape)
    return process.sde.prior_std * np.eye(d + 1, d, -1).reshape(-1, *shape)


def responses(process, scores, solver, steps):
    """The matrix that takes x(T)/σ(T) to a sample, less what it takes 0 to: a row for each number of x(T)."""
    noise = unit_noise(process, process.shape(0))
    x = sample(process, scores, len(noise), solver, steps, noise=noise).x.reshape(len(noise), -1)
    return x[1:] - x[0]


def root(covariance):
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(values) @ vectors.T


def flow(law, sde, t, s):
    """The map of the exact probability flow from t down to s: √(C_s/C_t), of covariances that commute."""
    later, earlier = (
        root(sde.alpha(u) ** 2 * law.covariance + sde.sigma(u) ** 2 * np.eye(law.mean.size)) for u in (t, s)
    )
    return earlier @ np.linalg.inv(later)


@each_sde
def test_without_levels_it_is_where_the_solver_starts(sde, like, array, host, eps):
    law = Gaussian(np.linspace(-1, 1, 5), 0.3 * np.eye(5))
    process = SubspaceSDE(sde, NestedSubspaces([], ambient_shape=(5,)), [], [])
    noise = array(sde.prior_std * np.random.default_rng(0).standard_normal((4, 5)))
    score, solver, x = law.score(sde), Heun(), noise
    times = stage_times(process, 12)[0].tolist()
    for t, s in zip(times, times[1:]):
        x = solver.step(x, t, s, score, sde, None)
    found = sample(process, [score], 4, solver, 12, like=like, noise=noise)
    np.testing.assert_array_equal(host(found.x), host(x))
    parts = sample(process, [score], 4, solver, 12, rng=5, noise=noise, chunk=3, trajectory=True)  # no `like` is needed
    assert np.max(np.abs(host(parts.x) - host(x))) <= 1e3 * eps
    np.testing.assert_array_equal(host(parts.trajectory[0][2]), host(noise))


@each_sde
@pytest.mark.parametrize("nested", NESTED, ids=lambda n: f"K={len(n) - 1}")
@pytest.mark.parametrize("mean", [False, True])
def test_noise_of_the_full_space_is_all_the_randomness_and_leaves_the_law(sde, nested, mean):
    """The covariance of what σ(T) times normal numbers give is RᵀR: that of samples without `noise`, exactly."""
    law = any_gaussian(nested)
    process = make(sde, nested, law.mean if mean else None)
    scores, solver = exact_scores(process, law), Heun()
    r = responses(process, scores, solver, 24)
    found = sampled_law(process, scores, solver, 24)
    np.testing.assert_allclose(r.T @ r, found.covariance, atol=1e-10 * np.max(found.covariance))
    x = sample(process, scores, 1, solver, 24, noise=np.zeros((1, *process.shape(0)))).x
    np.testing.assert_allclose(x[0], found.mean, atol=1e-10)


@pytest.mark.parametrize("sde", [VE(), VP()])
def test_noise_of_the_coarsest_level_leaves_the_injections_to_the_seed(sde):
    process, law = make(sde, NESTED[2]), any_gaussian(NESTED[2])
    scores, shape = exact_scores(process, law), process.shape(2)
    noise = sde.prior_std * np.random.default_rng(0).standard_normal((5, *shape))

    def draw(rng, **options):
        return sample(process, scores, 5, Heun(), 20, rng, noise=noise, trajectory=True, **options)

    a, b = draw(1), draw(2)
    coarse = [x for _, k, x in a.trajectory if k == 2]
    np.testing.assert_array_equal(coarse[0], noise)
    np.testing.assert_array_equal(coarse[-1], [x for _, k, x in b.trajectory if k == 2][-1])
    assert np.min(np.abs(a.x - b.x)) > 1e-6
    np.testing.assert_allclose(draw(1, chunk=2).x, a.x, atol=1e-12)
    stochastic = sample(process, scores, 5, EulerMaruyama(), 20, 3, noise=noise, langevin=Langevin())
    assert np.all(np.isfinite(stochastic.x))


@each_sde
@pytest.mark.parametrize("nested", NESTED[1:], ids=lambda n: f"K={len(n) - 1}")
def test_a_plan_and_the_full_model_go_from_one_noise_as_their_maps_say(sde, nested):
    """The maps in closed form: √(C_s/C_t) on each level, and √Σ⊥(t_k) on the part of x(T)/σ(T) that comes at t_k."""
    law, process = any_gaussian(nested), make(sde, nested)
    whole = SubspaceSDE(sde, NestedSubspaces([], ambient_shape=process.shape(0)), [], [])
    levels = [law.restrict(u) for u in nested]
    ends = (sde.t_min, *process.times, sde.T)
    d, steps = nested[0].dim, 2000 if isinstance(sde, RectifiedFlow) else 600

    k = len(nested) - 1
    x = sde.prior_std * nested[k].matrix().T  # of the unit vectors, each a column
    for k in range(len(nested) - 1, -1, -1):
        x = flow(levels[k], sde, ends[k + 1], ends[k]) @ x
        if k:
            step, outer = nested.steps[k - 1].matrix(), nested[k - 1].matrix()
            rest = (np.eye(len(step)) - step @ step.T) @ outer.T
            x = step @ x + math.sqrt(process.complement_variance(k, process.times[k - 1])) * rest
    plan, full = x, sde.prior_std * flow(law, sde, sde.T, sde.t_min)

    found_plan = responses(process, exact_scores(process, law), Heun(), steps).T
    found_full = responses(whole, [law.score(sde)], Heun(), steps).T
    np.testing.assert_allclose(found_plan, plan, atol=3e-3 * np.max(np.abs(plan)))
    np.testing.assert_allclose(found_full, full, atol=3e-3 * np.max(np.abs(full)))
    both = [np.sum(a * b) for a, b in ((plan, full), (plan, plan), (full, full))]
    found = [np.sum(a * b) for a, b in ((found_plan, found_full), (found_plan, found_plan), (found_full, found_full))]
    correlation = both[0] / math.sqrt(both[1] * both[2])
    assert abs(found[0] / math.sqrt(found[1] * found[2]) - correlation) < 1e-3
    assert correlation > 0.8  # samples of other noise would have none

    num = 4000
    x_T = sde.prior_std * np.random.default_rng(1).standard_normal((num, *process.shape(0)))
    a = sample(process, exact_scores(process, law), num, Heun(), 60, noise=x_T).x.reshape(num, d)
    b = sample(whole, [law.score(sde)], num, Heun(), 60, noise=x_T).x.reshape(num, d)
    pair = np.corrcoef(np.concatenate([(a - a.mean(0)).ravel()[None], (b - b.mean(0)).ravel()[None]]))[0, 1]
    assert abs(pair - correlation) < 0.03


def test_denoise_is_one_evaluation_more(like, array, host, eps):
    process = make(VE(), NESTED[1])
    law = any_gaussian(NESTED[1])
    scores = exact_scores(process, law)
    noisy, clean = (sample(process, scores, 6, DDIM(), 10, 4, like, denoise=d, trajectory=True) for d in (False, True))
    expected = denoiser(scores[0], VE())(noisy.x, VE().t_min)
    np.testing.assert_array_equal(host(clean.x), host(expected))
    np.testing.assert_array_equal(host(clean.trajectory[-1][2]), host(noisy.x))
    assert clean.evaluations == (noisy.evaluations[0] + 1, noisy.evaluations[1])
    chunked = sample(process, scores, 6, DDIM(), 10, 4, like, denoise=True, chunk=4)
    assert np.max(np.abs(host(chunked.x) - host(clean.x))) <= 1e3 * eps
    assert chunked.evaluations == clean.evaluations


def test_denoise_hands_the_condition_on_and_counts_its_time():
    process = make(VE(), NESTED[0])
    seen = []

    def score(x, t, c):
        seen.append((t, c.shape))
        return -x / (1 + VE().sigma(t) ** 2)

    found = sample(process, [score], 4, steps=3, condition=np.arange(4), denoise=True, chunk=2)
    assert found.evaluations == (4,) and seen[3] == (0.0, (2,)) and len(seen) == 8
    assert found.seconds[0] > 0

    def explodes(x, t, c):
        return x * (math.nan if t == 0 else 0.0)

    with pytest.raises(ValueError, match=r"not finite on level 0 at t = 0 .*, sample 0"):
        sample(process, [explodes], 4, steps=3, condition=np.arange(4), denoise=True)


def test_noise_that_does_not_fit_is_refused():
    process, scores = make(VE(), NESTED[1]), [normal_score(VE())] * 2
    whole = np.zeros((2, 5))
    for wrong in (whole[:1], whole[0], np.zeros((2, 4)), np.zeros((2, 1, 3))):
        with pytest.raises(ValueError, match=r"noise is x\(T\) of the 2 samples, of shape \(2, 3\), or \(2, 5\)"):
            sample(process, scores, 2, steps=4, noise=wrong)
    with pytest.raises(ValueError, match=r"of the 2 samples, of shape \(2, 5\), got \(2, 3\)"):
        sample(make(VE(), NESTED[0]), scores[:1], 2, steps=4, noise=np.zeros((2, 3)))
    for like, wrong in (
        (np.zeros(()), whole.astype(np.float32)),
        (np.zeros(()), torch.tensor(whole)),
        (torch.zeros((), dtype=torch.float64), whole),
        (torch.zeros(()), torch.zeros(2, 5, device="meta")),
    ):
        with pytest.raises(ValueError, match="noise and like must be of one library, device and dtype, got"):
            sample(process, scores, 2, steps=4, like=like, noise=wrong)
    with pytest.raises(TypeError, match="`noise` takes an array"):
        sample(process, scores, 2, steps=4, noise="white", like=whole)
    with pytest.raises(ValueError, match="give one of the two"):
        sample(process, scores, 2, steps=4, noise=whole, start=Start(np.zeros(5), t=0.3))
    with pytest.raises(ValueError, match="noise must be a floating-point array, got int"):
        sample(process, scores, 2, steps=4, noise=np.zeros((2, 5), dtype=int))
