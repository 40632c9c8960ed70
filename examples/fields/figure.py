"""The picture of a `Comparison`: fields side by side, their energy and steepness, D_F, and the plan."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure, SubFigure

from subspace_sde.plotting import plan_bar, save

from .comparison import Comparison
from .quality import increments, spectrum
from .water import bottom, places

# Okabe and Ito's colours, told apart by every kind of sight
COLOURS = {
    "simulated": "#000000", "full": "#D55E00", "staged (network)": "#CC79A7", "staged (covariance)": "#0072B2",
    "Gaussian": "#E69F00",
}  # fmt: skip
TITLES = {
    "simulated": "simulated",
    "full": "full diffusion",
    "staged (covariance)": "staged (covariance)",
    "Gaussian": "Gaussian",
}
STYLE: Any = {
    "font.size": 11,
    "axes.titlesize": 11.5,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
ROWS, LOW, HIGH = 6, -0.22, 0.2


def draw(found: Comparison, path: Path) -> None:
    """Write the picture as a PNG."""
    with rc_context(STYLE):
        figure = Figure(figsize=(14.4, 8.6), layout="constrained")
        halves: Any = figure.subfigures(1, 2, width_ratios=(1, 1.02), wspace=0.02)
        left, right = halves
        _fields(left, found)
        grid = right.subplots(2, 2)
        _spectra(grid[0, 0], found)
        _increments(grid[0, 1], found)
        _divergence(grid[1, 0], found)
        plan_bar(found.first, grid[1, 1])
        grid[1, 1].set_title(f"plan: {found.first.cost:.0%} of the operations", loc="left")
        save(figure, path, dpi=100)


def _fields(figure: SubFigure, found: Comparison) -> None:
    """The water's surface, filled, and its velocity, of typical fields: quantiles of their energy."""
    axes = figure.subplots(ROWS, len(TITLES), sharex=True, sharey=True)
    for column, (name, title) in zip(axes.T, TITLES.items()):
        fields = found.fields[name]
        order = np.argsort(np.sum(fields**2, axis=1))
        x = places(fields.shape[1] // 2)
        for ax, part in zip(column, np.linspace(0.25, 0.95, ROWS)):
            surface, velocity = np.split(fields[order[int(part * (len(fields) - 1))]], 2)
            ax.fill_between(x, LOW, surface, color="#56B4E9", alpha=0.45, lw=0)
            ax.fill_between(x, LOW, LOW + 0.15 * bottom(x), color="0.35", lw=0)
            ax.plot(x, surface, color="#0072B2", lw=1.3)
            ax.plot(x, velocity, color="#D55E00", lw=1)
            ax.set(xlim=(0, 1), ylim=(LOW, HIGH), xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        column[0].set_title(title)
    figure.supxlabel(
        "surface (blue, with the water under it) and velocity (orange) along the ring; the ridge is not to scale",
        fontsize=10,
    )


def _spectra(ax: Any, found: Comparison) -> None:
    for name, colour in COLOURS.items():
        energy = spectrum(found.fields[name])
        dashed = "--" if name in ("Gaussian", "simulated") else "-"
        ax.loglog(np.arange(1, len(energy) + 1), energy, dashed, color=colour, lw=1.7, label=name)
    ax.set(xlabel="wave number $k$", xlim=(1, len(energy)))
    ax.set_title("energy $E(k)$", loc="left")
    ax.legend(loc="lower left")


def _increments(ax: Any, found: Comparison) -> None:
    reach = 4
    scale = increments(found.fields["simulated"], reach).std()
    bins = np.linspace(-8, 5, 80)
    for name, colour in COLOURS.items():
        density, _ = np.histogram(increments(found.fields[name], reach) / scale, bins, density=True)
        dashed = "--" if name in ("Gaussian", "simulated") else "-"
        ax.semilogy((bins[1:] + bins[:-1]) / 2, np.where(density > 0, density, np.nan), dashed, color=colour, lw=1.7)
    ax.set(xlabel="$u(x + r) - u(x)$, in standard deviations", ylim=(1e-5, 10))
    ax.set_title(f"steepness: increments over {reach} cells", loc="left")


def _divergence(ax: Any, found: Comparison) -> None:
    for (n, predicted), colour in zip(found.predicted.items(), cycle(("#009E73", "#56B4E9", "#E69F00", "#CC79A7"))):
        measured = found.measured[n]
        ax.loglog(measured.times, measured.values, color=colour, lw=1.8, label=f"{n}, by the network")
        ax.loglog(predicted.times, predicted.values, "--", color=colour, lw=1.8, label=f"{n}, by the covariance")
    threshold = found.first.threshold
    ax.axhline(threshold, color="0.4", lw=1, ls=":")
    ax.annotate(f"threshold {threshold:g}", (0.02, threshold), xycoords=("axes fraction", "data"), va="bottom")
    ax.set(xlabel="$t = σ$", ylim=(threshold / 100, 200), xlim=(found.first.sde.t_min, 2))
    ax.set_title("orthogonal Fisher divergence $D_F$", loc="left")
    ax.legend(loc="upper right", handlelength=1.6)
