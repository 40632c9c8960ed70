"""Likelihoods against closed forms: the model that the stages make of Gaussian data is a Gaussian itself."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import binomtest, multivariate_normal, t

from subspace_sde import (
    EDM,
    VE,
    VP,
    Downsampling,
    LowPass,
    NestedSubspaces,
    RectifiedFlow,
    SubspaceSDE,
    SubVP,
    encode,
    log_likelihood,
)
from subspace_sde.backend import Noise, backend_of, streams
from subspace_sde.likelihood import Bins, Exact, FullScore, Hutchinson, Staged, gaussian, rademacher
from subspace_sde.oracles import Gaussian, Mixture
from subspace_sde.solvers import DDIM, Ancestral, DormandPrince, DPMSolver, EulerMaruyama, Heun

D, SIZES = 7, (7, 5, 3, 2)
SDES = [VE(), VP(), SubVP(), EDM(), RectifiedFlow()]
FINE = DormandPrince(1e-9, 1e-9)
each_sde = pytest.mark.parametrize("sde", SDES, ids=lambda s: type(s).__name__)
each_k = pytest.mark.parametrize("k", [0, 1, 2, 3], ids=lambda k: f"K={k}")
each_distribution = pytest.mark.parametrize("distribution", [rademacher, gaussian], ids=lambda d: d.__name__)


class Known:
    """A Gaussian's score, with its own derivative: the Jacobian is the score of the centred law."""

    def __init__(self, law, sde):
        self.score, self.linear = law.score(sde), Gaussian(0 * law.mean, law.covariance).score(sde)

    def __call__(self, x, t):
        return self.score(x, t)

    def vjp(self, x, t, v):
        return self.linear(v, t)


def data(seed=0, d=D):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((d, d)) / math.sqrt(d)
    return Gaussian(rng.standard_normal(d), (root * np.geomspace(2, 0.02, d)) @ root.T + 0.01 * np.eye(d))


def made(sde, k, mean=None, sizes=SIZES):
    steps = [LowPass((a,), b, axes=(-1,)) for a, b in zip(sizes, sizes[1:])]
    nested = NestedSubspaces(steps[:k], ambient_shape=(sizes[0],))
    return SubspaceSDE(sde, nested, [sde.time_at_log_snr(v) for v in (0.5, -0.5, -1.5)[:k]], (0.1, 0.2, 0.4)[:k], mean)


def scores_of(process, law, kind=Known):
    return [kind(law.restrict(u), process.sde) for u in process.subspaces]


def plain(law, sde):
    """Without a derivative of its own."""
    score = law.score(sde)
    return lambda x, t: score(x, t)


def power(matrix, exponent):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**exponent) @ vectors.T


def composite(process, law):
    """Mean and covariance of the model: white noise at T, pushed down by the exact affine flows and the injections."""
    sde, mean, covariance = process.sde, None, None
    for k in reversed(range(process.K + 1)):
        level, n = law.restrict(process.subspaces[k]), process.subspaces[k].dim
        low, high = process.ends(k)
        if mean is None:
            mean, covariance = np.zeros(n), sde.prior_std**2 * np.eye(n)
        else:
            u, at = process.subspaces.steps[k].matrix(), process.times[k]
            off = np.eye(n) - u @ u.T
            mean, covariance = u @ mean, u @ covariance @ u.T + process.complement_variance(k + 1, at) * off
            if process.mean is not None:
                mean = mean + sde.alpha(at) * off @ process.subspaces[k].restrict(process.mean)
        before, after = (
            sde.alpha(s) ** 2 * level.covariance + sde.sigma(s) ** 2 * np.eye(n) for s in process.ends(k)[::-1]
        )
        a = power(after, 0.5) @ power(before, -0.5)
        mean = sde.alpha(low) * level.mean + a @ (mean - sde.alpha(high) * level.mean)
        covariance = a @ covariance @ a.T
    return mean, (covariance + covariance.T) / 2


def truth(process, law, x):
    return multivariate_normal(*composite(process, law)).logpdf(x)


