"""What the pictures show, read back from what was drawn: lines, bands, bars and pixels against the numbers given."""

import math
import subprocess
import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image

from subspace_sde import (
    EDM,
    VE,
    VP,
    Basis,
    DivergenceCurve,
    Downsampling,
    LowPass,
    NestedSubspaces,
    RectifiedFlow,
    Subspace,
)
from subspace_sde.plotting import (
    basis_vectors,
    cost_against_threshold,
    divergence_curves,
    plan_bar,
    power_spectrum,
    projections,
    save,
)

THRESHOLD = 3e-3


TIMES = tuple(np.linspace(0.1, 0.7, 7))


def falling(start, slope, times=TIMES, error=0.2, sde=None):
    values = 10 ** (start - slope * np.asarray(times))
    return DivergenceCurve(times, values, None if error is None else error * values, sde)


CURVES = {"8×8": falling(1.0, 8), "16×16": falling(0.2, 9), "flat": falling(0.0, 0.5, error=None)}


def lines(ax, label):
    """The one line whose entry in the legend starts like this."""
    (found,) = (line for line in ax.lines if line.get_label().startswith(label))
    return found


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
    ids=lambda value: repr(value)[:30],
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


def test_costs_are_drawn_against_the_thresholds_with_gaps():
    thresholds = [1e-2, 1e-4, 1e-3]
    costs = {"one": [0.5, None, 0.75], "two": np.asarray([0.4, 1.0, math.nan]), "none": [None, None, None]}
    (ax,) = cost_against_threshold(thresholds, costs).axes
    assert ax.get_xscale() == "log" and ax.get_ylim() == (0, 1)
    low, high = ax.get_xlim()
    assert low < 1e-4 and high > 1e-2
    expected = {"one": [math.nan, 0.75, 0.5], "two": [1.0, math.nan, 0.4], "none": [math.nan] * 3}
    for name, y in expected.items():
        np.testing.assert_array_equal(lines(ax, name).get_xdata(), [1e-4, 1e-3, 1e-2])
        np.testing.assert_array_equal(lines(ax, name).get_ydata(), y)
        assert lines(ax, name).get_marker() == "o"  # a cost between two gaps is seen
    (single,) = cost_against_threshold([1e-3], {"one": [None]}).axes
    assert single.get_xlim()[0] < 1e-3 < single.get_xlim()[1]


def test_costs_may_be_tensors():
    (ax,) = cost_against_threshold(torch.tensor([0.25, 0.5]), {"one": torch.tensor([1.0, 0.5])}).axes
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[0.25, 1.0], [0.5, 0.5]])


def make_plan(sizes, times, sde=None, shape=(3, 32, 32), **more):
    """Levels of the given edges, with the shares of a grid of infinitely many steps and the cost in pixels."""
    sde = VE() if sde is None else sde
    if sizes:
        nested = NestedSubspaces.from_subspaces([LowPass(shape, n) for n in sizes])
    else:
        nested = NestedSubspaces([], ambient_shape=shape)
    u = [sde.grid_parameter(t) for t in (sde.t_min, *times, sde.T)]
    shares = [(b - a) / (u[-1] - u[0]) for a, b in zip(u, u[1:])]
    cost = sum(share * level.dim / nested[0].dim for share, level in zip(shares, nested))
    return SimpleNamespace(
        **{"sde": sde, "subspaces": nested, "times": times, "shares": shares, "cost": cost, "threshold": 3e-3, **more}
    )


