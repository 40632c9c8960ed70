"""What has no likelihood is refused with one clear sentence."""

import math

import numpy as np
import pytest

from subspace_sde import VP, log_likelihood
from subspace_sde.likelihood import Bins, Exact, Hutchinson
from subspace_sde.solvers import Ancestral, DormandPrince, DPMSolver, EulerMaruyama, Heun
from tests.likelihood.composite import D, Known, data, images, made, plain, quantised, scores_of


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