@pytest.mark.parametrize("with_mean", [False, True])
@pytest.mark.parametrize("form", [Staged(), FullScore()], ids=lambda f: type(f).__name__)
@each_sde
@each_k
def test_the_likelihood_is_that_of_the_composite_model(k, sde, form, with_mean):
    law = data()
    process = made(sde, k, np.random.default_rng(3).standard_normal(D) if with_mean else None)
    x = law.sample(4, rng=1)
    found = log_likelihood(process, scores_of(process, law), x, form, FINE, trace=Exact())
    np.testing.assert_allclose(found.nats / D, truth(process, law, x) / D, rtol=0, atol=1e-6)
    assert found.nats.dtype == np.float64 and not found.stderr.any()
    assert len(found.evaluations) == len(found.seconds) == k + 1 and all(s > 0 for s in found.seconds)


@pytest.mark.parametrize(("solver", "order"), [(DDIM(), 1), (Heun(), 2), (DPMSolver(2), 2), (DPMSolver(3), 3)])
def test_fixed_steps_keep_the_order_of_their_solver(solver, order):
    law, process = data(), made(EDM(), 2)
    x = law.sample(4, rng=1)
    exact, scores = truth(process, law, x), scores_of(process, law)
    errors = [
        np.max(np.abs(log_likelihood(process, scores, x, solver=solver, steps=n, trace=Exact()).nats - exact))
        for n in (400, 800)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.15)
    assert errors[1] / D < {1: 0.1, 2: 2e-4, 3: 2e-6}[order]


def test_the_known_part_of_the_volume_is_taken_out():
    # white data of the reference's own variance: nothing is left to integrate, and a few steps tell the volume exactly;
    # a Gaussian flow moves x by its scale alone, whose error is what remains
    sde = EDM(0.002, 500.0)  # √v = 1
    process, law = SubspaceSDE(sde, NestedSubspaces([], ambient_shape=(D,)), [], []), Gaussian(np.zeros(D), np.eye(D))
    found = log_likelihood(process, [Known(law, sde)], np.zeros((1, D)), steps=3, trace=Exact())
    np.testing.assert_allclose(found.nats, truth(process, law, np.zeros((1, D))), rtol=0, atol=1e-12)


@pytest.mark.parametrize("form", [Staged(), FullScore()], ids=lambda f: type(f).__name__)
def test_a_mixture_has_the_likelihood_of_its_density(form):
    # not Gaussian, so that trajectories are curved; data are nothing beside σ(T), so that the prior is right
    sde = VE(0.01, 5e5)
    law = Mixture(
        [0.3, 0.7], [Gaussian([0.2, -0.1, 0.0], 0.01 * np.eye(3)), Gaussian([-0.1, 0.1, 0.1], 0.02 * np.eye(3))]
    )
    process, x = SubspaceSDE(sde, NestedSubspaces([], ambient_shape=(3,)), [], []), law.sample_at(0.0, sde, 5, rng=2)
    found = log_likelihood(process, [law.score(sde)], x, form, FINE, trace=Exact())
    np.testing.assert_allclose(found.nats, law.log_density(x, 0.0, sde), rtol=0, atol=1e-5)


@pytest.mark.parametrize("trace", [Exact(), Hutchinson(3), Hutchinson(2, gaussian)], ids=lambda t: f"{t.draws}")
@each_sde
def test_stages_and_the_full_score_are_one_model(sde, trace):
    # curved flows and scores that belong to no common law; estimate by estimate, the probes being the same
    law = Mixture([0.5, 0.5], [data(4), data(5)])
    process = made(sde, 2, np.linspace(-1, 1, D))
    scores = [scores_of(process, law, plain)[0], *scores_of(process, data(6), plain)[1:]]
    x = law.sample(3, rng=1)
    staged, full = (
        log_likelihood(process, scores, x, form, DormandPrince(1e-8, 1e-8), trace=trace)
        for form in (Staged(), FullScore())
    )
    assert staged.estimates.shape == (1, max(trace.draws, 1), 3)
    np.testing.assert_allclose(staged.estimates, full.estimates, rtol=0, atol=D * 2e-5)


