"""What an observation may be, and what is refused with one clear sentence."""

import math
import re

import numpy as np
import pytest
import torch

from subspace_sde import VE, VP, SubspaceSDE
from subspace_sde.measurements import Blur, Dense, Mask
from subspace_sde.oracles import Gaussian
from subspace_sde.posterior import DPS, Observation, PiGDM, RePaint, Replacement, sample_posterior
from tests.measurements.kinds import Squares, WrongAdjoint
from tests.posterior.gaussians import NESTED, SEEN, SHAPE, uneven


def test_refusals():
    process, _, scores = uneven(NESTED["means"], VP())
    mask = SEEN["mask"]
    y = np.zeros(5)
    with pytest.raises(ValueError, match=r"y has the shape \(5,\) of the measurement, or one such array for each"):
        Observation(mask, np.zeros(8))
    with pytest.raises(ValueError, match="y must hold floating-point numbers, got int64"):
        Observation(mask, np.zeros(5, dtype=int))
    with pytest.raises(ValueError, match="y holds NaN"):
        Observation(mask, y + np.nan)
    for noise in (-0.1, math.nan, math.inf):
        with pytest.raises(ValueError, match="noise is a standard deviation, finite and not negative"):
            Observation(mask, y, noise)
    with pytest.raises(ValueError, match="iterations must be an integer >= 1"):
        Observation(mask, y, iterations=0)
    for wrong in (Squares, WrongAdjoint):
        with pytest.raises(ValueError, match=r"no linear map with its adjoint: .* does not hold"):
            Observation(wrong(SHAPE, SHAPE), np.zeros(8), 0.1)
    twice = Dense([[1.0] + [0.0] * 7] * 2)
    with pytest.raises(ValueError, match="without noise y must lie in the range of Dense"):
        Observation(twice, np.asarray([1.0, 2.0]))
    Observation(twice, np.asarray([1.0, 1.0])), Observation(twice, np.asarray([1.0, 2.0]), 0.1)
    with pytest.raises(ValueError, match=r"the measurement is one of arrays of shape \(9,\), the process has \(8,\)"):
        sample_posterior(process, scores, Observation(Mask([1] * 9, (9,)), np.zeros(9)), 1)
    with pytest.raises(ValueError, match="y holds 2 measurements for 3 samples"):
        sample_posterior(process, scores, Observation(mask, np.zeros((2, 5))), 3)
    with pytest.raises(ValueError, match="DPS divides by the variance of the noise"):
        sample_posterior(process, scores, Observation(mask, y), 1, DPS())
    with pytest.raises(ValueError, match="numpy cannot differentiate backwards"):
        sample_posterior(process, [lambda x, t: -x] * 3, Observation(mask, y), 1)
    with pytest.raises(ValueError, match="level 2 needs a variance of its own, but only 2 were given"):
        sample_posterior(process, scores, Observation(mask, y), 1, PiGDM([1.0, 1.0]))
    with pytest.raises(ValueError, match="DPS divides by the variance of the noise"):
        sample_posterior(process, scores, Observation(mask, y), 1, Replacement(DPS()))
    for make_method in (lambda: PiGDM([]), lambda: PiGDM(0.0), lambda: PiGDM(weight=-1), lambda: DPS(math.nan)):
        with pytest.raises(ValueError, match="must be"):
            make_method()
    for make_method in (lambda: RePaint(0), lambda: RePaint(jump=0)):
        with pytest.raises(ValueError, match="must be an integer >= 1"):
            make_method()
    with pytest.raises(ValueError, match="least is a share between 0 and 1"):
        Replacement(least=2)


def test_what_an_observation_may_be():
    # ill-conditioned, but in the range: a blur of its own image
    for dtype in (np.float32, np.float64):
        blur = Blur.gaussian((3, 16, 16), 1.0)
        x = np.random.default_rng(0).random((3, 16, 16)).astype(dtype)
        assert Observation(blur, blur.apply(x)).noise == 0
    # out of the range of singular maps, by a distance that is the true one
    a, y = np.asarray([[1.0, 0.0], [1.0, 0.0], [2.0, 1e-9]]), np.asarray([1.0, 0.0, 3.0])
    far = np.max(np.abs(y - a[:, :1] @ np.linalg.lstsq(a[:, :1], y, rcond=None)[0]))
    with pytest.raises(ValueError, match=re.escape(f"the nearest A x is {far:.1e} away: give the noise")):
        Observation(Dense(a * [1, 0]), y)
    root = np.random.default_rng(1).standard_normal((8, 5))
    singular, y = root @ root.T, np.random.default_rng(2).standard_normal(8)
    far = np.max(np.abs(y - singular @ np.linalg.lstsq(singular, y, rcond=1e-9)[0]))
    with pytest.raises(ValueError, match=re.escape(f"the nearest A x is {far:.1e} away")):
        Observation(Dense(singular), y)
    mask = SEEN["mask"]
    assert Observation(mask, np.zeros(mask.shape), np.float32(0.5), np.int64(7)).iterations == 7
    for noise in (True, "0.1", -0.1, math.nan, math.inf):
        with pytest.raises((ValueError, TypeError)):
            Observation(mask, np.zeros(mask.shape), noise)


def test_variances_of_any_kind():
    for one in (0.25, np.float32(0.25), np.asarray(0.25), torch.tensor(0.25)):
        assert PiGDM(one).variance(1.0, VE(), level=3) == PiGDM(0.25).variance(1.0, VE())
    for each in ([0.25, 0.5], np.asarray([0.25, 0.5])):
        assert PiGDM(each).variance(1.0, VE(), level=1) == PiGDM(0.5).variance(1.0, VE())
    with pytest.raises(TypeError, match=r"`otherwise` takes an object like PiGDM\(\), got"):
        Replacement(PiGDM)


def test_a_complement_without_variance_needs_noise():
    nested = NESTED["means"]
    process = SubspaceSDE(VE(), nested, [0.4, 0.6], [0.0, 0.1])
    law, observation = Gaussian(np.zeros(8), np.eye(8)), Observation(SEEN["mask"], np.zeros(SEEN["mask"].shape))
    scores = [law.restrict(u).score(VE()) for u in nested]
    with pytest.raises(ValueError, match="a complement of variance 0 and a y without noise contradict each other"):
        sample_posterior(process, scores, observation, 2, steps=6)
    assert np.all(np.abs(sample_posterior(process, scores, observation, 2, steps=20, full=True).x) < 1e2)
