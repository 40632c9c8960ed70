"""The picture of a `Comparison`: two errors and D_F over one time axis, and the samples seen from above and aside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import SubFigure

from .comparison import Comparison

# Okabe and Ito's colours, told apart by every kind of sight
COLOURS = {"SDE": "#D55E00", "ODE": "#0072B2", "mixture": "#000000", "Gaussian": "#CC79A7", "plan": "#009E73"}
MARKERS = {"SDE": "o", "ODE": "s"}
STYLE: Any = {
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.labelsize": 12,
    "legend.fontsize": 10.5,
    "legend.frameon": False,
    "legend.handlelength": 1.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw(comparison: Comparison, path: Path) -> None:
    """Write the picture as a PNG."""
    with plt.rc_context(STYLE):
        figure = plt.figure(figsize=(12.8, 7.8), layout="constrained")
        halves: Any = figure.subfigures(1, 2, width_ratios=(1.3, 1), wspace=0.03)
        _curves(halves[0], comparison)
        _clouds(halves[1], comparison)
        figure.savefig(path, dpi=100, pil_kwargs={"optimize": True})
        plt.close(figure)


def _curves(figure: SubFigure, comparison: Comparison) -> None:
    kl, distance, divergence = figure.subplots(3, 1, sharex=True)
    t_1 = [row.t_1 for row in comparison.rows]
    for name, marker in MARKERS.items():
        line: dict[str, Any] = {"color": COLOURS[name], "marker": marker, "markersize": 6, "linewidth": 1.8}
        label = f"Algorithm 1, {name}"
        kl.plot(t_1, [row.kl[name] for row in comparison.rows], **line, label=label)
        kl.axhline(comparison.full.kl[name], color=COLOURS[name], linestyle="--", linewidth=1.2)
        distance.plot(t_1, [row.distance[name] for row in comparison.rows], **line)
    kl.plot([], [], color="0.3", linestyle="--", linewidth=1.2, label="full space, same steps")

    gaussian = comparison.curves["Gaussian"]
    normal = comparison.clouds["data"].shape[1] - 2
    low = np.asarray(gaussian.values) * normal / 4
    predicted = r"predicted: $n_\perp D_F/4$ to $n_\perp D_F/2$"
    kl.fill_between(gaussian.times, low, 2 * low, color=COLOURS["ODE"], alpha=0.15, linewidth=0, label=predicted)
    kl.set(yscale="log", ylabel="KL from the data (nats)", ylim=(comparison.full.kl["SDE"] / 4, 100))
    kl.set_title("Gaussian with the same covariance: exact error of the output", loc="left")
    kl.legend(loc="upper right")

    floor = (min(comparison.floor), max(comparison.floor))
    distance.axhspan(*floor, color="0.75", linewidth=0, label=f"exact draws, {len(comparison.floor)} sets")
    distance.set(yscale="log", ylabel="sliced Wasserstein\n(whitened)")
    ticks = [v for v in (0.05, 0.1, 0.2, 0.5, 1.0) if 0.9 * floor[0] < v < 1.0]
    distance.set_yticks(ticks, [f"{v:g}" for v in ticks])
    distance.minorticks_off()
    distance.set_title("Mixture: error of the samples", loc="left")
    distance.legend(loc="upper right")

    for (name, curve), style in zip(comparison.curves.items(), ("-", ":")):
        divergence.plot(curve.times, curve.values, style, color=COLOURS[name], linewidth=2.2, label=name)
    divergence.axhline(comparison.threshold, color=COLOURS["plan"], linewidth=1.2)
    divergence.annotate(
        f"threshold {comparison.threshold:g}",
        (0.02, comparison.threshold),
        xytext=(0, -4),
        textcoords="offset points",
        color=COLOURS["plan"],
        va="top",
    )
    divergence.set(
        yscale="log", xlabel=r"$t_1$ above, $t$ here", ylabel=r"$D_F(\mathbf{U}_1;\,t)$", xlim=(0, gaussian.times[-1])
    )
    divergence.set_title("Orthogonal Fisher divergence", loc="left")
    divergence.legend(loc="upper right")
    planned = comparison.planned.t_1
    assert planned is not None
    for axes in (kl, distance, divergence):
        axes.axvline(planned, color=COLOURS["plan"], linewidth=1.2, zorder=0)
    divergence.annotate(
        rf"$t_1 = {planned:.2f}$",
        (planned, divergence.get_ylim()[0]),
        xytext=(6, 8),
        textcoords="offset points",
        color=COLOURS["plan"],
    )


def _clouds(figure: SubFigure, comparison: Comparison) -> None:
    early, planned = comparison.rows[0], comparison.planned
    kinds = {
        "data": ("data", "0.25"),
        "full": ("full reverse SDE", "0.25"),
        "planned": (rf"planned, $t_1 = {planned.t_1:.2f}$: cost {planned.cost:.0%}", COLOURS["plan"]),
        "early": (rf"too early, $t_1 = {early.t_1:.2f}$: cost {early.cost:.0%}", COLOURS["SDE"]),
    }
    grid = figure.subplots(4, 2, sharex=True, height_ratios=(2, 1, 2, 1))
    for i, (name, (title, colour)) in enumerate(kinds.items()):
        above, aside = grid[2 * (i // 2), i % 2], grid[2 * (i // 2) + 1, i % 2]
        cloud = comparison.clouds[name][:300]
        points: dict[str, Any] = {"s": 8, "color": colour, "alpha": 0.6, "linewidths": 0}
        above.scatter(cloud[:, 0], cloud[:, 1], **points)
        above.set(xlim=(-1.8, 1.8), ylim=(-1.8, 1.8), aspect="equal", xticks=[], yticks=[], title=title)
        aside.scatter(cloud[:, 0], cloud[:, 2], **points)
        aside.set(ylim=(-0.3, 0.3), aspect=3, xticks=[], yticks=[])
        for axes in (above, aside):
            axes.spines[:].set(visible=True, color="0.8")
        if i % 2 == 0:
            above.set_ylabel("in the plane")
            aside.set_ylabel("off it, 3×")