def test_the_full_score_is_differentiated_as_autograd_does_it():
    # a black box: eq. 11 as a score of the full space alone, K = 0, on the last stage of the process
    law, sde = Mixture([0.5, 0.5], [data(4), data(5)]), VP()
    process = made(sde, 1, np.linspace(-1, 1, D))
    scores = scores_of(process, law, plain)
    x = torch.asarray(law.sample(3, rng=1))
    probes = [Hutchinson(2, gaussian), Exact()]
    for trace in probes:
        found = log_likelihood(process, scores, x, FullScore(analytic=False), Heun(), 40, trace, rng=5)
        expected = black_box(process, scores, x, trace, 40, 5)
        np.testing.assert_allclose(found.estimates[0], expected, rtol=1e-9)


def black_box(process, scores, x, trace, steps, rng):
    """Written out: Heun in full dimension, ∇·v by torch's Jacobian of the whole full score, no part of it known."""
    from subspace_sde.sampling import stage_times

    sde, noise = process.sde, Noise(rng, (len(x),), x)
    v = noise.normal((max(trace.draws, 1), D)) if trace.draws else None
    total = torch.zeros(max(trace.draws, 1), len(x), dtype=x.dtype)

    def slopes(y, s, full):
        jacobian = torch.stack([torch.func.jacrev(lambda q: full(q[None], s)[0])(row) for row in y])
        trace_ = (
            torch.einsum("bii->b", jacobian)[None] if v is None else torch.einsum("bpi,bij,bpj->pb", v, jacobian, v)
        )
        return sde.f(s) * y - 0.5 * sde.g(s) ** 2 * full(y, s), sde.f(s) * D - 0.5 * sde.g(s) ** 2 * trace_

    v0 = math.exp(-0.5 * (sde.log_snr(sde.t_min) + sde.log_snr(sde.T)))

    def c(s):
        return sde.alpha(s) ** 2 * v0 + sde.sigma(s) ** 2

    for k, times in enumerate(stage_times(process, steps)):
        full, up = process.full_score(scores, level=k), times[::-1].tolist()
        m = torch.zeros_like(total)  # α times what is left of the volume, by the same Heun
        for a, b in zip(up, up[1:]):

            def both(y, l, s):
                dx, div = slopes(y, s, full)  # noqa: B023
                known = D * (sde.f(s) + 0.5 * sde.g(s) ** 2 / c(s))
                return dx, sde.f(s) * l + sde.alpha(s) * (div - known)

            dx, dm = both(x, m, a)
            dx2, dm2 = both(x + (b - a) * dx, m + (b - a) * dm, b)
            x, m = x + 0.5 * (b - a) * (dx + dx2), m + 0.5 * (b - a) * (dm + dm2)
        total = total + m / sde.alpha(up[-1]) + 0.5 * D * math.log(c(up[-1]) / c(up[0]))
    u, mean = process.subspaces[1].matrix(), sde.alpha(sde.T) * torch.asarray(process.mean)
    off = torch.asarray(np.eye(D) - u @ u.T)
    variance, rest = process.complement_variance(1, sde.T), (x - mean) @ off
    inner = x @ torch.asarray(u)
    for part, var, n in ((rest, variance, D - u.shape[1]), (inner, sde.prior_std**2, u.shape[1])):
        total = total - 0.5 * ((part**2).sum(-1) / var + n * math.log(2 * math.pi * var))
    return total.numpy()


# -- every library, and every way to a derivative


