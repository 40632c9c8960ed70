"""The pictures of the study: quality against cost, the paper's Fig. 3, and samples from the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from subspace_sde.plotting import save
from subspace_sde.plotting.figures import COLOURS, finish, new_figure

from ..evaluation import standard_error
from .cells import DPM, HEUN, PAPER, PLANS
from .findings import Point, pareto

MARKS = {DPM: "o", HEUN: "s", PAPER: "^"}
STRIPS = 12


def plot_front(results: Sequence[dict[str, Any]], found: Sequence[Point], figure: str, path: Path) -> None:
    """Every cell's distance against its cost, a panel for each kind of networks, with their Pareto front."""
    kinds = list(dict.fromkeys(point.networks for point in found))
    picture = new_figure((5.2 * len(kinds) + 1.6, 4.2))
    panels = picture.subplots(1, len(kinds), squeeze=False, sharey=True)[0]
    for axes, kind in zip(panels, kinds):
        front = pareto([point for point in found if point.networks == kind])
        axes.step([p.cost for p in front], [p.value for p in front], where="post", color="0.6", lw=1, zorder=1)
        for row in results:
            if row["networks"] == kind and figure in row["figures"]:
                values = row["figures"][figure]
                style = {"color": _colour(row["plan"]), "marker": MARKS[row["solver"]], "ms": 5, "lw": 0.8}
                axes.errorbar(row["cost"], values[0], yerr=standard_error(values), **style)
        # a kernel distance may be negative
        scale = "log" if all(point.value > 0 for point in found) else "linear"
        axes.set(xscale="log", yscale=scale, title=f"{kind} networks")
        _name_ticks(axes.xaxis)
        if scale == "log":
            _name_ticks(axes.yaxis)
        finish(axes, "cost: pixels over the paper's 2000 evaluations", f"{figure} (less is better)")
    for label, style in _legend(results).items():
        panels[-1].plot([], [], label=label, **style)
    panels[-1].legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)
    save(picture, path)


def plot_thresholds(results: Sequence[dict[str, Any]], figure: str, path: Path) -> bool:
    """The paper's Fig. 3: distance against the threshold of D_F, for every solver that has two; False for none.

    The bars are those of the difference from the full model, where it was sampled.
    """
    groups: dict[tuple[str, str, int], dict[str, dict[float, list[float]]]] = {}
    full: dict[tuple[str, str, int], list[float]] = {}
    for row in results:
        group = (row["networks"], row["solver"], row["steps"])
        if figure in row["figures"] and row["threshold"] is None:
            full[group] = row["figures"][figure]
        elif figure in row["figures"]:
            groups.setdefault(group, {}).setdefault(row["plan"], {})[row["threshold"]] = row["figures"][figure]
    groups = {g: lines for g, lines in groups.items() if max(map(len, lines.values())) > 1}
    if not groups:
        return False
    picture = new_figure((4.6 * len(groups), 3.8))
    for axes, (group, lines) in zip(picture.subplots(1, len(groups), squeeze=False)[0], groups.items()):
        for plan, values in lines.items():
            thresholds = sorted(values)
            shown = [values[t][0] for t in thresholds]
            errors = [standard_error(values[t], full.get(group)) for t in thresholds]
            axes.errorbar(thresholds, shown, yerr=errors, marker="o", ms=4, color=_colour(plan), label=plan, capsize=2)
        if group in full:
            axes.axhline(full[group][0], color="0.4", ls="--", lw=1, label="full")
        axes.set(xscale="log", title=f"{group[0]}, {group[2]} steps of {group[1]}")
        _name_ticks(axes.xaxis)
        finish(axes, "threshold of $D_F$", figure)
        axes.legend(frameon=False, fontsize=8)
    save(picture, path)
    return True


def strips_of(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells whose samples are shown: those of one solver and number of steps, with which most were drawn."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in results:
        if row["threshold"] in (None, 3e-3):
            groups.setdefault((row["solver"], row["steps"]), []).append(row)
    shown = max(groups.values(), key=len, default=[])
    return sorted(shown, key=lambda row: (row["networks"], list(PLANS).index(row["plan"])))


def _name_ticks(axis: Axis) -> None:
    """1, 2 and 5 times the powers of ten, as numbers; matplotlib's own names overlap within a decade."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def _colour(plan: str) -> str:
    return COLOURS[list(PLANS).index(plan) % len(COLOURS)]


def _legend(results: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    plans = [plan for plan in PLANS if any(row["plan"] == plan for row in results)]
    solvers = [solver for solver in MARKS if any(row["solver"] == solver for row in results)]
    found: dict[str, dict[str, Any]] = {plan: {"color": _colour(plan), "marker": ".", "lw": 0} for plan in plans}
    found |= {solver: {"color": "0.3", "marker": MARKS[solver], "lw": 0, "ms": 5} for solver in solvers}
    return found | {"Pareto front": {"color": "0.6", "lw": 1}}
