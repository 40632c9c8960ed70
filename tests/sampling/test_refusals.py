"""Scores and calls that make no sense are refused with one clear sentence."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from subspace_sde import VE, sample
from subspace_sde.sampling import stage_times
from subspace_sde.solvers import Langevin
from tests.sampling.processes import NESTED, make, normal_score


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("level, step, row", [(2, 1, 0), (1, 2, 3), (0, 3, 4)])
def test_a_score_that_is_not_finite_is_named(level, step, row, value, like, array):
    process, calls = make(VE(), NESTED[2]), [0, 0, 0]

    def score_of(k):
        def score(x, t):
            calls[k] += 1
            bad = np.zeros(x.shape)
            if k == level and calls[k] == step:
                bad[(row, *(0,) * (x.ndim - 1))] = value
            return -x / (1 + VE().sigma(t) ** 2) + array(bad)

        return score

    s = stage_times(process, 30)[level][step]
    message = rf"not finite on level {level} at t = {s:.6g} \(step {step} of that level\), sample {row}"
    with pytest.raises(ValueError, match=message), np.errstate(invalid="ignore"):
        sample(process, [score_of(k) for k in range(3)], 5, steps=30, like=like)
    assert calls[level] >= step and calls[:level] == [0] * level


def test_langevin_that_breaks_a_sample_is_step_0(like, array):
    process = make(VE(), NESTED[1])

    class Breaking(Langevin):
        def move(self, x, t, score, noise, injected=None):
            bad = np.zeros(x.shape)
            bad[1] = math.nan
            return x + array(bad)

    with pytest.raises(ValueError, match=rf"level 0 at t = {process.times[0]:.6g} \(step 0 of that level\), sample 1"):
        sample(process, [normal_score(VE())] * 2, 3, steps=4, like=like, langevin=Breaking())


def test_large_numbers_are_finite(like, xp):
    # their sum is not: a guard that adds up would refuse them
    process, big = make(VE(), NESTED[0]), float(xp.finfo(like.dtype).max) / 2
    solver = SimpleNamespace(stage=lambda x, times, score, sde, noise: ((s, x * 0 + big) for s in times[1:]))
    found = sample(process, [normal_score(VE())], 2, solver, 3, like=like)
    assert bool(xp.all(found.x == big))


def test_what_is_no_score_is_named(like):
    process = make(VE(), NESTED[1])
    good = normal_score(VE())
    half = (lambda x, t: x.half()) if isinstance(like, torch.Tensor) else (lambda x, t: x.astype(np.float16))
    other = (lambda x, t: np.zeros(x.shape)) if isinstance(like, torch.Tensor) else (lambda x, t: torch.zeros(x.shape))
    unlike, none = "a score has the shape and dtype", "a {} where an array is due"
    for bad, error, sentence in (
        (half, ValueError, unlike),
        (other, TypeError, unlike),
        (lambda x, t: x[:1], ValueError, unlike),
        (lambda x, t: x[..., :1], ValueError, unlike),
        (lambda x, t: 0.0, TypeError, none.format("float")),
        (lambda x, t: None, TypeError, none.format("NoneType")),
        (lambda x, t: (x,), TypeError, none.format("tuple") + r": did you forget `\[0\]`\?"),
        (lambda x, t: SimpleNamespace(mode=1, sample=x), TypeError, r"forget `\.sample`\?"),
        (lambda x, t: {"mode": 1, "sample": x}, TypeError, r"did you forget `\[\"sample\"\]`\?"),
    ):
        for k in (0, 1):
            scores = [bad if j == k else good for j in range(2)]
            with pytest.raises(error, match=rf"the score of level {k} returned .*{sentence}"):
                sample(process, scores, 3, steps=4, like=like)


def test_calls_that_make_no_sense_are_refused():
    process, scores = make(VE(), NESTED[1]), [normal_score(VE())] * 2
    for missing in ([], scores[:1], [*scores, scores[0]]):
        with pytest.raises(ValueError, match="levels 0 to 1 and needs 2 scores"):
            sample(process, missing, 3)
    for num in (0, -1):
        with pytest.raises(ValueError, match="num must be an integer >= 1, got"):
            sample(process, scores, num)
    with pytest.raises(ValueError, match="2 levels need at least as many steps, got 1"):
        sample(process, scores, 3, steps=1)
    with pytest.raises(ValueError, match="like must be a floating-point array, got int64"):
        sample(process, scores, 3, like=np.zeros((), dtype=np.int64))
    with pytest.raises(TypeError, match="expected an array"):
        sample(process, scores, 3, like=[0.0])
    with pytest.raises(ValueError, match="rng holds 2 integers for 3 samples"):
        sample(process, scores, 3, rng=[1, 2], steps=4)
    with pytest.raises(TypeError, match="rng must be an integer, a sequence of integers"):
        sample(process, scores, 3, rng=0.5, steps=4)
    with pytest.raises(TypeError, match="rng must be an integer, a sequence"):
        sample(process, scores, 3, rng=torch.Generator(), steps=4)  # of another library than the samples