PLANS = [
    make_plan([], (), threshold=None),
    make_plan([16], (0.516,)),
    make_plan([20, 8], (0.415, 0.485), VP()),
    make_plan([24, 20, 16, 12, 8, 4], (0.1, 0.15, 0.2, 0.3, 0.4, 0.6), EDM()),
    make_plan([24, 23, 22, 4], (0.5, 0.51, 0.52, 0.98)),
    make_plan([3], (0.9,), shape=(12, 20)),
]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.sde!r} {plan.subspaces!r}")
def test_the_bars_of_a_plan_are_its_stages_and_their_area_its_cost(plan):
    (ax,) = plan_bar(plan).axes
    assert len(ax.patches) == len(plan.subspaces)
    right = 0.0
    for bar, share, level in zip(ax.patches, plan.shares, plan.subspaces):
        assert bar.get_x() == pytest.approx(right, abs=1e-12)
        right = bar.get_x() + bar.get_width()
        assert bar.get_width() == pytest.approx(share, abs=1e-12)
        assert bar.get_height() == pytest.approx(level.dim / plan.subspaces[0].dim) and bar.get_y() == 0
    assert right == pytest.approx(1)
    assert sum(bar.get_width() * bar.get_height() for bar in ax.patches) == pytest.approx(plan.cost)
    edges = [bar.get_x() for bar in ax.patches] + [1]
    np.testing.assert_allclose(ax.get_xticks(), edges, rtol=1e-12)
    times = (plan.sde.t_min, *plan.times, plan.sde.T)
    assert [label.get_text().strip() for label in ax.get_xticklabels()] == [f"{t:.3g}" for t in times]
    said = {text.get_text() for text in ax.texts}
    assert said == {
        f"{'×'.join(map(str, level.shape))}:  {100 * share:.3g} %" for share, level in zip(plan.shares, plan.subspaces)
    }
    when = "" if plan.threshold is None else ", threshold 0.003"
    assert ax.get_title(loc="left") == f"{100 * plan.cost:.3g} % of the full model's cost{when}"


def test_a_plan_costed_in_another_way_is_drawn_at_that_cost():
    plan = make_plan([16], (0.5,), cost=0.8, costs=(1.0, 0.6))
    (ax,) = plan_bar(plan).axes
    assert [bar.get_height() for bar in ax.patches] == [1.0, 0.6]
    assert sum(bar.get_width() * bar.get_height() for bar in ax.patches) == pytest.approx(plan.cost)


@given(st.lists(st.tuples(st.integers(1, 31), st.integers(1, 40)), max_size=6, unique_by=lambda pair: pair[0]))
@settings(max_examples=10)
def test_the_labels_of_a_plan_lie_over_no_block_and_over_no_other_label(stages):
    sizes = sorted((size for size, _ in stages), reverse=True)
    weights = np.cumsum([1, *(weight for _, weight in stages), 1])
    figure = plan_bar(make_plan(sizes, tuple(weights[:-2] / weights[-1]) if sizes else ()))
    figure.draw_without_rendering()
    (ax,) = figure.axes
    labels = [text.get_window_extent() for text in ax.texts]
    blocks = [bar.get_window_extent() for bar in ax.patches]
    for i, label in enumerate(labels):
        assert not any(label.overlaps(other) for other in labels[i + 1 :] + blocks)
        assert label.x1 <= figure.bbox.x1 and label.y1 <= ax.title.get_window_extent().y1
    rows = {}
    for tick in ax.get_xticklabels():
        rows.setdefault(tick.get_text().count("\n"), []).append(tick.get_window_extent())
    for row in rows.values():
        assert all(a.x1 < b.x0 for a, b in zip(row, row[1:]))


def pixels_of(ax):
    (image,) = ax.images
    assert (image.norm.vmin, image.norm.vmax) == (0, 1)
    return np.asarray(image.get_array())


