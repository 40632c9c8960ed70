"""Latents: normal under the model, exactly for Gaussian data; and the way back."""

import math

import numpy as np
import pytest

from subspace_sde import EDM, VP, decode, encode
from subspace_sde.arrays import device
from subspace_sde.likelihood import interpolate, latent_parts
from subspace_sde.oracles import Gaussian, Mixture
from subspace_sde.sampling import UniformLogSNR
from subspace_sde.solvers import DormandPrince, DPMSolver, EulerMaruyama, Heun
from tests.likelihood.composite import FINE, Known, composite, data, each_k, each_sde, made, scores_of

MEAN = np.linspace(-1, 1, 7)


def affine(function, d=7):
    """(A, b) of an affine function of d numbers, read off unit vectors."""
    values = function(np.concatenate([np.zeros((1, d)), np.eye(d)]))
    return (values[1:] - values[0]).T, values[0]


@each_sde
@each_k
def test_the_latent_is_standard_normal_under_the_model(k, sde):
    law, process = data(), made(sde, k, MEAN)
    mean, covariance = composite(process, law)
    a, b = affine(lambda x: encode(process, scores_of(process, law), x, FINE))
    np.testing.assert_allclose(a @ mean + b, np.zeros(7), rtol=0, atol=1e-5)
    np.testing.assert_allclose(a @ covariance @ a.T, np.eye(7), rtol=0, atol=1e-5)


@each_sde
@each_k
def test_normal_latents_are_samples_of_the_model(k, sde):
    law, process = data(), made(sde, k, MEAN)
    mean, covariance = composite(process, law)
    a, b = affine(lambda z: decode(process, scores_of(process, law), z, FINE))
    np.testing.assert_allclose(b, mean, rtol=0, atol=1e-5)
    np.testing.assert_allclose(a @ a.T, covariance, rtol=0, atol=1e-5)


def test_the_data_have_normal_latents_as_far_as_the_model_is_theirs():
    # the complements are isotropic and independent of the rest, as the process holds them to be
    process, num = made(VP(), 2, MEAN), 4000
    u, covariance = [level.matrix() for level in process.subspaces], 0.0
    for variance, outer, inner in zip(process.complement_variances, u, u[1:]):
        covariance = covariance + variance * (outer @ outer.T - inner @ inner.T)
    law = Gaussian(MEAN, covariance + u[-1] @ np.diag([1.0, 0.7, 0.5]) @ u[-1].T)
    x = law.sample_at(process.sde.t_min, process.sde, num, rng=1)
    z = encode(process, scores_of(process, law), x, DPMSolver(3), 400)
    assert np.max(np.abs(z.mean(axis=0))) < 4.5 / math.sqrt(num)
    assert np.max(np.abs(np.cov(z.T) - np.eye(7))) < 4.5 * math.sqrt(2 / num)
    assert abs(np.mean(z**4) - 3) < 4.5 * math.sqrt(96 / (7 * num))


@pytest.mark.parametrize("solver, steps", [(Heun(), 300), (DPMSolver(3), 300), (DormandPrince(1e-4, 1e-4), 3)])
def test_there_and_back(solver, steps, like, array, host, eps):
    law, process = data(), made(EDM(), 2, MEAN)
    scores, x = scores_of(process, law), array(law.sample(6, rng=1).reshape(2, 3, 7))
    z = encode(process, scores, x, solver, steps)
    back = decode(process, scores, z, solver, steps)
    for found in (z, back):
        assert found.dtype == like.dtype and device(found) == device(like) and found.shape == x.shape
    np.testing.assert_allclose(host(back), host(x), rtol=0, atol=2e-3)
    again = encode(process, scores, back, solver, steps)
    np.testing.assert_allclose(host(again), host(z), rtol=0, atol=2e-2)


def test_there_and_back_to_the_solvers_tolerance():
    # curved flows, of scores that belong to no common law
    law, process = Mixture([0.5, 0.5], [data(4), data(5)]), made(VP(), 3, MEAN)
    x = law.sample(3, rng=1)
    scores = [law.score(process.sde), *scores_of(process, data(6))[1:]]
    errors = {}
    for tolerance in (1e-5, 1e-7, 1e-9):
        solver = DormandPrince(tolerance, tolerance)
        errors[tolerance] = np.max(np.abs(decode(process, scores, encode(process, scores, x, solver), solver) - x))
        assert errors[tolerance] < 100 * tolerance
    for order, solver, counts in ((2, Heun(), (200, 400)), (3, DPMSolver(3), (200, 400))):

        def error(n):
            z = encode(process, scores, x, solver, n, spacing=UniformLogSNR())  # noqa: B023
            return np.max(np.abs(decode(process, scores, z, solver, n, spacing=UniformLogSNR()) - x))  # noqa: B023

        errors = [error(n) for n in counts]
        assert math.log2(errors[0] / errors[1]) > order - 0.3, errors


