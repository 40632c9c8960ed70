"""A plan whose levels the network of the full space serves: the error of each is a further condition on its time."""

import math

import pytest

from subspace_sde import VE, VP, LowPass, plan
from subspace_sde.divergence import LevelError
from tests.planning.curves import SHAPE, curve_to

CANDIDATES = [LowPass(SHAPE, n) for n in (6, 3)]


def error_to(sde, t, tolerance):
    """An error that meets the tolerance at t exactly."""
    curve = curve_to(sde, t, tolerance)
    return LevelError(curve.times, curve.values, *((0.0,) * 3,) * 3, sde=sde)


def test_a_level_waits_for_the_network():
    sde, e = VE(), 1e-3
    curves = [curve_to(sde, t, e) for t in (0.3, 0.5)]
    alone = plan(CANDIDATES, curves, e)
    assert alone.times == pytest.approx((0.3, 0.5))
    for t in (0.2, 0.4):
        errors = [error_to(sde, t, e), error_to(sde, 0.6, e)]
        served = plan(CANDIDATES, curves, e, errors=errors)
        assert served.times == pytest.approx((max(0.3, t), 0.6))
        assert served.cost == pytest.approx(served.times[0] + (0.6 - served.times[0]) * 36 / 64 + 0.4 * 9 / 64)
        assert all(d <= e for d in served.divergences)
    assert plan(CANDIDATES, curves, e, errors=[None, error_to(sde, 0.6, e)]).times == pytest.approx((0.3, 0.6))
    assert plan(CANDIDATES, curves, e, errors=[None, None]) == alone


def test_a_tolerance_of_its_own():
    sde = VE()
    curves, errors = [curve_to(sde, t, 1e-3) for t in (0.3, 0.5)], [error_to(sde, 0.4, 1e-2)] * 2
    assert plan(CANDIDATES, curves, 1e-3, errors=errors, tolerance=1e-2).times == pytest.approx((0.4, 0.5))
    never = LevelError((0.2, 0.9), (0.5, 0.1), *((0.0, 0.0),) * 3, sde=sde)
    assert plan(CANDIDATES, curves, 1e-3, errors=[never, errors[0]], tolerance=1e-2).chosen == (1,)
    message = r"serves no level that meets the threshold within the tolerance 0\.01: the smallest excess error is 0\.1"
    with pytest.raises(ValueError, match=message):
        plan(CANDIDATES, curves, 1e-3, errors=[never, never], tolerance=1e-2)


def test_errors_that_do_not_fit_are_refused():
    sde, e = VE(), 1e-3
    curves, error = [curve_to(sde, t, e) for t in (0.3, 0.5)], error_to(sde, 0.4, e)
    with pytest.raises(ValueError, match="one LevelError or None for each subspace: got 1 for 2"):
        plan(CANDIDATES, curves, e, errors=[error])
    with pytest.raises(ValueError, match="the same SDE"):
        plan(CANDIDATES, curves, e, errors=[error, error_to(VP(), 0.4, e)])
    with pytest.raises(ValueError, match="give `errors` from `level_error` too"):
        plan(CANDIDATES, curves, e, tolerance=e)
    with pytest.raises(TypeError, match=r"`errors` takes a sequence of .*LevelError"):
        plan(CANDIDATES, curves, e, errors=[error, 0.4])
    for wrong in (0.0, -1.0, math.inf):
        with pytest.raises(ValueError, match="must be positive"):
            plan(CANDIDATES, curves, e, errors=[error, error], tolerance=wrong)