@pytest.mark.parametrize("form", [Staged(), FullScore(), FullScore(False)], ids=["staged", "full", "black box"])
def test_every_library_and_dtype_finds_the_same(form, like, array, eps):
    law, process = data(), made(VP(), 2, np.linspace(-1, 1, D))
    x, scores = law.sample(3, rng=1), scores_of(process, law)

    class Shared(Hutchinson):  # the libraries draw different numbers
        def probes(self, shape, noise):
            drawn = np.random.default_rng(math.prod(shape)).choice([-1.0, 1.0], (3, self.draws, *shape))
            return backend_of(noise._like).from_numpy(drawn, noise._like)

    for trace in (Exact(), Shared(2)):
        expected = log_likelihood(process, scores, x, form, steps=60, trace=trace)
        found = log_likelihood(process, scores, array(x), form, steps=60, trace=trace)
        np.testing.assert_allclose(found.estimates / D, expected.estimates / D, rtol=0, atol=500 * eps)
        assert found.evaluations == expected.evaluations
    assert x.dtype == np.float64


def test_every_way_to_the_derivative_finds_the_same():
    law, process = data(), made(VP(), 2)
    x, own, bare = law.sample(3, rng=1), scores_of(process, law), scores_of(process, law, plain)
    for trace in (Exact(), Exact(at_once=2), Hutchinson(2)):
        known = log_likelihood(process, own, x, steps=60, trace=trace)
        differences = log_likelihood(process, bare, x, steps=60, trace=trace)
        np.testing.assert_allclose(differences.estimates, known.estimates, rtol=0, atol=1e-6)
        known, autograd = (
            log_likelihood(process, scores, torch.asarray(x), steps=60, trace=trace) for scores in (own, bare)
        )
        np.testing.assert_allclose(autograd.estimates, known.estimates, rtol=0, atol=1e-9)


def test_evaluations_are_counted():
    law, process, x = data(), made(VP(), 2), data().sample(3, rng=1)
    steps = log_likelihood(process, scores_of(process, law), x, steps=50).evaluations
    assert sum(steps) == 100
    exact = log_likelihood(process, scores_of(process, law), x, steps=50, trace=Exact(at_once=2)).evaluations
    assert exact == tuple(n * u.dim for n, u in zip(steps, process.subspaces))
    three = log_likelihood(process, scores_of(process, law, plain), torch.asarray(x), steps=50, trace=Hutchinson(3))
    assert three.evaluations == steps  # torch goes back through one evaluation, whatever the probes
    differences = log_likelihood(process, scores_of(process, law, plain), x, steps=50, trace=Hutchinson(3)).evaluations
    assert differences == tuple(9 * n for n in steps)  # numpy takes three for each


def test_nothing_is_recorded_and_networks_are_differentiated():
    # with parameters that want gradients, in float32
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(D, 16), torch.nn.Tanh(), torch.nn.Linear(16, D))
    process, x = made(VP(), 0), torch.randn(1, D).repeat(800, 1)
    with pytest.warns(UserWarning, match="level 0 is a network in training mode"):
        log_likelihood(process, [Wrapped(network)], x, steps=3)
    exact, drawn = (
        log_likelihood(process, [Wrapped(network.eval())], y, steps=20, trace=trace)
        for y, trace in ((x[:1], Exact()), (x, Hutchinson()))
    )
    assert abs(drawn.nats.mean() - exact.nats[0]) < 4 * drawn.nats.std() / math.sqrt(800)
    assert drawn.nats.std() > 1e-3
    assert all(p.grad is None for p in network.parameters())


class Wrapped:
    def __init__(self, network):
        self.__wrapped__ = network

    def __call__(self, x, t):
        return self.__wrapped__(x) - x