def test_the_parts_are_the_states_that_the_stages_meet():
    law, process = data(), made(VP(), 2, MEAN)
    scores, x = scores_of(process, law), data().sample(3, rng=1)
    z = encode(process, scores, x, FINE)
    parts, met = latent_parts(process, z), []
    for k in range(process.K + 1):
        # the exact flow of a Gaussian
        level = law.restrict(process.subspaces[k])
        (a, b), f = process.ends(k), process.sde
        y = x - f.alpha(a) * level.mean
        before, after = (f.alpha(t) ** 2 * level.eigenvalues + f.sigma(t) ** 2 for t in (a, b))
        y = level.axes.embed(np.sqrt(after / before) * level.axes.restrict(y)) + f.alpha(b) * level.mean
        if k < process.K:
            met.append(process.subspaces.steps[k].reject(y))
            y = process.subspaces.steps[k].restrict(y)
        x = y
    for part, expected in zip(parts, [*met, x]):
        np.testing.assert_allclose(part, expected, rtol=0, atol=1e-6)
    # the coarse part of one and the fine part of another: what stage 2 makes of it is the first one's
    mixed = process.subspaces[2].project(z[:1]) + process.subspaces[2].reject(z[1:2])
    np.testing.assert_allclose(latent_parts(process, mixed)[2], parts[2][:1], rtol=0, atol=1e-10)
    np.testing.assert_allclose(latent_parts(process, mixed)[0], parts[0][1:2], rtol=0, atol=1e-10)


def test_the_complement_of_a_latent_alone_is_taken():
    # z need not come from encode: the part that the smaller levels hold is not injected twice
    process, law = made(VP(), 1), data()
    z = np.random.default_rng(0).standard_normal((2, 7))
    step, known = process.subspaces.steps[0], []

    class Spy(Known):
        def __call__(self, x, t):
            known.append((x, t))
            return super().__call__(x, t)

    decode(process, [Spy(law, process.sde), scores_of(process, law)[1]], z, DPMSolver(2), 10)
    x, t = known[0]
    expected = math.sqrt(process.complement_variance(1, t)) * step.reject(z)
    np.testing.assert_allclose(step.reject(x), expected, rtol=0, atol=1e-12)


def test_interpolation_keeps_the_law(like, array, host, eps):
    a, b = np.random.default_rng(1).standard_normal((2, 3, 50, 40))
    rows = host(interpolate(array(a), array(b), [0.0, 0.3, 0.5, 1.0]))
    np.testing.assert_allclose(rows[0], a, rtol=0, atol=50 * eps)
    np.testing.assert_allclose(rows[-1], b, rtol=0, atol=50 * eps)
    assert np.max(np.abs(np.linalg.norm(rows.reshape(4, -1), axis=1) / math.sqrt(a.size) - 1)) < 0.03
    angle = math.acos(np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b))
    expected = (math.sin(0.7 * angle) * a + math.sin(0.3 * angle) * b) / math.sin(angle)
    np.testing.assert_allclose(rows[1], expected, rtol=0, atol=100 * eps)
    near = host(interpolate(array(a), array(a * 2), [0.5]))
    np.testing.assert_allclose(near[0], 1.5 * a, rtol=0, atol=50 * eps)
    assert tuple(interpolate(array(a), array(b), []).shape) == (0, *a.shape)


def test_what_is_refused():
    law, process = data(), made(VP(), 1)
    scores, x = scores_of(process, law), data().sample(2, rng=0)
    for function in (encode, decode):
        with pytest.raises(ValueError, match="the coordinates of level 1"):
            function(process, scores, x[:, :5])
        with pytest.raises(ValueError, match="holds NaN or infinity"):
            function(process, scores, np.full((2, 7), np.inf))
        with pytest.raises(ValueError, match="this solver draws noise"):
            function(process, scores, x, EulerMaruyama())
        with pytest.raises(ValueError, match="needs 2 scores"):
            function(process, scores[:1], x)
        with pytest.raises(ValueError, match="not finite on level"):
            function(process, [lambda y, t: y * math.nan] * 2, x, steps=4)
    with pytest.raises(ValueError, match=r"of one shape are needed, got \(2,\) and \(3,\)"):
        interpolate(np.ones(2), np.ones(3), [0.5])
    with pytest.raises(ValueError, match="real floating-point numbers, got complex128"):
        interpolate(np.ones(2) * 1j, np.ones(2) * 1j, [0.5])
    with pytest.raises(ValueError, match="point opposite ways"):
        interpolate(np.ones(2), -np.ones(2), [0.5])
    with pytest.raises(ValueError, match="has no direction"):
        interpolate(np.ones(2), np.zeros(2), [0.5])
