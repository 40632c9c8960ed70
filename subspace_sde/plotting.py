"""Pictures: the divergence over time (paper, Fig. 2), what a plan costs, and what a subspace keeps.

Needs the extra ``plot`` (matplotlib, imported by the first function that draws). Every function returns the Figure.
Those that take `ax` draw on it; without one they make a figure that pyplot does not know of, so that nothing needs a
display or has to be closed. The i-th name of a mapping has the i-th colour in each of them.
"""

from __future__ import annotations

import itertools
import math
import operator
import os
from collections.abc import Mapping, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from .arrays import namespace
from .backend import backend_of
from .divergence.estimate import DivergenceCurve, check_threshold
from .subspaces import Subspace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Numbers: TypeAlias = np.ndarray[Any, Any]

# Okabe and Ito's colours, told apart by every kind of sight
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("-", "--", "-.", ":")  # once the colours are used up
_SUFFIXES = (".png", ".svg", ".pdf")


def divergence_curves(
    curves: Mapping[str, DivergenceCurve], threshold: float | None = None, ax: Axes | None = None
) -> Figure:
    """The paper's Fig. 2: D_F against t on a logarithmic axis, and the t_k that a threshold gives.

    Parameters
    ----------
    curves: the name and the curve of each subspace; a curve with standard errors gets a band of two on either side.
    threshold: drawn as a dashed line, with a mark and a tick on the axis at each ``curve.time_at(threshold)``; the
        legend gives that t, or says that the curve does not meet it.
    ax: the axes to draw on.

    The axis of t is logarithmic for an SDE whose own grid is not uniform in t (EDM), where t spans two decades.

    Raises
    ------
    ValueError: no curves, nothing but zeros, or a threshold that is not positive.

    >>> from subspace_sde import DivergenceCurve
    >>> curve = DivergenceCurve((0.1, 0.2, 0.3), (1e-1, 1e-2, 1e-3))
    >>> figure = divergence_curves({"8×8": curve}, threshold=1e-2)
    >>> figure.axes[0].get_yscale()
    'log'
    """
    _check_mapping("curves", curves, "DivergenceCurve", DivergenceCurve)
    if threshold is not None:
        check_threshold(threshold)
    if threshold is None and not any(v > 0 for curve in curves.values() for v in curve.values):
        raise ValueError("every value of the curves is 0, which a logarithmic axis cannot show")
    figure, ax = _axes(ax, (6.6, 3.6))
    ax.set_yscale("log")
    if _logarithmic(list(curves.values())):
        ax.set_xscale("log")
    for style, (name, curve) in zip(_styles(len(curves)), curves.items()):
        label = name
        if threshold is not None:
            t = _met(curve, threshold)
            label += ":  not met" if t is None else f":  $t$ = {t:.3g}"
            if t is not None:
                ax.plot([t], [threshold], "o", color=style["color"], ms=7, mec="white", zorder=3)
                foot = ax.get_xaxis_transform()  # t along the axis, the height of the axes upwards
                ax.plot([t, t], [0, 0.05], color=style["color"], lw=2, transform=foot)
        ax.plot(curve.times, curve.values, **style, label=label)
    if threshold is not None:
        ax.axhline(threshold, color="0.4", lw=1, ls="--", zorder=1, label=f"threshold {threshold:g}")
    _bands(ax, curves)
    _finish(ax, "$t$", "orthogonal Fisher divergence $D_F$")
    _legend(ax)
    return figure


def _met(curve: DivergenceCurve, threshold: float) -> float | None:
    """t_k, or None where the curve does not come down to the threshold."""
    try:
        return curve.time_at(threshold)
    except ValueError:
        return None


def _logarithmic(curves: Sequence[DivergenceCurve]) -> bool:
    first, last = min(c.times[0] for c in curves), max(c.times[-1] for c in curves)
    if not 0 < 100 * first <= last:
        return False
    sdes = [c.sde for c in curves]
    u = [None if sde is None else [sde.grid_parameter(t) for t in (first, (first + last) / 2, last)] for sde in sdes]
    return all(v is not None and abs(v[0] - 2 * v[1] + v[2]) > 1e-6 * abs(v[2] - v[0]) for v in u)


