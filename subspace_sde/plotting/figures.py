"""What the pictures have in common: the figure they are on, colours, legends, and how they are saved."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..border import checked
from ..files import whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by every kind of sight
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("-", "--", "-.", ":")  # once the colours are used up
_SUFFIXES = (".png", ".svg", ".pdf")


@checked
def save(figure: Figure, path: str | Path, dpi: float = 120) -> None:
    """Write the figure as ``.png``, ``.svg`` or ``.pdf``; the file appears under its name when it is whole.

    Raises
    ------
    ValueError: another suffix, or a `dpi` that is not positive.

    >>> import tempfile
    >>> import numpy as np
    >>> from subspace_sde.plotting import power_spectrum
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
    with whole(path) as fresh:
        figure.savefig(fresh, dpi=dpi, format=path.suffix[1:].lower())


def new_figure(size: tuple[float, float]) -> Figure:
    """A figure of `size` in inches that pyplot does not know of."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('the pictures are drawn by matplotlib: pip install "subspace-sde[plot]"') from error
    return Figure(figsize=size, layout="constrained")


def axes_of(ax: Axes | None, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """The caller's axes, or those of a new figure of `size` in inches; and the whole figure they are on."""
    if ax is None:
        figure = new_figure(size)
        return figure, figure.subplots()
    if not hasattr(ax, "get_xaxis_transform"):
        raise TypeError(f"ax is one matplotlib Axes, got {type(ax).__name__}")
    return ax.figure.figure, ax  # of a SubFigure, the figure it is a part of


def styles(count: int) -> list[dict[str, Any]]:
    """The colour and dashes of each of `count` lines."""
    dashes = (d for d in itertools.cycle(_DASHES) for _ in COLOURS)
    return [{"color": c, "linestyle": d} for c, d, _ in zip(itertools.cycle(COLOURS), dashes, range(count))]


def finish(ax: Axes, xlabel: str, ylabel: str) -> None:
    """Name the axes, and draw the left and lower one alone."""
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.spines[["top", "right"]].set_visible(False)


def legend(ax: Axes) -> None:
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


def check_any(name: str, given: Mapping[str, Any], kind: str) -> None:
    """A ValueError for a mapping without entries."""
    if not given:
        raise ValueError(f"{name} is empty: give at least one name and its {kind}")
