"""What a plan costs, over its stages and against the threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..border import checked
from .figures import axes_of, check_any, finish, legend, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@checked
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
    check_any("costs", costs, "sequence")
    found = {name: np.asarray([math.nan if c is None else float(c) for c in cost]) for name, cost in costs.items()}
    for name, y in found.items():
        if y.shape != x.shape:
            raise ValueError(f"{name} has {len(y)} costs for {len(x)} thresholds: give one for each, None for no plan")
        if np.any((y < 0) | (y > 1 + 1e-9)):
            raise ValueError(f"a cost is a share of the full model's, in [0, 1]; {name} has {y.tolist()}")
    figure, ax = axes_of(ax, (6.6, 3.6))
    from matplotlib.ticker import PercentFormatter

    order = np.argsort(x)
    ax.set_xscale("log")
    for style, (name, y) in zip(styles(len(found)), found.items()):
        ax.plot(x[order], y[order], **style, marker="o", ms=4, label=name, clip_on=False)
    ax.update_datalim([(x.min(), 0), (x.max(), 1)])  # thresholds that nothing meets are part of the picture
    ax.autoscale_view()
    ax.set_ylim(0, 1)
    ax.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    finish(ax, "threshold of the divergence $D_F$", "share of the full model's cost")
    legend(ax)
    return figure


@checked
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
    ...     sde=VE(),
    ...     subspaces=nested,
    ...     times=(0.516,),
    ...     shares=(0.516, 0.484),
    ...     cost=0.637,
    ...     threshold=3e-3,
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
    figure, ax = axes_of(ax, (6.6, 2.8))
    from matplotlib.ticker import PercentFormatter

    edges = [0.0, *np.cumsum(shares)]
    heights = list(getattr(plan, "costs", [level.dim / levels[0].dim for level in levels]))
    ax.bar(edges[:-1], heights, shares, align="edge", color=[s["color"] for s in styles(len(levels))], lw=0)
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
    finish(ax, "$t$ (widths: share of the solver's steps)", "cost of a step")
    return figure
