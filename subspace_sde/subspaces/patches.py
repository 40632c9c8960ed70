"""One basis for every patch: the paper's Patch-PCA, say, or any linear layer with a stride as large as its kernel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

import numpy as np

from ..arrays import sizes
from ..backend import Constant
from ..border import checked
from ..specification import register
from .axis_maps import Matrix
from .base import Shape, Subspace, maps_of
from .basis import as_float64, orthonormal

_MOST_SQUARED = 2**13  # numbers in a patch of which a square matrix is made: 512 MB


@checked
@register
class PatchBasis(Subspace):
    """Arrays whose every patch lies in the span of the columns of one matrix.

    A patch is all leading axes (the channels) times the patch over the last axes, flattened in C order. The m
    coordinates of a patch become channels: they have shape ``(m, H/p, W/p)`` for images.

    Parameters
    ----------
    shape: trailing shape of the arrays.
    patch: edge of a patch, each dividing its axis: one number for the last two axes (for the last, where there is
        only one), or one for each of the last axes: its length says how many.
    matrix: (numbers in a patch, m), orthonormal columns, an array of any library.

    Raises
    ------
    ValueError: columns that are not orthonormal (by how much); sizes that do not fit.

    >>> import numpy as np
    >>> mean = np.full((3 * 4 * 4, 1), 48**-0.5)
    >>> PatchBasis((3, 32, 32), 4, mean).restrict(np.zeros((8, 3, 32, 32))).shape
    (8, 1, 8, 8)
    """

    def __init__(self, shape: int | Sequence[int], patch: int | Sequence[int], matrix: Any) -> None:
        self._tiling = tiling = Tiling(shape, patch)
        self.patch = tiling.patch
        u, eps = as_float64(matrix)
        if u.shape[0] != tiling.numbers:
            raise ValueError(
                f"a patch of shape {tiling.edges} holds {tiling.numbers} numbers, but the matrix has {u.shape[0]} rows"
            )
        self._u = Constant(orthonormal(u, eps, "the columns of the matrix"))
        super().__init__(tiling.shape, (u.shape[1], *tiling.grid))

    def _restrict(self, x: Any, xp: Any) -> Any:
        z = xp.matmul(xp.matrix_transpose(self._u.like(x)), self._tiling.cut(x, xp))
        return xp.reshape(z, (*z.shape[:-1], *self._tiling.grid))

    def _embed(self, z: Any, xp: Any) -> Any:
        batch = tuple(z.shape[: z.ndim - len(self.shape)])
        columns = xp.reshape(z, (*batch, self.shape[0], prod(self._tiling.grid)))
        return self._tiling.join(xp.matmul(self._u.like(z), columns), xp)

    def captured(self, axes: Subspace) -> Matrix:
        # Σ over the patches of vᵀMv, M = UUᵀ of one patch: where v is a product over the axes, so is the sum of vvᵀ
        maps, edges, u = maps_of(axes), self._tiling.edges, self._u.value
        if maps is None or len(u) > _MOST_SQUARED:
            return super().captured(axes)
        pairs = [i + k for i in range(len(edges)) for k in (0, len(edges))]
        energies = np.transpose((u @ u.T).reshape(*edges, *edges), pairs).reshape([p * p for p in edges])
        for each, p in zip(maps, edges):
            sums = each.products(p).reshape(p * p, -1)
            energies = np.tensordot(energies, sums, axes=(0, 0))  # the next axis is the first again
        return energies

    def arguments(self) -> dict[str, Any]:
        return {"shape": list(self.ambient_shape), "patch": list(self.patch), "matrix": self._u.value}

    def _outside(self, outer: Subspace) -> float:
        if isinstance(outer, PatchBasis) and outer.patch == self.patch:
            rest = self._u.value - outer._u.value @ (outer._u.value.T @ self._u.value)
            return float(np.linalg.norm(rest, 2))  # of the worst patch
        return super()._outside(outer)

    def _within(self, outer: Subspace) -> Subspace:
        if isinstance(outer, PatchBasis) and outer.patch == self.patch:
            return PatchBasis(outer.shape, (1,) * len(self.patch), outer._u.value.T @ self._u.value)
        return super()._within(outer)


class Tiling:
    """How arrays are cut into patches, and put together again: all leading axes times a patch over the last ones.

    Parameters
    ----------
    shape, patch: those of `PatchBasis`, with its refusals.

    Attributes
    ----------
    shape: of the arrays.
    patch, grid: edges of a patch, and how many there are, along the last axes.
    edges: the shape of what a patch holds, the leading axes first.
    numbers: how many that is.
    """

    def __init__(self, shape: int | Sequence[int], patch: int | Sequence[int]) -> None:
        self.shape: Shape = sizes("shape", shape)
        self.patch: Shape = edges_of(patch, len(self.shape))
        if not 1 <= len(self.patch) <= len(self.shape):
            raise ValueError(f"patch must be one number or one for each of the last axes of {self.shape}, got {patch}")
        self._leading = self.shape[: len(self.shape) - len(self.patch)]
        tiled = self.shape[len(self._leading) :]
        for i, (p, n) in enumerate(zip(self.patch, tiled), start=-len(tiled)):
            if n % p:
                raise ValueError(
                    f"the patch of {p} does not divide axis {i} of length {n}: take another, or crop the arrays"
                )
        self.grid: Shape = tuple(n // p for n, p in zip(tiled, self.patch))
        self.edges: Shape = (*self._leading, *self.patch)
        self.numbers = prod(self.edges)

    def cut(self, x: Any, xp: Any) -> Any:
        """``(*batch, *shape)`` to ``(*batch, numbers, places)``, a patch a column, flattened in C order."""
        batch = tuple(x.shape[: x.ndim - len(self.shape)])
        tiles = [n for pair in zip(self.grid, self.patch) for n in pair]
        blocks = xp.reshape(x, (*batch, prod(self._leading), *tiles))
        # (*batch, channels, grid, patch, grid, patch, ...) to (*batch, channels, patch, ..., grid, ...)
        i, k = len(batch) + 1, len(self.patch)
        blocks = xp.permute_dims(blocks, (*range(i), *range(i + 1, i + 2 * k, 2), *range(i, i + 2 * k, 2)))
        return xp.reshape(blocks, (*batch, self.numbers, prod(self.grid)))

    def join(self, columns: Any, xp: Any) -> Any:
        """``(*batch, numbers, places)`` back to ``(*batch, *shape)``."""
        batch = tuple(columns.shape[:-2])
        blocks = xp.reshape(columns, (*batch, prod(self._leading), *self.patch, *self.grid))
        i, k = len(batch) + 1, len(self.patch)
        blocks = xp.permute_dims(blocks, (*range(i), *[i + a for j in range(k) for a in (k + j, j)]))
        return xp.reshape(blocks, (*batch, *self.shape))


def edges_of(patch: int | Sequence[int], ndim: int) -> Shape:
    """`patch` as one edge for each of the last axes: one number stands for the last two, as far as there are two."""
    return sizes("patch", patch if isinstance(patch, Iterable) else (patch,) * min(2, ndim))
