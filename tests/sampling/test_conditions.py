"""Conditions and guidance on every level."""

import math

import numpy as np
import pytest
import torch

from subspace_sde import VP, LowPass, NestedSubspaces, SubspaceSDE, log_likelihood, sample
from subspace_sde.losses import denoising_score_matching
from subspace_sde.oracles import Gaussian, Mixture
from subspace_sde.sampling import sampled_law
from subspace_sde.scores import guided
from subspace_sde.solvers import DPMSolver
from tests.sampling.standard_normal import PROCESS, SCORES, SDE


def classes(d=6):
    """Two Gaussians, the classes 0 and 1 of a mixture."""
    rng = np.random.default_rng(0)
    roots = rng.standard_normal((2, d, d)) / math.sqrt(d)
    means = np.stack([np.linspace(-1, 1, d), np.linspace(1.5, 0, d)])
    return Mixture([0.4, 0.6], [Gaussian(m, 0.2 * r @ r.T + 0.05 * np.eye(d)) for m, r in zip(means, roots)])


def conditional(mixture, sde):
    """score(x, t, label): of a class, or of the mixture where the label is 2."""
    scores = [*(c.score(sde) for c in mixture.components), mixture.score(sde)]

    def score(x, t, label):
        chosen = [s(x, t) for s in scores]
        return sum((label == i)[:, None] * s for i, s in enumerate(chosen))

    return score


def labels_like(like, values):
    return torch.asarray(values, device=like.device) if isinstance(like, torch.Tensor) else np.asarray(values)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.0, 0.0), (2.5, 1.0), (0.5, 3.0)])
def test_guided_is_its_formula(weights, like, array, host, eps):
    mixture, label = classes(), [0, 1, 1]
    x, t = np.random.default_rng(1).standard_normal((3, 6)), 0.5
    score = conditional(mixture, SDE)
    for weight in weights:
        found = host(guided(score, weight, 2)(array(x), t, labels_like(like, label)))
        given = np.stack([mixture.components[c].score(SDE)(x[i : i + 1], t)[0] for i, c in enumerate(label)])
        free = mixture.score(SDE)(x, t)
        np.testing.assert_allclose(found, free + weight * (given - free), rtol=0, atol=300 * eps)
    times = array([0.4, 0.5, 0.6])  # one time a sample
    found = host(guided(score, 2.0, 2)(array(x), times, labels_like(like, label)))
    one = [
        host(guided(score, 2.0, 2)(array(x[i : i + 1]), s, labels_like(like, label[i : i + 1])))[0]
        for i, s in enumerate((0.4, 0.5, 0.6))
    ]
    np.testing.assert_allclose(found, np.stack(one), rtol=0, atol=1e3 * eps)


def test_guided_calls_the_network_once():
    calls = []

    def network(x, t, c):
        calls.append((x.shape[0], c.tolist()))
        return -x

    x, c = np.zeros((2, 3)), np.asarray([5, 6])
    for weight, expected in ((1.0, (2, [5, 6])), (0.0, (2, [9, 9])), (3.0, (4, [5, 6, 9, 9]))):
        calls.clear()
        guided(network, weight, 9)(x, 0.5, c)
        assert calls == [expected]
    with pytest.raises(ValueError, match="the weight of guidance must be finite, got nan"):
        guided(network, math.nan, 9)


@pytest.mark.parametrize("chunk", [None, 300])
def test_labels_choose_the_class_on_every_level(chunk, like, array, host):
    # weight 1 is the class itself: a Gaussian, for which the law of the samples is known, the solver's error included
    sde, mixture, num = VP(), classes(), 800
    nested = NestedSubspaces([LowPass((6,), 4, axes=(-1,)), LowPass((4,), 2, axes=(-1,))])
    process = SubspaceSDE(sde, nested, [0.55, 0.7], [0.15, 0.3])
    scores = [guided(conditional(mixture.restrict(u), sde), w, 2) for u, w in zip(nested, (1.0, 1.0, 1.0))]
    label = np.arange(num) % 2
    found = sample(
        process, scores, num, DPMSolver(2), 40, rng=2, like=like, condition=labels_like(like, label), chunk=chunk
    )
    for c in (0, 1):
        x = host(found.x)[label == c]
        own, other = ([g.restrict(u).score(sde) for u in nested] for g in (mixture.components[i] for i in (c, 1 - c)))
        law, other = (sampled_law(process, s, DPMSolver(2), 40) for s in (own, other))
        spread = np.sqrt(np.diag(law.covariance) / len(x))
        assert np.max(np.abs(x.mean(0) - law.mean) / spread) < 4.5
        assert np.max(np.abs(x.mean(0) - other.mean) / spread) > 30
        gap = np.cov(x.T) - law.covariance
        assert np.max(np.abs(gap) / np.sqrt(2 * np.outer(spread**2, spread**2) * len(x))) < 4.5


def test_a_condition_must_fit():
    one = np.zeros(3)
    for given, name in (
        (np.zeros(2), "condition"),
        ((one, np.zeros((2, 5))), r"condition\[1\]"),
        ({"text": one, "summary": np.zeros(())}, r"condition\['summary'\]"),
    ):
        sentence = rf"^{name} takes one entry for each element of the batch \(3,\), got shape \("
        with pytest.raises(ValueError, match=sentence):
            sample(PROCESS, SCORES, 3, steps=6, condition=given)
        for call in (
            lambda c: log_likelihood(PROCESS, SCORES, np.zeros((3, 3, 4, 6)), steps=6, condition=c),
            lambda c: PROCESS.full_score(SCORES)(np.zeros((3, 3, 4, 6)), 0.5, c),
            lambda c: denoising_score_matching(SCORES[0], np.zeros((3, 6)), np.full(3, 0.5), SDE, 0, condition=c),
        ):
            with pytest.raises(ValueError, match=sentence):
                call(given)
    for empty in ((), {}):
        with pytest.raises(ValueError, match="condition holds no array: leave it out where there is none"):
            sample(PROCESS, SCORES, 3, steps=6, condition=empty)
    for wrong in (1, "a cat", [1, 2, 3], {"text": [1, 2, 3]}, {"text": None}):
        with pytest.raises(TypeError, match=r"`condition` takes an array .* or a mapping of strings to .*, got"):
            sample(PROCESS, SCORES, 3, steps=6, condition=wrong)
    for chunk in (0, -1):
        with pytest.raises(ValueError, match="chunk must be an integer >= 1, got"):
            sample(PROCESS, SCORES, 3, steps=6, chunk=chunk)