def test_leading_axes_streams_and_conditions():
    law, process = data(), made(VP(), 1)
    x, scores = law.sample(6, rng=1), scores_of(process, law)
    whole = log_likelihood(process, scores, x, steps=30, trace=Hutchinson(2), rng=7)
    grid = log_likelihood(process, scores, x.reshape(2, 3, D), steps=30, trace=Hutchinson(2), rng=7)
    np.testing.assert_array_equal(grid.nats, whole.nats.reshape(2, 3))
    assert grid.stderr.shape == (2, 3) and grid.estimates.shape == (1, 2, 2, 3)
    part = log_likelihood(process, scores, x[2:4], steps=30, trace=Hutchinson(2), rng=streams(7, 2, 4))
    np.testing.assert_allclose(part.estimates, whole.estimates[..., 2:4], rtol=0, atol=1e-10)
    one = log_likelihood(process, scores, x[0], steps=30, trace=Exact())
    assert one.nats.shape == () == one.bits_per_dimension.shape
    none = log_likelihood(process, scores, x[:0], steps=30, trace=Exact())
    assert none.nats.shape == (0,)

    labels = np.arange(6.0).reshape(2, 3)
    shifted = [lambda y, s, c, score=score: score(y - c[:, None], s) for score in scores_of(process, law, plain)]
    found = log_likelihood(process, shifted, x.reshape(2, 3, D), steps=30, trace=Exact(at_once=3), condition=labels)
    for i, c in enumerate(labels.ravel()):
        alone = [lambda y, s, score=score, c=c: score(y - c, s) for score in scores_of(process, law, plain)]
        expected = log_likelihood(process, alone, x[i], steps=30, trace=Exact()).nats
        assert found.nats.ravel()[i] == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match=r"one entry for each element of the batch \(2, 3\), got \(6,\)"):
        log_likelihood(process, shifted, x.reshape(2, 3, D), condition=labels.ravel())


def test_the_likelihood_is_the_density_of_the_latent():
    # log p(x) = log N(z; 0, I) + log |det dz/dx|, the Jacobian of a Gaussian's flow read off unit vectors
    law, process = data(), made(VP(), 3, np.linspace(-1, 1, D))
    scores, x = scores_of(process, law), law.sample(1, rng=1)
    z = encode(process, scores, np.concatenate([x, x + np.eye(D)]), FINE)
    volume = np.linalg.slogdet(z[1:] - z[0])[1]
    expected = multivariate_normal(np.zeros(D)).logpdf(z[0]) + volume
    found = log_likelihood(process, scores, x, solver=FINE, trace=Exact())
    assert found.nats[0] == pytest.approx(expected, abs=1e-6)


# -- Hutchinson


@each_distribution
@pytest.mark.parametrize("form", [Staged(), FullScore(), FullScore(False)], ids=["staged", "full", "black box"])
def test_probes_are_unbiased(form, distribution):
    law, process, num = data(), made(VP(), 2), 3000
    x = np.broadcast_to(law.sample(1, rng=1), (num, D))
    scores = scores_of(process, law)
    exact = log_likelihood(process, scores, x[:1], form, steps=25, trace=Exact()).nats
    drawn = log_likelihood(process, scores, x, form, steps=25, trace=Hutchinson(1, distribution)).nats
    assert drawn.std() > 0.01
    assert abs(drawn.mean() - exact[0]) < 4 * drawn.std() / math.sqrt(num)


@each_distribution
@pytest.mark.parametrize("form", [Staged(), FullScore(False)], ids=["staged", "black box"])
def test_error_bars_cover_the_truth_in_95_of_100_cases(form, distribution):
    sizes, num, probes = (24, 12), 1500, 8
    law, process = data(2, 24), made(VP(), 1, sizes=sizes)
    x, scores = np.broadcast_to(law.sample(1, rng=1), (num, 24)), scores_of(process, law)
    exact = log_likelihood(process, scores, x[:1], form, steps=20, trace=Exact()).nats[0]
    found = log_likelihood(process, scores, x, form, steps=20, trace=Hutchinson(probes, distribution), rng=11)
    covered = np.abs(found.nats - exact) < t.ppf(0.975, probes - 1) * found.stderr
    assert binomtest(int(covered.sum()), num, 0.95).pvalue > 0.01, covered.mean()
    np.testing.assert_allclose(found.bits_stderr, found.stderr / (24 * math.log(2)))


