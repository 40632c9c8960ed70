"""One matrix for each axis: U is their Kronecker product, and is never built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import sizes
from ..border import checked
from ..specification import register
from .axis_maps import AxisMap, Dense, Whole
from .base import Identity, Subspace, per_axis
from .basis import as_float64, orthonormal


class AxisByAxis(Subspace):
    """A subspace that acts on some of the trailing axes, each by a map of its own; for subclasses.

    Parameters
    ----------
    shape: trailing shape of the arrays.
    maps: for each axis that is not left alone, counted from the end, its map. They are taken as they are: a subclass
        sees to it that they fit.
    """

    def __init__(self, shape: int | Sequence[int], maps: Mapping[int, AxisMap]) -> None:
        coordinates = list(sizes("shape", shape))
        for axis, each in maps.items():
            coordinates[axis] = each.m
        super().__init__(shape, coordinates)
        self._maps = list(maps.items())

    def _axis_maps(self) -> tuple[AxisMap, ...]:
        given, ndim = dict(self._maps), len(self.shape)
        return tuple(given.get(a) or Whole(self.shape[a]) for a in range(-ndim, 0))

    def _restrict(self, x: Any, xp: Any) -> Any:
        for axis, each in reversed(self._maps):
            x = each.restrict(x, axis, xp)
        return x

    def _embed(self, z: Any, xp: Any) -> Any:
        for axis, each in self._maps:
            z = each.embed(z, axis, xp)
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
            checked[a] = Dense(orthonormal(u, eps, f"the columns of the matrix of axis {a}"))
        super().__init__(ambient, checked)

    def arguments(self) -> dict[str, Any]:
        return {"shape": list(self.ambient_shape), "matrices": {axis: each.matrix() for axis, each in self._maps}}
