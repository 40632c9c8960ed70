"""Pictures of divergence curves, read back: lines, bands, thresholds, axes and legends."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from subspace_sde import EDM, VE, VP, DivergenceCurve, RectifiedFlow
from subspace_sde.plotting import divergence_curves, power_spectrum
from tests.plotting.drawn import CURVES, THRESHOLD, falling, lines


def colour(artist):
    return to_hex(artist.get_color())


def drawn_over(ax, box):
    """What of the data lies in a box of the finished picture."""
    paths = [(line.get_transform().transform_path(line.get_path()), False) for line in ax.lines]
    paths += [(c.get_transform().transform_path(p), True) for c in ax.collections for p in c.get_paths()]
    return [path for path, filled in paths if path.intersects_bbox(box, filled)]


def test_divergence_curves_are_the_curves_with_two_standard_errors():
    figure = divergence_curves(CURVES)
    (ax,) = figure.axes
    assert (ax.get_xscale(), ax.get_yscale()) == ("linear", "log")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(CURVES)
    for name, curve in CURVES.items():
        np.testing.assert_array_equal(lines(ax, name).get_xydata(), np.stack([curve.times, curve.values], axis=-1))
    bands = dict(zip(("8×8", "16×16"), ax.collections))  # the flat curve has no standard errors, and no band
    assert len(ax.collections) == 2 and len(ax.lines) == 3
    for name, band in bands.items():
        curve = CURVES[name]
        corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
        for sign in (-2, 2):
            assert {(t, v + sign * e) for t, v, e in zip(curve.times, curve.values, curve.stderr)} <= corners
        assert to_rgb(band.get_facecolor()[0][:3]) == to_rgb(lines(ax, name).get_color())
    assert len({colour(line) for line in ax.lines}) == 3


def test_a_threshold_is_marked_where_each_curve_meets_it_and_said_in_the_legend():
    (ax,) = divergence_curves(CURVES, THRESHOLD).axes
    np.testing.assert_array_equal(lines(ax, "threshold").get_ydata(), [THRESHOLD, THRESHOLD])
    assert lines(ax, "threshold").get_linestyle() == "--"
    assert lines(ax, "flat").get_label() == "flat:  not met"
    marks = [line for line in ax.lines if line.get_marker() == "o"]
    ticks = [line for line in ax.lines if line.get_transform() == ax.get_xaxis_transform()]
    assert len(marks) == len(ticks) == 2
    for name, mark, tick in zip(("8×8", "16×16"), marks, ticks):
        t = CURVES[name].time_at(THRESHOLD)
        assert np.interp(t, CURVES[name].times, np.log(CURVES[name].values)) == pytest.approx(math.log(THRESHOLD))
        np.testing.assert_array_equal(mark.get_xydata(), [[t, THRESHOLD]])
        np.testing.assert_array_equal(tick.get_xdata(), [t, t])
        assert tick.get_ydata()[0] == 0 < tick.get_ydata()[1] <= 0.1  # of the height of the axes
        assert lines(ax, name).get_label() == f"{name}:  $t$ = {t:.3g}"
        assert colour(mark) == colour(tick) == colour(lines(ax, name))


DECADES = tuple(np.geomspace(2e-3, 80, 30))


@pytest.mark.parametrize(
    "sde, times, scale",
    [
        (EDM(), DECADES, "log"),
        (EDM(), (1.0, 10.0, 99.0), "linear"),  # under two decades
        (VE(), (1e-3, 0.1, 1.0), "linear"),  # three decades, but the grid is uniform in t
        (VE(), (0.0, 0.5, 1.0), "linear"),
        (VP(), (1e-3, 0.5, 1.0), "linear"),
        (RectifiedFlow(), (1e-3, 0.5, 0.999), "linear"),
        (None, DECADES, "linear"),
    ],
)
def test_the_axis_of_t_is_logarithmic_where_an_uneven_grid_spans_decades(sde, times, scale):
    curve = DivergenceCurve(times, 1 / (1 + np.asarray(times)), sde=sde)
    assert divergence_curves({"a": curve}).axes[0].get_xscale() == scale


@pytest.mark.parametrize("error", [0.0, 0.3, 0.49999999, 0.5, 3.0])
def test_the_axis_holds_every_value_and_every_upper_edge_and_no_lower_edge_stretches_it(error):
    curve = falling(0.0, 4, error=error)
    (ax,) = divergence_curves({"a": curve}).axes
    low, high = ax.get_ylim()
    values = np.asarray(curve.values)
    assert low < values.min() and values.max() * (1 + 2 * error) < high
    # 5 % of the decades between the smallest value and the largest edge, matplotlib's margin
    assert math.log10(values.min() / low) == pytest.approx(0.05 * math.log10(values[0] * (1 + 2 * error) / values[-1]))


def test_a_curve_that_falls_to_nothing_is_drawn():
    curve = DivergenceCurve((0.1, 0.2, 0.3), (1.0, 1e-2, 0.0))
    (ax,) = divergence_curves({"a": curve, "nothing": DivergenceCurve((0.1, 0.3), (0.0, 0.0))}, THRESHOLD).axes
    assert tuple(lines(ax, "a:").get_ydata()) == curve.values
    assert lines(ax, "nothing").get_label() == "nothing:  $t$ = 0.1"
    assert ax.get_ylim()[0] > 1e-4


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-9, 9)), min_size=1, max_size=8))
@settings(max_examples=6)
def test_the_legend_never_lies_over_the_data(curves):
    figure = divergence_curves({f"subspace {i}": falling(*c) for i, c in enumerate(curves)}, THRESHOLD)
    figure.draw_without_rendering()
    (ax,) = figure.axes
    box = ax.get_legend().get_window_extent()
    beside = box.x0 >= ax.get_window_extent().x1
    assert beside or not drawn_over(ax, box)
    assert box.x1 <= figure.bbox.x1


def test_a_legend_without_room_stays_inside_a_figure_that_makes_none():
    crowd = {f"subspace {i}": falling(i / 3, 0) for i in range(9)}
    for layout in (None, "constrained"):
        figure = Figure(figsize=(5, 3), layout=layout)
        ax = figure.subplots()
        divergence_curves(crowd, ax=ax)
        figure.draw_without_rendering()
        box = ax.get_legend().get_window_extent()
        assert box.x1 <= figure.bbox.x1
        assert (box.x0 >= ax.get_window_extent().x1) == (layout is not None)


def test_more_names_than_colours_differ_in_their_dashes():
    (ax,) = power_spectrum({str(i): np.ones(4) for i in range(14)}).axes
    assert len({(colour(line), line.get_linestyle()) for line in ax.lines}) == 14
    assert len({colour(line) for line in ax.lines[:6]}) == 6
    (first,) = divergence_curves(CURVES).axes
    assert [colour(line) for line in first.lines] == [colour(line) for line in ax.lines[:3]]
