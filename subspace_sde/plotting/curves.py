"""The divergence over time (eq. 14; the paper's Fig. 2), and where it meets a threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..border import checked
from ..divergence.estimate import DivergenceCurve, check_threshold
from .figures import axes_of, check_any, finish, legend, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@checked
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
    check_any("curves", curves, "DivergenceCurve")
    if threshold is not None:
        check_threshold(threshold)
    if threshold is None and not any(v > 0 for curve in curves.values() for v in curve.values):
        raise ValueError("every value of the curves is 0, which a logarithmic axis cannot show")
    figure, ax = axes_of(ax, (6.6, 3.6))
    ax.set_yscale("log")
    if _logarithmic(list(curves.values())):
        ax.set_xscale("log")
    for style, (name, curve) in zip(styles(len(curves)), curves.items()):
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
    finish(ax, "$t$", "orthogonal Fisher divergence $D_F$")
    legend(ax)
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
    for style, curve, (low, high) in zip(styles(len(curves)), curves.values(), edges):
        if curve.stderr is not None:
            ax.fill_between(curve.times, low, high, color=style["color"], alpha=0.2, lw=0)
    ax.set_ylim(limits)
