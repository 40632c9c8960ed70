"""Hutchinson's estimate of the trace: unbiased, with honest error bars and its closed form of variance."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, t

from subspace_sde import VE, VP, log_likelihood
from subspace_sde.likelihood import Exact, FullScore, Hutchinson, Staged, gaussian, rademacher
from tests.likelihood.composite import D, data, made, scores_of

each_distribution = pytest.mark.parametrize("distribution", [rademacher, gaussian])


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