@each_distribution
def test_one_probe_has_its_closed_form_of_variance_and_stages_have_less(distribution):
    # on VE an estimate is vᵀAv with A = ∫ ½g² (−J) dt, and −J = C(t)⁻¹ or 1/Σ⊥(t), so that A = ½ log of the growth
    sde, num = VE(), 4000
    law, process = data(), made(sde, 2)
    x, scores = np.broadcast_to(law.sample(1, rng=1), (num, D)), scores_of(process, law)
    found = {}
    for name, form in {"staged": Staged(), "full": FullScore(), "black box": FullScore(False)}.items():
        found[name] = log_likelihood(process, scores, x, form, steps=60, trace=Hutchinson(1, distribution), rng=3).nats
    # the same probes: they differ by the solver's error alone, whatever was drawn
    np.testing.assert_allclose(np.ptp(found["full"] - found["staged"]), 0, atol=1e-10)

    def log_of(matrix):
        values, vectors = np.linalg.eigh(matrix)
        return (vectors * np.log(values)) @ vectors.T

    levels, complements = [], []
    for k, u in enumerate(process.subspaces):
        low, high = (law.restrict(u).covariance + sde.sigma(s) ** 2 * np.eye(u.dim) for s in process.ends(k))
        levels.append(0.5 * (log_of(high) - log_of(low)))
    for j, at in enumerate(process.times, start=1):
        outer, inner = (process.subspaces[i].matrix() for i in (j - 1, j))
        growth = process.complement_variance(j, sde.T) / process.complement_variance(j, at)
        complements.append(0.5 * math.log(growth) * (outer @ outer.T - inner @ inner.T))

    def variance(a):
        return 2 * np.sum(a**2) - (2 * np.sum(np.diag(a) ** 2) if distribution is rademacher else 0)

    whole = sum(u.matrix() @ a @ u.matrix().T for u, a in zip(process.subspaces, levels)) + sum(complements)
    expected = {"staged": sum(map(variance, levels)), "black box": variance(whole)}
    for name, value in expected.items():
        spread = (found[name] - found[name].mean()) ** 2
        assert abs(spread.mean() - value) < 4 * spread.std() / math.sqrt(num) + 0.01 * value, name
    if distribution is gaussian:  # one probe for all stages, and all parts of A are positive: no less than the sum
        assert expected["black box"] >= expected["staged"] + sum(map(variance, complements))
    else:  # signs do not see the diagonal, and A is almost a multiple of I: the two parts nearly cancel off it
        assert expected["staged"] < expected["black box"] < sum(map(variance, complements))


# -- bits per dimension


def quantised(law, num, bins, rng=0):
    x = np.clip(np.round((law.sample(num, rng) - bins.low) / (bins.high - bins.low) * (bins.count - 1)), 0, 255)
    return bins.low + (bins.high - bins.low) * x / (bins.count - 1)


def images():
    sde = VE(0.01, 50.0)
    law = Gaussian(np.full(4, 0.5), 0.01 * (np.eye(4) + 0.5))
    return SubspaceSDE(sde, NestedSubspaces([Downsampling((4,), 2, axes=(-1,))]), [0.4], [0.01]), law


def test_bits_per_dimension_have_their_closed_form():
    # E_u log N(low + w(j + u)) is log N at the bin's middle − w²/24 · trace of the precision; d log w makes it log P
    process, law = images()
    x, w = quantised(law, 40, Bins()), 1 / 256
    _, covariance = composite(process, law)
    middle = w * (np.round(x * 255) + 0.5)
    bound = truth(process, law, middle) - w**2 / 24 * np.trace(np.linalg.inv(covariance)) + 4 * math.log(w)
    found = log_likelihood(
        process, scores_of(process, law), x, solver=DormandPrince(1e-8, 1e-8), trace=Exact(), bins=Bins(repeats=12)
    )
    assert found.estimates.shape == (12, 1, 40)
    covered = np.abs(found.nats - bound) < t.ppf(0.975, 11) * found.stderr
    assert binomtest(int(covered.sum()), 40, 0.95).pvalue > 0.01
    np.testing.assert_allclose(found.bits_per_dimension, -found.nats / (4 * math.log(2)))
    assert abs(np.mean(found.nats - bound)) < 4 * math.sqrt(np.sum(found.stderr**2)) / 40
    # draw by draw: the density at the very points
    points = list(Bins(repeats=12).dequantised(x, Noise(0, (40,), x)))
    for estimate, point in zip(found.estimates[:, 0], points):
        np.testing.assert_allclose(estimate, truth(process, law, point) + 4 * math.log(w), rtol=0, atol=1e-5)


