"""The panels that the pictures of sound and of video share: D_F by the network and by the spectrum, and the plan."""

from __future__ import annotations

from typing import Any

from subspace_sde.plotting import plan_bar

from .comparison import Comparison

# Okabe and Ito's colours, told apart by every kind of sight
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
STYLE: Any = {"font.size": 11, "axes.titlesize": 11.5, "legend.frameon": False, "legend.fontsize": 9.5}


def divergence(found: Comparison, ax: Any, axis: int, unit: str) -> None:
    """Solid by the network, dashed by the power spectrum; a level is named by its length along `axis`."""
    chain = list(found.first.subspaces)[1:]
    for u, measured, predicted, colour in zip(chain, found.measured, found.predicted, COLOURS):
        ax.semilogy(measured.times, measured.values, color=colour, lw=1.8, label=f"{u.shape[axis]} {unit}")
        ax.semilogy(predicted.times, predicted.values, "--", color=colour, lw=1.4)
    threshold = found.first.threshold
    ax.axhline(threshold, color="0.4", lw=1, ls=":")
    ax.annotate(f"threshold {threshold:g}", (0.02, threshold), xycoords=("axes fraction", "data"), va="bottom")
    ax.set(xlabel="$t$", ylim=(threshold / 100, 20), xlim=(0, 1))
    ax.set_title("$D_F$: solid by the network, dashed by the spectrum", loc="left")
    ax.legend(loc="upper right")


def chosen(found: Comparison, ax: Any) -> None:
    """The plan that was sampled, and what it took."""
    plan_bar(found.plan, ax)
    ax.set_title(f"the plan: {found.ratio:.0%} of the full model's time", loc="left")
