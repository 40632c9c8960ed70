"""What a subspace is made of, and what it keeps of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import namespace
from ..backend import backend_of, host
from ..border import checked
from ..subspaces import Subspace
from .figures import COLOURS, check_any, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@checked
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
    for name, value in (("num", num), ("columns", columns)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    shape = subspace.ambient_shape
    if len(shape) != 1:
        _check_picture("those of this subspace are", shape)
    n = min(num, subspace.dim)
    vectors = subspace.embed(np.eye(n, subspace.dim).reshape(n, *subspace.shape))
    columns = min(columns, n)
    rows = -(-n // columns)
    cell = (1.2, 0.8) if len(shape) == 1 else (0.9, 0.9 * shape[-2] / shape[-1])
    figure = new_figure((columns * cell[0], rows * cell[1]))
    for i, v in enumerate(vectors):
        ax, largest = figure.add_subplot(rows, columns, i + 1), float(np.max(np.abs(v)))
        if len(shape) == 1:
            ax.axhline(0, color="0.7", lw=0.8)
            ax.plot(np.arange(shape[0]), v, color=COLOURS[0], lw=1.5)
            ax.set_ylim(-1.05 * largest, 1.05 * largest)
            ax.set_axis_off()
        else:
            _show(ax, 0.5 + 0.5 * v / largest)
    return figure


@checked
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
    check_any("subspaces", subspaces, "Subspace")
    for name, subspace in subspaces.items():
        if subspace.ambient_shape != shape:
            raise ValueError(f"{name} is a subspace of arrays {subspace.ambient_shape}, each image of x is {shape}")
    pixels = host(x)
    if not np.all((pixels >= -1e-6) & (pixels <= 1 + 1e-6)):
        raise ValueError(f"images must lie in [0, 1], not [{pixels.min():.3g}, {pixels.max():.3g}]: scale or clip them")
    columns = [("image", pixels), *((name, backend.to_numpy(u.project(x))) for name, u in subspaces.items())]
    figure = new_figure((1.3 * len(columns), 1.3 * x.shape[0] * shape[-2] / shape[-1] + 0.25))
    axes = figure.subplots(x.shape[0], len(columns), squeeze=False)
    for column, (name, images) in zip(axes.T, columns):
        column[0].set_title(name)
        for ax, image in zip(column, images):
            _show(ax, np.clip(image, 0, 1))
    return figure


def _show(ax: Axes, image: np.ndarray[Any, Any]) -> None:
    """(h, w), (1, h, w) or (3, h, w) in [0, 1], pixel by pixel."""
    pixels = image if image.ndim == 2 else image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_axis_off()


def _check_picture(what: str, shape: tuple[int, ...]) -> None:
    if not (len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3))) or 0 in shape:
        raise ValueError(f"pictures have shape (h, w), (1, h, w) or (3, h, w), but {what} {shape}")