def test_the_bound_is_a_probability_of_whole_numbers():
    # over all 256 images of one number: at most 1, and nearly that, since the law is smooth over a bin
    sde = VE(0.01, 50.0)
    law = Gaussian(np.full(1, 0.5), [[0.01]])
    process, x = SubspaceSDE(sde, NestedSubspaces([], ambient_shape=(1,)), [], []), np.arange(256.0)[:, None] / 255
    found = log_likelihood(
        process, [Known(law, sde)], x, solver=DPMSolver(3), steps=200, trace=Exact(), bins=Bins(repeats=20)
    )
    total, error = np.sum(np.exp(found.nats)), math.sqrt(np.sum((np.exp(found.nats) * found.stderr) ** 2))
    assert 1 - 1e-3 < total < 1 + 4 * error < 1.01


def test_bits_per_dimension_do_not_depend_on_the_units():
    # σ(T) is large, so that it does not matter where the data lie beside 0, the mean of the prior
    law, nested, times = images()[1], images()[0].subspaces, [VE(0.01, 5e5).time_at_log_snr(0.0)]
    process = SubspaceSDE(VE(0.01, 5e5), nested, times, [0.01])
    wide = SubspaceSDE(VE(0.02, 1e6), nested, times, [0.04], np.full(4, -1.0))
    law_wide, x = Gaussian(2 * law.mean - 1, 4 * law.covariance), quantised(law, 5, Bins())
    found = [
        log_likelihood(p, scores_of(p, g), y, solver=FINE, trace=Hutchinson(2), bins=bins, rng=3).bits_per_dimension
        for p, g, y, bins in (
            (process, law, x, Bins()),
            (wide, law_wide, 2 * x - 1, Bins(256, -1.0, 1.0)),
        )
    ]
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=1e-5)


def test_dequantisation_is_uniform(like, array, host, eps):
    x = array(np.repeat(np.arange(4.0)[:, None] / 3, 5000, axis=1))
    u = host(next(Bins(4).dequantised(x, Noise(0, (4,), x)))) * 4 - np.arange(4)[:, None]
    assert -20 * eps <= u.min() and u.max() <= 1 + 20 * eps
    for power_ in (1, 2, 4):
        assert abs(np.mean(u**power_) - 1 / (power_ + 1)) < 4 / math.sqrt(20_000 * (2 * power_ + 1))
    assert abs(np.mean(np.exp(2j * np.pi * u))) < 4 / math.sqrt(20_000)


def test_standard_errors_say_what_they_do_not_know():
    process, law = images()
    x, scores = quantised(law, 3, Bins()), scores_of(process, law)

    def stderr(**arguments):
        return log_likelihood(process, scores, x, steps=10, **arguments).stderr

    assert np.isnan(stderr()).all() and np.isnan(stderr(trace=Hutchinson(4), bins=Bins())).all()
    assert not stderr(trace=Exact()).any()
    found = log_likelihood(process, scores, x, steps=10, trace=Hutchinson(3), bins=Bins(repeats=5))
    assert found.estimates.shape == (5, 3, 3)
    np.testing.assert_allclose(found.stderr, found.estimates.mean(axis=1).std(axis=0, ddof=1) / math.sqrt(5))
    np.testing.assert_allclose(stderr(trace=Hutchinson(4), rng=1), FourProbes.of(process, scores, x))


class FourProbes:
    @staticmethod
    def of(process, scores, x):
        estimates = log_likelihood(process, scores, x, steps=10, trace=Hutchinson(4), rng=1).estimates[0]
        return estimates.std(axis=0, ddof=1) / 2


# -- what is refused


