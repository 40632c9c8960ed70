"""Every library, and every way to the derivative, finds the same likelihood."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from subspace_sde import VP, encode, log_likelihood
from subspace_sde.backend import backend_of, streams
from subspace_sde.likelihood import Exact, FullScore, Hutchinson, Staged
from tests.likelihood.composite import FINE, D, data, made, plain, scores_of


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
    with pytest.raises(ValueError, match=r"one entry for each element of the batch \(2, 3\), got shape \(6,\)"):
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
