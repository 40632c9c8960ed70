"""The times read off a curve of eq. 14."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subspace_sde import EDM, VE, DivergenceCurve
from subspace_sde.divergence.estimate import ComplementParts
from tests.divergence.closed_forms import SDES


@pytest.mark.parametrize("sde", [None, *SDES])
@given(start=st.floats(-2, 2), slope=st.floats(0.5, 30), part=st.floats(0.001, 0.999))
def test_time_at_is_exact_where_the_curve_is_log_linear_in_the_grids_parameter(sde, start, slope, part):
    low, high = (0.0, 1.0) if sde is None else (sde.t_min, sde.T)
    u = (lambda t: t) if sde is None else sde.grid_parameter
    times = np.linspace(low, high, 7)
    width = u(high) - u(low)

    def value(t):
        return math.exp(start - slope * (u(t) - u(low)) / width)

    curve = DivergenceCurve(times, [value(t) for t in times], sde=sde)
    t = low + part * (high - low)
    assert curve.time_at(value(t)) == pytest.approx(t, rel=1e-8, abs=1e-10)


@given(
    values=st.lists(st.floats(1e-6, 10), min_size=2, max_size=8),
    threshold=st.floats(1e-6, 10),
    sde=st.sampled_from([None, EDM(1, 20)]),
)
def test_time_at_is_the_first_time_from_which_the_curve_stays_below(values, threshold, sde):
    times = [1 + i for i in range(len(values))]
    curve = DivergenceCurve(times, values, sde=sde)
    if values[-1] > threshold:
        with pytest.raises(ValueError, match=r"never stays below .* the smallest value is .*, the last .* at t ="):
            curve.time_at(threshold)
        return
    t = curve.time_at(threshold)
    u = (lambda s: s) if sde is None else sde.grid_parameter

    def interpolated(s):
        return np.interp(u(s), [u(v) for v in times], np.log(values))

    assert times[0] <= t <= times[-1]
    later = np.linspace(t, times[-1], 50)
    assert np.all(interpolated(later) <= math.log(threshold) + 1e-9)
    if t > times[0]:
        assert interpolated(t) == pytest.approx(math.log(threshold), abs=1e-6)
        assert (
            max(v for s, v in zip(times, values) if s < t) > threshold
            or interpolated(t - 1e-7) > math.log(threshold) - 1e-6
        )


@pytest.mark.parametrize("sde", [None, EDM(1, 20)])
@given(values=st.lists(st.floats(1e-6, 10), min_size=2, max_size=8), part=st.floats(0, 1))
def test_at_interpolates_as_time_at_does(sde, values, part):
    times = [1 + i for i in range(len(values))]
    curve = DivergenceCurve(times, values, sde=sde)
    assert [curve.at(t) for t in times] == list(curve.values)
    u = (lambda s: s) if sde is None else sde.grid_parameter
    t = 1 + part * (len(values) - 1)
    expected = np.exp(np.interp(u(t), [u(s) for s in times], np.log(values)))
    assert curve.at(t) == pytest.approx(expected, rel=1e-9)
    threshold = math.sqrt(values[-1] * max(values))
    if threshold > values[-1] * (1 + 1e-9):
        assert curve.at(curve.time_at(threshold)) == pytest.approx(threshold, rel=1e-6)


def test_at_outside_the_times_is_refused():
    curve = DivergenceCurve((0.1, 0.3), (1.0, 0.0))
    for t in (0.0999, 0.3001, math.nan):
        with pytest.raises(ValueError, match=r"the curve is known for t in \[0.1, 0.3\], got"):
            curve.at(t)
    assert curve.at(0.3) == 0.0 and curve.at(0.2) == pytest.approx(1e-150)
    assert DivergenceCurve((0.5,), (2.0,)).at(0.5) == 2.0


def test_a_curve_that_rises_again_gives_its_last_crossing():
    curve = DivergenceCurve((0.1, 0.2, 0.3, 0.4, 0.5), (1.0, 1e-4, 1.0, 1e-2, 1e-3))
    assert curve.time_at(1e-2) == pytest.approx(0.4)
    assert curve.time_at(1e-1) == pytest.approx(0.35)
    assert curve.time_at(1.0) == 0.1  # it never lies above
    assert curve.time_at(1e9) == 0.1
    with pytest.raises(ValueError, match="the threshold must be positive, got inf: give a finite number"):
        curve.time_at(math.inf)
    with pytest.raises(
        ValueError, match=r"never stays below 0.0005: the smallest value is 0.0001, the last 0.001 at t = 0.5"
    ):
        curve.time_at(5e-4)
    with pytest.raises(ValueError, match=r"never stays below 1e-05: the smallest value is 0.0001"):
        curve.time_at(1e-5)
    for threshold in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="the threshold must be positive, got"):
            curve.time_at(threshold)
    assert DivergenceCurve((0.0, 1.0), (1.0, 0.0)).time_at(1e-3) <= 1.0
    threshold = 0.1
    assert DivergenceCurve((0.0, 1.0), (math.nextafter(threshold, 1), threshold)).time_at(threshold) == pytest.approx(1)


def test_curves_that_are_none_are_refused():
    for times, values, stderr, message in (
        ((0.1, 0.2), (1.0,), None, "same length"),
        ((0.1, 0.2), (1.0, 2.0), (0.1,), "same length"),
        ((), (), None, "increase strictly"),
        ((0.2, 0.2), (1.0, 2.0), None, "increase strictly"),
        ((0.1, 0.2), (1.0, -2.0), None, "finite and not negative"),
        ((0.1, 0.2), (1.0, math.nan), None, "finite and not negative"),
        ((0.1, 0.2), (1.0, 0.1), (0.1, math.nan), "finite and not negative"),
        ((0.1, 0.2), (1.0, 0.1), (0.1, -0.1), "finite and not negative"),
    ):
        with pytest.raises(ValueError, match=message):
            DivergenceCurve(times, values, stderr)
    bare = DivergenceCurve((0.1, 0.2), (2.0, 1.0))
    assert bare.stderr is bare.sde is bare.parts is None
    assert bare == DivergenceCurve((0.1, 0.2), (2.0, 1.0), None, VE(), ComplementParts(3, 1.0, ((1.0, 1.0),) * 3))