def _bands(ax: Axes, curves: Mapping[str, DivergenceCurve]) -> None:
    """Two standard errors on either side; the lower edge, which may be 0 or less, does not move the axis."""
    edges = []
    for curve in curves.values():
        values, error = np.asarray(curve.values), 2 * np.asarray(curve.stderr or 0.0)
        edges.append((values - error, values + error))
        ax.update_datalim(list(zip(curve.times, edges[-1][1])))
    ax.autoscale_view()
    limits = ax.get_ylim()
    for style, curve, (low, high) in zip(_styles(len(curves)), curves.values(), edges):
        if curve.stderr is not None:
            ax.fill_between(curve.times, low, high, color=style["color"], alpha=0.2, lw=0)
    ax.set_ylim(limits)


def cost_against_threshold(
    thresholds: Sequence[float], costs: Mapping[str, Sequence[float | None]], ax: Axes | None = None
) -> Figure:
    """What sampling costs, as a share of the full model's cost, for each threshold of the divergence.

    Parameters
    ----------
    thresholds: positive, in any order; the axis is logarithmic.
    costs: a cost in [0, 1] for each threshold; None or NaN, where no plan meets it, leaves a gap.
    ax: the axes to draw on.

    Raises
    ------
    ValueError: thresholds that are not positive, another number of costs, or a cost outside [0, 1].

    >>> figure = cost_against_threshold([1e-3, 3e-3, 1e-2], {"16×16": [None, 0.64, 0.55]})
    >>> figure.axes[0].lines[0].get_xdata()
    array([0.001, 0.003, 0.01 ])
    """
    x = np.asarray([float(t) for t in thresholds])
    if x.size == 0 or not np.all((x > 0) & (x < np.inf)):
        raise ValueError(f"thresholds must be a sequence of positive numbers, got {x.tolist()}")
    _check_mapping("costs", costs, "sequence", Sized)
    found = {name: np.asarray([math.nan if c is None else float(c) for c in cost]) for name, cost in costs.items()}
    for name, y in found.items():
        if y.shape != x.shape:
            raise ValueError(f"{name} has {len(y)} costs for {len(x)} thresholds: give one for each, None for no plan")
        if np.any((y < 0) | (y > 1 + 1e-9)):
            raise ValueError(f"a cost is a share of the full model's, in [0, 1]; {name} has {y.tolist()}")
    figure, ax = _axes(ax, (6.6, 3.6))
    from matplotlib.ticker import PercentFormatter

    order = np.argsort(x)
    ax.set_xscale("log")
    for style, (name, y) in zip(_styles(len(found)), found.items()):
        ax.plot(x[order], y[order], **style, marker="o", ms=4, label=name, clip_on=False)
    ax.update_datalim([(x.min(), 0), (x.max(), 1)])  # thresholds that nothing meets are part of the picture
    ax.autoscale_view()
    ax.set_ylim(0, 1)
    ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    _finish(ax, "threshold of the divergence $D_F$", "share of the full model's cost")
    _legend(ax)
    return figure


