"""What a subspace is made of, and what it keeps of data: as pictures, as lines, as sections of volumes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import is_integer, namespace
from ..backend import backend_of, host
from ..border import checked
from ..subspaces import Subspace
from .figures import COLOURS, check_any, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@checked
def basis_vectors(
    subspace: Subspace, num: int = 16, columns: int = 8, axes: int | Sequence[int] | None = None
) -> Figure:
    """The first basis vectors: what U makes of the unit vectors of its coordinates, in C order.

    Each is scaled for itself, with 0 as mid-grey and its largest number, or the negative of it, white or black; of
    signals they are lines.

    Parameters
    ----------
    subspace: of arrays of shape (h, w), (1, h, w), (3, h, w) or (n,); with `axes` of any shape.
    num: how many at most.
    columns: how many in a row.
    axes: a line along it, of one; a section over the last two of more. Of all other axes the middle is shown.

    Raises
    ------
    ValueError: another ambient shape, axes that are not there, or a number below 1.

    >>> from subspace_sde import LowPass
    >>> len(basis_vectors(LowPass((3, 32, 32), 8), num=5).axes)
    5
    """
    for name, value in (("num", num), ("columns", columns)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    shape = subspace.ambient_shape
    if axes is None and len(shape) != 1:
        _check_picture("those of this subspace are", shape)
    n = min(num, subspace.dim)
    vectors = subspace.embed(np.eye(n, subspace.dim).reshape(n, *subspace.shape))
    vectors = _sections(vectors, (-1,) if axes is None and len(shape) == 1 else axes)
    columns = min(columns, n)
    rows = -(-n // columns)
    cell = (1.2, 0.8) if vectors.ndim == 2 else _cell(0.9, vectors)
    figure = new_figure((columns * cell[0], rows * cell[1]))
    for i, v in enumerate(vectors):
        ax, largest = figure.add_subplot(rows, columns, i + 1), float(np.max(np.abs(v))) or 1.0
        if v.ndim == 1:
            ax.axhline(0, color="0.7", lw=0.8)
            _line(ax, v, (-1.05 * largest, 1.05 * largest))
        else:
            _show(ax, 0.5 + 0.5 * v / largest)
    return figure


@checked
def projections(x: Any, subspaces: Mapping[str, Subspace], axes: int | Sequence[int] | None = None) -> Figure:
    """Images, or other arrays, beside their projections: a row for each of them, a column for each subspace.

    Parameters
    ----------
    x: (N, 1, h, w), (N, 3, h, w) or (N, h, w), floats in [0, 1]; an array of any library. With `axes` of any shape
        (N, *shape), and any numbers: those of x reach from black to white.
    subspaces: the name and the subspace of each column; what a projection has outside the range of x is clipped.
    axes: a line along it, of one; a section over the last two of more. Of all other axes the middle is shown.

    Raises
    ------
    ValueError: no images, numbers outside [0, 1] or NaN, axes that are not there, or a subspace of arrays of another
        shape.

    >>> from subspace_sde import Downsampling
    >>> figure = projections(
    ...     np.full((2, 3, 8, 8), 0.5), {"4×4": Downsampling((3, 8, 8), 2)}
    ... )
    >>> len(figure.axes)
    4
    """
    namespace(x)
    shape, backend = tuple(x.shape[1:]), backend_of(x)
    if axes is None:
        _check_picture("each image of x is", shape)
    if x.shape[0] == 0:
        raise ValueError("no images: x has length 0")
    check_any("subspaces", subspaces, "Subspace")
    for name, subspace in subspaces.items():
        if subspace.ambient_shape != shape:
            raise ValueError(f"{name} is a subspace of arrays {subspace.ambient_shape}, each image of x is {shape}")
    numbers = host(x)
    low, high = (0.0, 1.0) if axes is None else (float(np.min(numbers)), float(np.max(numbers)))
    if axes is None and not np.all((numbers >= -1e-6) & (numbers <= 1 + 1e-6)):
        raise ValueError(
            f"images must lie in [0, 1], not [{numbers.min():.3g}, {numbers.max():.3g}]: scale or clip them"
        )
    if not np.isfinite(high - low):
        raise ValueError("x holds NaN or infinity")
    columns = [("image" if axes is None else "data", numbers)]
    columns += [(name, backend.to_numpy(u.project(x))) for name, u in subspaces.items()]
    columns = [(name, _sections(images, axes)) for name, images in columns]
    cell = (2.2, 1.1) if columns[0][1].ndim == 2 else _cell(1.3, columns[0][1])
    figure = new_figure((cell[0] * len(columns), cell[1] * x.shape[0] + 0.25))
    drawn = figure.subplots(x.shape[0], len(columns), squeeze=False)
    span = high - low or 1.0
    for column, (name, images) in zip(drawn.T, columns):
        column[0].set_title(name)
        for ax, image in zip(column, images):
            if image.ndim == 1:
                _line(ax, image, (low - 0.05 * span, high + 0.05 * span))
            else:
                _show(ax, np.clip((image - low) / span, 0, 1))
    return figure


def _sections(x: np.ndarray[Any, Any], axes: int | Sequence[int] | None) -> np.ndarray[Any, Any]:
    """Of each sample the middle of all axes but the one, or the last two, of these; without them the whole."""
    if axes is None:
        return x
    ndim, given = x.ndim - 1, tuple(axes) if isinstance(axes, Iterable) else (axes,)
    if not given or not all(is_integer(a) and -ndim <= a < ndim for a in given):
        raise ValueError(f"axes are numbers from {-ndim} to -1 for samples of {ndim} axes, got {given}")
    kept = sorted({int(a) % ndim for a in given})[-2:]
    return x[:, *(slice(None) if a in kept else x.shape[a + 1] // 2 for a in range(ndim))]


def _cell(width: float, pictures: np.ndarray[Any, Any]) -> tuple[float, float]:
    """The inches of a picture of that width, which are no more than thrice as high."""
    return width, width * min(3.0, pictures.shape[-2] / pictures.shape[-1])


def _line(ax: Axes, numbers: np.ndarray[Any, Any], limits: tuple[float, float]) -> None:
    ax.plot(np.arange(len(numbers)), numbers, color=COLOURS[0], lw=1.5 if len(numbers) < 200 else 0.5)
    ax.set_ylim(*limits)
    ax.set_axis_off()


def _show(ax: Axes, image: np.ndarray[Any, Any]) -> None:
    """(h, w), (1, h, w) or (3, h, w) in [0, 1], pixel by pixel."""
    pixels = image if image.ndim == 2 else image[0] if image.shape[0] == 1 else image.transpose(1, 2, 0)
    ax.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set_axis_off()


def _check_picture(what: str, shape: tuple[int, ...]) -> None:
    if not (len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3))) or 0 in shape:
        raise ValueError(f"pictures have shape (h, w), (1, h, w) or (3, h, w), but {what} {shape}")