def test_what_is_outside_of_the_declared_range_is_an_error():
    process, law = images()
    x, scores = quantised(law, 2, Bins()), scores_of(process, law)

    def bits(y, bins):
        log_likelihood(process, scores, y, steps=3, bins=bins)

    with pytest.raises(ValueError, match=r"outside the declared data range \[0, 1\]: give the range"):
        bits(2 * x - 1.5, Bins())
    with pytest.raises(ValueError, match=r"values from 76 to .*, outside the declared data range \[0, 1\]"):
        bits(255 * x - np.min(255 * x) + 76, Bins())
    with pytest.raises(ValueError, match=r"up to 0\.5 of a step between the 256 numbers from -1 to 1"):
        bits(np.asarray([[0.0, 1.0, 1.0, 1.0]]), Bins(low=-1.0))
    with pytest.raises(ValueError, match="leave out bins if x is continuous"):
        bits(x + 1e-4, Bins())
    with pytest.raises(ValueError, match="between the 64 numbers"):
        bits(x, Bins(64))
    bits(x.astype(np.float32), Bins())  # stored in float32 they are still those numbers


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Hutchinson(0), "probes must be an integer >= 1, got 0"),
        (lambda: Hutchinson(1.5), "probes must be an integer >= 1, got 1.5"),
        (lambda: Exact(0), "at_once must be an integer >= 1, got 0"),
        (lambda: Bins(repeats=0), "repeats must be an integer >= 1, got 0"),
        (lambda: Bins(1), "images need at least two bins, got 1"),
        (lambda: Bins(low=1.0, high=0.0), "from low to a larger high, got 1.0 and 0.0"),
        (lambda: Bins(high=math.nan), "from low to a larger high"),
    ],
)
def test_arguments_that_make_no_sense(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_calls_that_make_no_sense():
    law, process = data(), made(VP(), 1)
    scores, x = scores_of(process, law), data().sample(2, rng=0)
    with pytest.raises(ValueError, match="needs 2 scores"):
        log_likelihood(process, scores[:1], x)
    with pytest.raises(ValueError, match="the coordinates of level 1: bring them there with"):
        log_likelihood(process, scores, x[:, :5])
    with pytest.raises(ValueError, match="floating-point"):
        log_likelihood(process, scores, np.ones((2, D), dtype=int))
    with pytest.raises(ValueError, match="x holds NaN or infinity"):
        log_likelihood(process, scores, np.full((2, D), np.nan))
    for solver in (EulerMaruyama(), Ancestral(), DPMSolver(2, eta=1.0)):
        with pytest.raises(ValueError, match="this solver draws noise: take Heun"):
            log_likelihood(process, scores, x, solver=solver, steps=10)
    with pytest.raises(ValueError, match="levels need at least as many steps"):
        log_likelihood(process, scores, x, steps=1)
    with pytest.raises(ValueError, match="needs float64, got float32"):
        log_likelihood(process, scores_of(process, law, plain), x.astype(np.float32), steps=4)
    with pytest.raises(ValueError, match=r"the score of level 1 returned shape \(2,\)"):
        log_likelihood(process, [scores[0], lambda y, s: y[:, 0]], x, steps=4)

    class Misshapen(Known):
        def vjp(self, x, t, v):
            return v[:, :1]

    with pytest.raises(ValueError, match="the method vjp of the score of level 0 returned shape"):
        log_likelihood(process, scores_of(process, law, Misshapen), x, steps=4)
    for solver in (Heun(), DormandPrince()):
        with pytest.raises(ValueError, match=r"on level 1.*sample 1"):
            broken = [scores[0], lambda y, s: scores[1](y, s) + np.asarray([[0.0], [np.nan]])]
            log_likelihood(process, broken, x, solver=solver, steps=10, trace=Hutchinson())


def test_more_bins_than_the_dtype_can_tell_apart_are_refused():
    process, law = made(VP(), 0), data()
    x = np.zeros((1, D), dtype=np.float32)
    with pytest.raises(ValueError, match="float32 cannot tell 4194304 numbers apart: give x in a wider one"):
        log_likelihood(process, scores_of(process, law), x, steps=2, bins=Bins(2**22))