def plan_bar(plan: Any, ax: Axes | None = None) -> Figure:
    """A plan as a bar from t_min to T: each stage as wide as its share of the steps, as high as one costs.

    So the coloured area is the cost. In pixels the height is the dimension, the full space's taken as 1.

    Parameters
    ----------
    plan: an object with `sde`, `subspaces` (its K + 1 levels), `times` (t_1 < … < t_K), `shares` (of the solver's
        steps, for each level), `cost` (relative to the full model's) and `threshold` (or None); `costs`, of an
        evaluation on each level relative to the full one, are the dimensions where the plan does not have them.
    ax: the axes to draw on.

    Raises
    ------
    ValueError: times or shares that do not fit the levels, or shares that are negative or do not sum to 1.

    >>> from types import SimpleNamespace
    >>> from subspace_sde import VE, Downsampling, NestedSubspaces
    >>> nested = NestedSubspaces([Downsampling((3, 32, 32), 2)])
    >>> plan = SimpleNamespace(
    ...     sde=VE(), subspaces=nested, times=(0.516,), shares=(0.516, 0.484), cost=0.637, threshold=3e-3
    ... )
    >>> plan_bar(plan).axes[0].get_title(loc="left")
    "63.7 % of the full model's cost, threshold 0.003"
    """
    needed = ("sde", "subspaces", "times", "shares", "cost", "threshold")
    if missing := [name for name in needed if not hasattr(plan, name)]:
        raise TypeError(f"a plan has {', '.join(needed)}; this {type(plan).__name__} lacks {', '.join(missing)}")
    levels, times, shares = list(plan.subspaces), list(plan.times), [float(s) for s in plan.shares]
    if len(times) != len(levels) - 1 or len(shares) != len(levels):
        raise ValueError(
            f"a plan of {len(levels)} levels has {len(levels) - 1} times and {len(levels)} shares, "
            f"got {len(times)} and {len(shares)}"
        )
    if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"the shares of the steps must not be negative and sum to 1, got {shares}")
    figure, ax = _axes(ax, (6.6, 2.8))
    from matplotlib.ticker import PercentFormatter

    edges = [0.0, *np.cumsum(shares)]
    heights = list(getattr(plan, "costs", [level.dim / levels[0].dim for level in levels]))
    ax.bar(edges[:-1], heights, shares, align="edge", color=[s["color"] for s in _styles(len(levels))], lw=0)
    # from the right, where the blocks are lowest: each label starts at its block's left end, above all that follow it
    foot = 0.0
    for left, height, share, level in reversed(list(zip(edges, heights, shares, levels))):
        foot = max(foot, height)
        if foot > height:
            ax.plot([left, left], [height, foot + 0.06], color="0.4", lw=0.8)
        text = f"{'×'.join(map(str, level.shape))}:  {100 * share:.3g} %"
        ax.annotate(text, (left, foot), xytext=(3, 2), textcoords="offset points", va="bottom")
        foot += 0.11
    rows: list[float] = []  # the right end of the last number in each row under the axis
    labels = []
    for at, t in zip(edges, (plan.sde.t_min, *times, plan.sde.T)):
        row = next((i for i, end in enumerate(rows) if at - end > 0.1), len(rows))
        rows[row : row + 1] = [at]
        labels.append("\n" * row + f"{t:.3g}")
    ax.set_xticks(edges, labels)
    ax.set(xlim=(0, 1), ylim=(0, foot), yticks=[0, 0.5, 1])
    ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    when = "" if plan.threshold is None else f", threshold {plan.threshold:g}"
    ax.set_title(f"{100 * plan.cost:.3g} % of the full model's cost{when}", loc="left")
    _finish(ax, "$t$ (widths: share of the solver's steps)", "cost of a step")
    return figure


