"""Log-likelihoods against closed forms: the model that the stages make of Gaussian data is a Gaussian itself."""

import math

import numpy as np
import pytest
import torch

from subspace_sde import EDM, VE, VP, NestedSubspaces, SubspaceSDE, log_likelihood
from subspace_sde.backend import Noise
from subspace_sde.likelihood import Exact, FullScore, Hutchinson, Staged, gaussian
from subspace_sde.oracles import Gaussian, Mixture
from subspace_sde.solvers import DDIM, DormandPrince, DPMSolver, Heun
from tests.likelihood.composite import FINE, D, Known, data, each_k, each_sde, made, plain, scores_of, truth


@pytest.mark.parametrize("with_mean", [False, True])
@pytest.mark.parametrize("form", [Staged(), FullScore()])
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


@pytest.mark.parametrize("form", [Staged(), FullScore()])
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
