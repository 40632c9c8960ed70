"""Plans, scores, arrays and times that make no sense are refused with one clear sentence."""

import math

import numpy as np
import pytest
import torch

from subspace_sde import VE, SubspaceSDE
from tests.process.gaussians import NESTED, make, wiggly


def test_plans_that_make_no_sense_are_refused():
    nested = NESTED[1]
    for times in ([0.6, 0.4], [0.4, 0.4], [0.0, 0.5], [0.5, 1.0], [-0.1, 0.5], [0.5, 1.5], [math.nan, 0.5]):
        with pytest.raises(ValueError, match=r"increase strictly inside \(0, 1\), the smallest subspace last, got"):
            SubspaceSDE(VE(), nested, times, [0.1, 0.1])
    for times, variances in (([0.4], [0.1, 0.1]), ([0.4, 0.5, 0.6], [0.1, 0.1]), ([0.4, 0.5], [0.1]), ([], [])):
        with pytest.raises(ValueError, match="2 proper subspaces need as many times and complement variances"):
            SubspaceSDE(VE(), nested, times, variances)
    for bad in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="finite and not negative"):
            SubspaceSDE(VE(), nested, [0.4, 0.5], [0.1, bad])
    with pytest.raises(ValueError, match=r"the mean has shape \(2, 2\), the full space \(3, 2\)"):
        SubspaceSDE(VE(), nested, [0.4, 0.5], [0.1, 0.1], mean=np.zeros((2, 2)))
    with pytest.raises(ValueError, match="the mean holds NaN"):
        SubspaceSDE(VE(), nested, [0.4, 0.5], [0.1, 0.1], mean=torch.full((3, 2), math.nan))
    with pytest.raises(TypeError, match=r"`subspaces` takes an object like NestedSubspaces\(.*\), got LowPass"):
        SubspaceSDE(VE(), nested.steps[1], [0.4, 0.5], [0.1, 0.1])
    with pytest.raises(TypeError, match=r"`sde` takes an object like VE\(\), got 'VE'"):
        SubspaceSDE("VE", nested, [0.4, 0.5], [0.1, 0.1])


def test_scores_that_are_missing_or_no_functions_are_refused():
    process = make(VE(), NESTED[1])
    for scores in ([], [wiggly(0)], [wiggly(0)] * 4):
        with pytest.raises(ValueError, match="levels 0 to 2 and needs 3 scores, the full space's first, got"):
            process.full_score(scores)
    for scores, got in ((wiggly(0), "function"), ([wiggly(0), None, wiggly(2)], "list of 3 NoneType, function")):
        with pytest.raises(TypeError, match=f"`scores` takes a sequence of functions, got {got}"):
            process.full_score(scores)
    for level in (-1, 3):
        with pytest.raises(ValueError, match=rf"level must lie in 0 ... 2, got {level}"):
            process.full_score([wiggly(0)] * 3, level=level)


def test_arrays_of_another_space_are_refused_and_the_way_is_named():
    process = make(VE(), NESTED[1])
    full = process.full_score([wiggly(k) for k in range(3)])
    calls = {
        "perturb": lambda x: process.perturb(x, 0.5, 0),
        "path": lambda x: process.path(x, [0.5], 0),
        "drift": lambda x: process.drift(x, 0.5),
        "diffusion": lambda x: process.diffusion(x, np.zeros(7)),
        "full score": lambda x: full(x, 0.5),
        "stage": lambda x: process.full_score([wiggly(0)] * 3, level=0)(x, 0.1),
    }
    for call in calls.values():
        with pytest.raises(
            ValueError, match=r"trailing shape \(3, 2\), got \(2, 2\), .* level 1: .*subspaces\[1\].embed"
        ):
            call(np.zeros((7, 2, 2)))
        with pytest.raises(ValueError, match=r"got \(1, 2\), the coordinates of level 2"):
            call(torch.zeros(7, 1, 2))
        with pytest.raises(ValueError, match=r"takes trailing shape \(3, 2\), got \(2, 3\)"):
            call(np.zeros((7, 2, 3)))
        with pytest.raises(ValueError, match="takes floating-point numbers, got int64"):
            call(np.zeros((7, 3, 2), dtype=np.int64))
        with pytest.raises(TypeError, match="an array"):
            call([[1.0, 2.0]] * 3)


def test_a_t_that_does_not_fit_the_batch_is_refused():
    process, x = make(VE(), NESTED[1]), np.zeros((4, 2, 3, 2))
    full = process.full_score([wiggly(k) for k in range(3)])
    for call in (full, process.drift, process.diffusion, lambda y, t: process.perturb(y, t, 0)):
        for t in (np.full(4, 0.5), np.full((2, 4), 0.5), np.full(8, 0.5)):
            with pytest.raises(ValueError, match=r"t has shape .*, but the batch of x is \(4, 2\)"):
                call(x, t)
        with pytest.raises(TypeError):
            call(x, torch.full((4, 2), 0.5))
        with pytest.raises(TypeError):
            call(torch.asarray(x), np.full((4, 2), 0.5))