def basis_vectors(subspace: Subspace, num: int = 16, columns: int = 8) -> Figure:
    """The first basis vectors: what U makes of the unit vectors of its coordinates, in C order.

    Each is scaled for itself, with 0 as mid-grey and its largest number, or the negative of it, white or black. A
    1-D space gives line plots.

    Parameters
    ----------
    subspace: of arrays of shape (h, w), (1, h, w), (3, h, w) or (n,).
    num: how many at most.
    columns: how many in a row.

    Raises
    ------
    ValueError: another ambient shape, or a number below 1.

    >>> from subspace_sde import LowPass
    >>> len(basis_vectors(LowPass((3, 32, 32), 8), num=5).axes)
    5
    """
    if not isinstance(subspace, Subspace):
        raise TypeError(f"expected a Subspace, got {type(subspace).__name__}")
    for name, value in (("num", num), ("columns", columns)):
        if operator.index(value) < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    shape = subspace.ambient_shape
    if len(shape) != 1:
        _check_picture("those of this subspace are", shape)
    n = min(num, subspace.dim)
    vectors = subspace.embed(np.eye(n, subspace.dim).reshape(n, *subspace.shape))
    columns = min(columns, n)
    rows = -(-n // columns)
    cell = (1.2, 0.8) if len(shape) == 1 else (0.9, 0.9 * shape[-2] / shape[-1])
    figure = _figure((columns * cell[0], rows * cell[1]))
    for i, v in enumerate(vectors):
        ax, largest = figure.add_subplot(rows, columns, i + 1), float(np.max(np.abs(v)))
        if len(shape) == 1:
            ax.axhline(0, color="0.7", lw=0.8)
            ax.plot(np.arange(shape[0]), v, color=_COLOURS[0], lw=1.5)
            ax.set_ylim(-1.05 * largest, 1.05 * largest)
            ax.set_axis_off()
        else:
            _show(ax, 0.5 + 0.5 * v / largest)
    return figure


def projections(x: Any, subspaces: Mapping[str, Subspace]) -> Figure:
    """Images beside their projections: a row for each image, a column for each subspace.

    Parameters
    ----------
    x: (N, 1, h, w), (N, 3, h, w) or (N, h, w), floats in [0, 1]; an array of any library.
    subspaces: the name and the subspace of each column; what a projection has outside [0, 1] is clipped.

    Raises
    ------
    ValueError: no images, numbers outside [0, 1] or NaN, or a subspace of arrays of another shape.

    >>> from subspace_sde import Downsampling
    >>> figure = projections(np.full((2, 3, 8, 8), 0.5), {"4×4": Downsampling((3, 8, 8), 2)})
    >>> len(figure.axes)
    4
    """
    namespace(x)
    shape, backend = tuple(x.shape[1:]), backend_of(x)
    _check_picture("each image of x is", shape)
    if x.shape[0] == 0:
        raise ValueError("no images: x has length 0")
    _check_mapping("subspaces", subspaces, "Subspace", Subspace)
    for name, subspace in subspaces.items():
        if subspace.ambient_shape != shape:
            raise ValueError(f"{name} is a subspace of arrays {subspace.ambient_shape}, each image of x is {shape}")
    pixels = backend.to_numpy(x).astype(np.float64)
    if not np.all((pixels >= -1e-6) & (pixels <= 1 + 1e-6)):
        raise ValueError(f"images must lie in [0, 1], not [{pixels.min():.3g}, {pixels.max():.3g}]: scale or clip them")
    columns = [("image", pixels), *((name, backend.to_numpy(u.project(x))) for name, u in subspaces.items())]
    figure = _figure((1.3 * len(columns), 1.3 * x.shape[0] * shape[-2] / shape[-1] + 0.25))
    axes = figure.subplots(x.shape[0], len(columns), squeeze=False)
    for column, (name, images) in zip(axes.T, columns):
        column[0].set_title(name)
        for ax, image in zip(column, images):
            _show(ax, np.clip(image, 0, 1))
    return figure


def power_spectrum(power: Mapping[str, Any], ax: Axes | None = None) -> Figure:
    """Power against radial frequency, both logarithmic.

    The coefficient with frequencies f_a, 0 ≤ f_a < n_a along axes of length n_a, has the radial frequency
    r = √(mean over the axes of (f_a/n_a)²), which is near 1 where every axis has its highest. The line has the mean
    power of the coefficients in each of the bins b/B ≤ r < (b + 1)/B, with B the length of the longest axis, against
    their mean r. The zero frequency is left out, and so are empty bins.

    Parameters
    ----------
    power: a name and an array of DCT-II powers, of shape (c, h, w), whose channels are averaged, (h, w) or (n,).
    ax: the axes to draw on.

    Raises
    ------
    ValueError: another shape, nothing but zeros, a negative power or one that is not finite.

    >>> figure = power_spectrum({"1/(1 + f)²": 1.0 / np.arange(1, 9) ** 2})
    >>> figure.axes[0].lines[0].get_xdata()[:3]
    array([0.125, 0.25 , 0.375])
    """
    _check_mapping("power", power, "array", object)
    lines = {name: _radial(name, p) for name, p in power.items()}
    figure, ax = _axes(ax, (6.6, 3.6))
    for style, (name, (r, mean)) in zip(_styles(len(lines)), lines.items()):
        ax.plot(r, mean, **style, label=name)
    ax.set(xscale="log", yscale="log")
    _finish(ax, "radial frequency (1: the highest on every axis)", "mean power")
    _legend(ax)
    return figure


def _radial(name: str, powers: Any) -> tuple[_Numbers, _Numbers]:
    """The mean r and the mean power of every bin that is not empty."""
    namespace(powers)
    power = backend_of(powers).to_numpy(powers).astype(np.float64)
    if power.ndim not in (1, 2, 3) or power.size == 0 or max(power.shape[-2:]) < 2:
        raise ValueError(
            f"powers have shape (c, h, w), (h, w) or (n,), with more than one frequency; {name} has {power.shape}"
        )
    if not (np.all(np.isfinite(power)) and np.all(power >= 0) and np.any(power.reshape(-1)[1:] > 0)):
        raise ValueError(f"powers are finite, not negative and not all 0, but those of {name} are not so")
    if power.ndim == 3:
        power = power.mean(axis=0)
    squares = np.meshgrid(*((np.arange(n) / n) ** 2 for n in power.shape), indexing="ij")
    r = np.sqrt(np.mean(squares, axis=0)).reshape(-1)[1:]
    bins = np.floor(r * max(power.shape) + 1e-9).astype(int)  # f/n·n may round to just below f
    count = np.bincount(bins)
    sums = (np.bincount(bins, weights)[count > 0] for weights in (r, power.reshape(-1)[1:]))
    mean_r, mean = (total / count[count > 0] for total in sums)
    return mean_r, mean


def save(figure: Figure, path: str | Path, dpi: float = 120) -> None:
    """Write the figure as ``.png``, ``.svg`` or ``.pdf``; the file appears under its name when it is whole.

    Raises
    ------
    ValueError: another suffix, or a `dpi` that is not positive.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(power_spectrum({"white": np.ones(8)}), Path(folder) / "power.png")
    ...     [file.name for file in Path(folder).iterdir()]
    ['power.png']
    """
    if not hasattr(figure, "savefig"):
        raise TypeError(f"save takes a Figure and then a path, got a {type(figure).__name__} first")
    path = Path(path)
    if path.suffix.lower() not in _SUFFIXES:
        raise ValueError(f"a figure is written as {', '.join(_SUFFIXES)}, got {path.name}")
    if not 0 < dpi < math.inf:
        raise ValueError(f"dpi must be positive, got {dpi}")
    fresh = path.with_name(path.name + ".new")
    try:
        figure.savefig(fresh, dpi=dpi, format=path.suffix[1:].lower())
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def _figure(size: tuple[float, float]) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('the pictures are drawn by matplotlib: pip install "subspace-sde[plot]"') from error
    return Figure(figsize=size, layout="constrained")


def _axes(ax: Axes | None, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """The caller's axes, or those of a new figure of `size` in inches; and the whole figure they are on."""
    if ax is None:
        figure = _figure(size)
        return figure, figure.subplots()
    if not hasattr(ax, "get_xaxis_transform"):
        raise TypeError(f"ax is one matplotlib Axes, got {type(ax).__name__}")
    return ax.figure.figure, ax  # of a SubFigure, the figure it is a part of


def _styles(count: int) -> list[dict[str, Any]]:
    dashes = (d for d in itertools.cycle(_DASHES) for _ in _COLOURS)
    return [{"color": c, "linestyle": d} for c, d, _ in zip(itertools.cycle(_COLOURS), dashes, range(count))]


def _finish(ax: Axes, xlabel: str, ylabel: str) -> None:
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.spines[["top", "right"]].set_visible(False)


def _legend(ax: Axes) -> None:
    """In a corner that nothing drawn reaches; where there is none, beside the axes if the figure makes room for it."""
    legend, figure = ax.legend(loc="upper right", frameon=False), ax.figure.figure
    figure.draw_without_rendering()  # only then is it known where everything is
    drawn = [(line.get_transform().transform_path(line.get_path()), False) for line in ax.lines]
    drawn += [(band.get_transform().transform_path(p), True) for band in ax.collections for p in band.get_paths()]
    for corner in ("upper right", "lower left", "upper left", "lower right"):
        legend.set_loc(corner)
        box = legend.get_window_extent().padded(4)
        if not any(path.intersects_bbox(box, filled) for path, filled in drawn):
            return
    if figure.get_layout_engine() is None:
        legend.set_loc("best")
    else:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)


def _show(ax: Axes, image: _Numbers) -> None:
    """(h, w), (1, h, w) or (3, h, w) in [0, 1], pixel by pixel."""
    pixels = image if image.ndim == 2 else image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_axis_off()


def _check_picture(what: str, shape: tuple[int, ...]) -> None:
    if not (len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3))) or 0 in shape:
        raise ValueError(f"pictures have shape (h, w), (1, h, w) or (3, h, w), but {what} {shape}")


def _check_mapping(name: str, given: Any, kind: str, types: Any) -> None:
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} maps each name to a {kind}, got {type(given).__name__}")
    if not given:
        raise ValueError(f"{name} is empty: give at least one name and its {kind}")
    for key, value in given.items():
        if not isinstance(value, types):
            raise TypeError(f"{name} maps each name to a {kind}, but {key!r} to {type(value).__name__}")
