"""Bars of the calls that evaluate a network on data: they count evaluations, and stay silent unasked."""

import re

import numpy as np

from subspace_sde import VE, LowPass, level_error, orthogonal_fisher_divergence, switch_times
from subspace_sde.oracles import DCTGaussian

LAW, SDE = DCTGaussian(np.zeros(12), 1 / np.arange(1, 13) ** 2), VE()
LEVELS, TIMES = [LowPass((12,), n, axes=(-1,)) for n in (6, 3)], [0.3, 0.5, 0.7]
X = LAW.sample(40, rng=0)


def white(x, t):
    return -x / (1 + SDE.sigma(t) ** 2)


def test_a_divergence_shows_its_evaluations(capsys):
    for data in (X, [X[:30], X[30:]]):
        orthogonal_fisher_divergence(LAW.score(SDE), data, SDE, LEVELS, TIMES)
        assert capsys.readouterr().err == ""
        orthogonal_fisher_divergence(LAW.score(SDE), data, SDE, LEVELS, TIMES, progress=True)
        shown = capsys.readouterr().err
        assert "divergence" in shown and "120/120" in shown and "t = 0.7" in shown


def test_an_error_of_levels_shows_its_evaluations(capsys):
    level_error(white, SDE, LEVELS, X, TIMES)
    assert capsys.readouterr().err == ""
    level_error(white, SDE, LEVELS, X, TIMES, progress=True)
    assert "120/120" in capsys.readouterr().err
    level_error(white, SDE, LEVELS, iter([X[:30], X[30:]]), TIMES, progress=True)  # who knows how many there are
    assert re.search(r"level error: 120evaluation", capsys.readouterr().err)


def test_a_search_for_switch_times_shows_its_evaluations(capsys):
    found = switch_times(LAW.score(SDE), X, SDE, LEVELS, 3e-2, stderr=0.05)
    assert capsys.readouterr().err == ""
    again = switch_times(LAW.score(SDE), X, SDE, LEVELS, 3e-2, stderr=0.05, progress=True)
    assert again == found and f"switch times: {found[0].evaluations}evaluation" in capsys.readouterr().err
