"""The picture of videos: frames side by side, D_F, the plan, and how fast the ball moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure, SubFigure

from examples.staged.comparison import FULL, GAUSSIAN, STAGED, Comparison
from examples.staged.figure import STYLE, chosen, divergence
from subspace_sde.plotting import save

from .quality import speeds

WAYS = {"held out": "videos held out", FULL: "full model", STAGED: "plan", GAUSSIAN: "Gaussian of their spectrum"}
SHOWN, EVERY = 3, 2


def draw(found: Comparison, path: Path) -> None:
    """Write the picture as a PNG."""
    with rc_context(STYLE):
        figure = Figure(figsize=(13, 8.6), layout="constrained")
        halves: Any = figure.subfigures(1, 2, width_ratios=(1, 1.2), wspace=0.02)
        _videos(halves[0], found)
        top, middle, bottom = halves[1].subplots(3, 1, height_ratios=(1.2, 0.8, 1))
        divergence(found, top, -3, "frames")
        chosen(found, middle)
        _speeds(bottom, found)
        save(figure, path, dpi=100)


def _videos(figure: SubFigure, found: Comparison) -> None:
    """Every second frame of some videos of each way, a strip for each."""
    axes = figure.subplots(len(WAYS), 1)
    for ax, (way, title) in zip(axes, WAYS.items()):
        strips = [
            np.concatenate([np.pad(f, 1, constant_values=0.5) for f in x[::EVERY]], axis=1)
            for x in found.samples[way][:SHOWN, 0]
        ]
        ax.imshow(np.concatenate(strips), cmap="gray", vmin=0, vmax=1)
        ax.set_title(title, loc="left")
        ax.set_axis_off()


def _speeds(ax: Any, found: Comparison) -> None:
    for way, style in zip(WAYS, ("k--", "-", "-", ":")):
        sorted_ = np.sort(speeds(found.samples[way]).ravel())
        ax.plot(sorted_, np.linspace(0, 1, len(sorted_)), style, lw=1.8, label=way)
    ax.set(xlabel="pixels a frame", xlim=(0, 3), ylim=(0, 1))
    ax.set_title("how fast the centre moves: share below", loc="left")
    ax.legend(loc="lower right")