@pytest.mark.parametrize(
    "subspace",
    [
        LowPass((3, 8, 6), (4, 3)),
        Downsampling((1, 8, 8), 4),
        Downsampling((6, 9), 3),
        Basis.spanning(np.random.default_rng(0).standard_normal((48, 20)), (3, 4, 4)),
    ],
    ids=repr,
)
def test_basis_vectors_are_the_columns_of_the_matrix_about_mid_grey(subspace):
    figure = basis_vectors(subspace, num=11, columns=4)
    n = min(11, subspace.dim)
    assert len(figure.axes) == n
    assert figure.axes[0].get_subplotspec().get_gridspec().get_geometry() == (-(-n // 4), min(n, 4))
    for ax, column in zip(figure.axes, subspace.matrix().T):
        v = column.reshape(subspace.ambient_shape)
        if v.ndim == 3:
            v = v[0] if v.shape[0] == 1 else np.moveaxis(v, 0, -1)
        shown = pixels_of(ax)
        # two roundings on a scale of 1
        np.testing.assert_allclose((2 * shown - 1) * np.abs(v).max(), v, rtol=0, atol=4 * np.finfo(float).eps)
        assert shown.min() >= 0 and shown.max() <= 1 and np.abs(shown - 0.5).max() == 0.5


def test_basis_vectors_of_signals_are_lines():
    subspace = LowPass((12,), 5, axes=(-1,))
    figure = basis_vectors(subspace, num=3)
    assert len(figure.axes) == 3
    for ax, v in zip(figure.axes, subspace.matrix().T):
        np.testing.assert_allclose(ax.lines[-1].get_ydata(), v, rtol=1e-12)
        assert ax.get_ylim()[0] == -ax.get_ylim()[1] and ax.get_ylim()[1] > np.abs(v).max()


@pytest.mark.parametrize("shape", [(3, 8, 6), (1, 8, 6), (8, 6)])
def test_projections_are_the_projections(shape, array, host, eps):
    edges = np.arange(6) > np.arange(1, 4)[:, None]  # from black to white: the lowest frequencies leave [0, 1]
    x = array(np.broadcast_to(edges.reshape(3, *(1,) * (len(shape) - 1), 6), (3, *shape)))
    subspaces = {"means": Downsampling(shape, 2), "image": LowPass(shape, 4)}  # the name of the first column, too
    figure = projections(x, subspaces)
    shown = [pixels_of(ax) for ax in figure.axes]
    assert [ax.get_title() for ax in figure.axes[:3]] == ["image", "means", "image"]
    for i in range(3):
        row = [host(x)[i], *(host(u.project(x))[i] for u in subspaces.values())]
        assert row[2].min() < -0.05 or row[2].max() > 1.05
        for column, image in enumerate(row):
            if image.ndim == 3:
                image = image[0] if shape[0] == 1 else np.moveaxis(image, 0, -1)
            np.testing.assert_allclose(shown[3 * i + column], np.clip(image, 0, 1), rtol=0, atol=eps)


def test_projections_of_a_tensor_with_a_gradient():
    x = torch.full((1, 4, 4), 0.5, requires_grad=True)
    shown = [pixels_of(ax) for ax in projections(x, {"means": Downsampling((4, 4), 2)}).axes]
    np.testing.assert_allclose(shown, 0.5, rtol=1e-6)


def radial(power):
    """Bin by bin in fractions, so that no coefficient falls on the wrong side of an edge."""
    shape, found = power.shape, {}
    for index in np.ndindex(*shape):
        square = sum(Fraction(f, n) ** 2 for f, n in zip(index, shape)) / len(shape)
        if square:
            scaled = square * max(shape) ** 2
            b = math.isqrt(scaled.numerator // scaled.denominator)
            found.setdefault(b, []).append((math.sqrt(square), power[index]))
    return np.asarray([np.mean(found[b], axis=0) for b in sorted(found)])


@pytest.mark.parametrize("shape", [(49,), (2,), (8, 8), (32, 32), (7, 15), (1, 9), (100, 3)])
def test_the_spectrum_is_the_mean_over_each_ring(shape):
    power = np.random.default_rng(0).exponential(size=shape)
    (ax,) = power_spectrum({"a": power}).axes
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    np.testing.assert_allclose(ax.lines[0].get_xydata(), radial(power), rtol=1e-12)


def test_the_spectrum_of_a_signal_is_its_power():
    power = 1 / np.arange(1, 50) ** 2
    (ax,) = power_spectrum({"a": power}).axes
    np.testing.assert_allclose(ax.lines[0].get_xydata(), np.stack([np.arange(1, 49) / 49, power[1:]], -1), rtol=1e-12)


def test_the_spectrum_averages_channels_and_takes_arrays_of_any_library(array, host):
    power = array(np.random.default_rng(0).exponential(size=(3, 8, 6)))
    (ax,) = power_spectrum({"three": power, "white": array(np.full((16, 16), 2.0))}).axes
    np.testing.assert_allclose(lines(ax, "three").get_xydata(), radial(host(power).mean(0)), rtol=1e-12)
    np.testing.assert_allclose(lines(ax, "white").get_ydata(), 2.0, rtol=1e-12)


DRAWN = {
    "divergence": lambda ax: divergence_curves(CURVES, THRESHOLD, ax=ax),
    "cost": lambda ax: cost_against_threshold([1e-3, 1e-2], {"a": [0.5, 0.25]}, ax=ax),
    "plan": lambda ax: plan_bar(PLANS[1], ax=ax),
    "power": lambda ax: power_spectrum({"a": np.ones(8)}, ax=ax),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_they_draw_on_the_axes_they_are_given(draw):
    figure = Figure(layout="constrained")
    part = figure.subfigures(1, 2)[1]
    first, second = figure.subfigs[0].subplots(), part.subplots()
    assert draw(second) is figure and second.get_xlabel() and not first.get_xlabel()
    bare = Figure()
    assert draw(bare.subplots()) is bare and len(bare.axes) == 1
    own = draw(None)
    assert type(own) is Figure and own not in (figure, bare)
    with pytest.raises(TypeError, match="ax is one matplotlib Axes, got ndarray"):
        draw(np.asarray([first, second]))


@pytest.mark.parametrize(
    "suffix, head", [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89PNG")]
)
def test_a_figure_is_saved_by_its_suffix(tmp_path, suffix, head):
    path = tmp_path / f"figure.of.mine.{suffix}"
    save(power_spectrum({"a": np.ones(8)}), str(path))
    assert path.read_bytes().startswith(head)
    assert list(tmp_path.iterdir()) == [path]


def test_dpi_is_pixels_an_inch(tmp_path):
    save(Figure(figsize=(2, 1)), tmp_path / "a.png")
    save(Figure(figsize=(2, 1)), tmp_path / "b.png", dpi=50)
    for name, size in (("a.png", (240, 120)), ("b.png", (100, 50))):
        with Image.open(tmp_path / name) as image:
            assert image.size == size


def test_a_figure_is_saved_whole_or_not_at_all(tmp_path):
    class Broken(Figure):
        def savefig(self, path, **options):
            path.write_bytes(b"half of it")
            raise OSError("the disk is full")

    path = tmp_path / "a.png"
    path.write_bytes(b"the old one")
    with pytest.raises(OSError, match="disk is full"):
        save(Broken(), path)
    assert path.read_bytes() == b"the old one" and list(tmp_path.iterdir()) == [path]
    with path.open("rb") as reader:  # who reads the old one reads it to its end
        save(Figure(figsize=(1, 1)), path)
        assert reader.read() == b"the old one" and path.read_bytes().startswith(b"\x89PNG")


ONE = {"a": falling(0.0, 4)}
GREY = np.full((2, 4, 4), 0.5)
MEANS = {"means": Downsampling((4, 4), 2)}


class Odd(Subspace):
    def __init__(self):
        super().__init__((2, 4, 4), (2,))

    _restrict = _embed = None


@pytest.mark.parametrize(
    "error, message, call",
    [
        (TypeError, "curves maps each name to a DivergenceCurve, got list", lambda: divergence_curves([ONE["a"]])),
        (TypeError, "but 'a' to tuple", lambda: divergence_curves({"a": (1, 2)})),
        (ValueError, "curves is empty", lambda: divergence_curves({})),
        (ValueError, "every value of the curves is 0", lambda: divergence_curves({"a": DivergenceCurve((1,), (0,))})),
        (ValueError, "must be positive, got 0", lambda: divergence_curves(ONE, 0)),
        (ValueError, "must be positive, got nan", lambda: divergence_curves(ONE, math.nan)),
        (ValueError, "sequence of positive numbers", lambda: cost_against_threshold([0.0], {"a": [1]})),
        (ValueError, "sequence of positive numbers", lambda: cost_against_threshold([], {"a": []})),
        (ValueError, "a has 1 costs for 2 thresholds", lambda: cost_against_threshold([1, 2], {"a": [1]})),
        (ValueError, r"in \[0, 1\]; a has \[1.5\]", lambda: cost_against_threshold([1], {"a": [1.5]})),
        (ValueError, r"in \[0, 1\]; a has \[-0.5\]", lambda: cost_against_threshold([1], {"a": [-0.5]})),
        (TypeError, "costs maps each name to a sequence", lambda: cost_against_threshold([1], {"a": 0.5})),
        (TypeError, "this SimpleNamespace lacks sde, cost", lambda: plan_bar(lacking("sde", "cost"))),
        (ValueError, "2 levels has 1 times and 2 shares, got 2", lambda: plan_bar(make_plan([16], (0.5, 0.6)))),
        (ValueError, "sum to 1", lambda: plan_bar(make_plan([16], (0.5,), shares=(0.5, 0.4)))),
        (ValueError, "not be negative", lambda: plan_bar(make_plan([16], (0.5,), shares=(1.5, -0.5)))),
        (TypeError, "expected a Subspace, got ndarray", lambda: basis_vectors(np.eye(3))),
        (ValueError, r"but those of this subspace are \(2, 4, 4\)", lambda: basis_vectors(Odd())),
        (ValueError, "num must be at least 1, got 0", lambda: basis_vectors(MEANS["means"], num=0)),
        (ValueError, "columns must be at least 1", lambda: basis_vectors(MEANS["means"], columns=0)),
        (TypeError, "expected an array", lambda: projections(GREY.tolist(), MEANS)),
        (ValueError, r"each image of x is \(2, 4, 4\)", lambda: projections(np.zeros((1, 2, 4, 4)), MEANS)),
        (ValueError, "no images", lambda: projections(GREY[:0], MEANS)),
        (ValueError, r"arrays \(4, 4\), each image of x is \(3, 4\)", lambda: projections(np.zeros((4, 3, 4)), MEANS)),
        (ValueError, r"not \[-1, 1\]: scale or clip", lambda: projections(np.sign(GREY - [[0], [1], [0], [0]]), MEANS)),
        (ValueError, r"not \[nan, nan\]", lambda: projections(GREY * math.nan, MEANS)),
        (ValueError, "takes floating-point numbers", lambda: projections(np.ones((1, 4, 4), int), MEANS)),
        (TypeError, "expected an array", lambda: power_spectrum({"a": [1.0, 2.0]})),
        (ValueError, r"a has \(1, 2, 3, 4\)", lambda: power_spectrum({"a": np.ones((1, 2, 3, 4))})),
        (ValueError, r"a has \(3, 1, 1\)", lambda: power_spectrum({"a": np.ones((3, 1, 1))})),
        (ValueError, "finite, not negative and not all 0", lambda: power_spectrum({"a": -np.ones(4)})),
        (ValueError, "finite, not negative and not all 0", lambda: power_spectrum({"a": np.full(4, math.inf)})),
        (ValueError, "finite, not negative and not all 0", lambda: power_spectrum({"a": np.eye(4)[0]})),
        (TypeError, "a Figure and then a path, got a str", lambda: save("a.png", Figure())),
        (ValueError, "written as .png, .svg, .pdf, got a.jpg", lambda: save(Figure(), "a.jpg")),
        (ValueError, "dpi must be positive", lambda: save(Figure(), "a.png", dpi=0)),
    ],
    ids=str,
)
def test_bad_input_is_one_clear_sentence(error, message, call):
    with pytest.raises(error, match=message):
        call()


def lacking(*names):
    return SimpleNamespace(**{k: v for k, v in vars(PLANS[1]).items() if k not in names})


FRESH = """
import sys
import numpy as np
import subspace_sde, subspace_sde.plotting
assert "matplotlib" not in sys.modules
if MISSING:
    sys.modules["matplotlib"] = None
try:
    subspace_sde.plotting.power_spectrum({"a": np.ones(4)})
except ImportError as error:
    print(error)
assert "matplotlib.pyplot" not in sys.modules and "torch" not in sys.modules
"""


@pytest.mark.parametrize(
    "missing, said",
    [(False, ""), (True, 'the pictures are drawn by matplotlib: pip install "subspace-sde[plot]"')],
    ids=["there", "missing"],
)
def test_matplotlib_is_imported_by_the_first_picture_and_pyplot_never(missing, said):
    code = FRESH.replace("MISSING", str(missing))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == said
