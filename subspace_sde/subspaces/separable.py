"""One matrix for each axis: U is their Kronecker product, and is never built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from ..arrays import sizes
from ..backend import Constant
from ..border import checked
from ..specification import register
from .base import Identity, Matrix, Subspace, per_axis
from .basis import as_float64, orthonormal


class AxisByAxis(Subspace):
    """A subspace that acts on some of the trailing axes, each by a matrix of its own; for subclasses.

    Parameters
    ----------
    shape: trailing shape of the arrays.
    matrices: for each axis, counted from the end, a matrix (axis length, m) with orthonormal columns, float64. They
        are taken as they are: a subclass sees to it that they fit.
    """

    def __init__(self, shape: int | Sequence[int], matrices: Mapping[int, Matrix]) -> None:
        coordinates = list(sizes("shape", shape))
        for axis, u in matrices.items():
            coordinates[axis] = u.shape[1]
        super().__init__(shape, coordinates)
        # kept as rows: the products along the last axis are then the faster ones
        self._maps = [(axis, Constant(np.ascontiguousarray(u.T))) for axis, u in matrices.items()]

    def axis_matrices(self) -> tuple[Matrix, ...]:
        given = {axis: rows.value.T.copy() for axis, rows in self._maps}
        ndim = len(self.shape)
        return tuple(given[a] if a in given else np.eye(self.shape[a]) for a in range(-ndim, 0))

    def _restrict(self, x: Any, xp: Any) -> Any:
        for axis, rows in reversed(self._maps):
            x = along(rows.like(x), x, axis, xp)
        return x

    def _embed(self, z: Any, xp: Any) -> Any:
        for axis, rows in self._maps:
            z = along(xp.matrix_transpose(rows.like(z)), z, axis, xp)
        return z

    def _within(self, outer: Subspace) -> Subspace:
        pairs = self._axis_pairs(outer)
        if pairs is None:
            return super()._within(outer)
        steps = {a - len(pairs): theirs.T @ mine for a, (mine, theirs) in enumerate(pairs)}
        steps = {a: u for a, u in steps.items() if not np.array_equal(u, np.eye(u.shape[0]))}
        return Separable(outer.shape, steps) if steps else Identity(outer.shape)


@checked
@register
class Separable(AxisByAxis):
    """A basis from one matrix for each axis: a function of the row times a function of the column, and so on.

    Parameters
    ----------
    shape: trailing shape of the arrays.
    matrices: ``{axis: matrix}``, axes counted from either end, each matrix (axis length, m) with orthonormal columns,
        an array of any library; the other axes stay as they are. m may be the whole length: a rotation, of the
        colours say.

    Raises
    ------
    ValueError: columns that are not orthonormal (by how much); axes or lengths that do not fit.

    >>> grey = np.full((3, 1), 3**-0.5)
    >>> luma = Separable((3, 32, 32), {-3: grey})
    >>> luma.restrict(np.ones((8, 3, 32, 32))).shape
    (8, 1, 32, 32)
    """

    def __init__(self, shape: int | Sequence[int], matrices: Mapping[int, Any]) -> None:
        ambient = sizes("shape", shape)
        found = {axis: as_float64(matrix) for axis, matrix in matrices.items()}
        _, axes = per_axis("columns", [u.shape[1] for u, _ in found.values()], tuple(found), len(ambient))
        checked = {}
        for a, (u, eps) in zip(axes, found.values()):
            if u.shape[0] != ambient[a]:
                raise ValueError(f"the matrix of axis {a} has {u.shape[0]} rows, but the axis has length {ambient[a]}")
            checked[a] = orthonormal(u, eps, f"the columns of the matrix of axis {a}")
        super().__init__(ambient, checked)

    def _arguments(self) -> dict[str, Any]:
        return {"shape": list(self.ambient_shape), "matrices": {axis: rows.value.T for axis, rows in self._maps}}


def along(matrix: Any, x: Any, axis: int, xp: Any) -> Any:
    """The matrix (m, n) along one axis of length n, counted from the end."""
    if axis == -1:
        return xp.matmul(x, xp.matrix_transpose(matrix))
    # the axes behind it as one: nothing is transposed, the arrays stay contiguous
    i = x.ndim + axis
    before, after = x.shape[:i], x.shape[i + 1 :]
    product = xp.matmul(matrix, xp.reshape(x, (*before, x.shape[i], prod(after))))
    return xp.reshape(product, (*before, matrix.shape[0], *after))
