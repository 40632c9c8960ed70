"""The lowest frequencies of each axis, on a grid of their own: any size, and again an image."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from scipy.fft import dct, idct

from ..backend import Constant
from .base import Subspace, per_axis, sizes


class LowPass(Subspace):
    """The lowest `size` DCT-II frequencies of each axis, brought to a `size`-long grid by the inverse DCT.

    Per axis the coordinates are ``z = D_mᵀ [I 0] D_N x`` with orthonormal DCT-II matrices D, so that they are a
    smaller image, of *any* size (not only halves).

    Parameters
    ----------
    shape: trailing shape of the arrays.
    size: the new length, one number or one for each of `axes`, at most the old one.
    axes: the axes to shorten.

    >>> import numpy as np
    >>> LowPass((3, 32, 32), 20).restrict(np.zeros((8, 3, 32, 32))).shape
    (8, 3, 20, 20)
    """

    def __init__(self, shape: Sequence[int], size: int | Sequence[int], axes: Sequence[int] = (-2, -1)) -> None:
        ambient = sizes("shape", shape)
        self.size, self.axes = per_axis("size", size, axes, len(ambient))
        coordinates = list(ambient)
        for m, a in zip(self.size, self.axes):
            if m > ambient[a]:
                raise ValueError(f"size {m} is larger than axis {a}, which has length {ambient[a]}")
            coordinates[a] = m
        super().__init__(ambient, coordinates)
        self._maps = [(a, Constant(_shorten(ambient[a], m))) for m, a in zip(self.size, self.axes) if m < ambient[a]]

    def _restrict(self, x: Any, xp: Any) -> Any:
        for axis, matrix in reversed(self._maps):
            x = _apply(matrix.like(x), x, axis, xp)
        return x

    def _embed(self, z: Any, xp: Any) -> Any:
        for axis, matrix in self._maps:
            z = _apply(xp.matrix_transpose(matrix.like(z)), z, axis, xp)
        return z

    def _arguments(self) -> dict[str, Any]:
        return {"shape": list(self.ambient_shape), "size": list(self.size), "axes": list(self.axes)}

    def _within(self, outer: Subspace) -> Subspace:
        if isinstance(outer, LowPass):
            return LowPass(outer.shape, tuple(self.shape[a] for a in self.axes), self.axes)
        return super()._within(outer)


def _shorten(n: int, m: int) -> np.ndarray[Any, Any]:
    """(m, n) with orthonormal rows: DCT-II of length n, its first m frequencies, inverse DCT of length m."""
    lowest = dct(np.eye(n), axis=0, norm="ortho")[:m]
    rows: np.ndarray[Any, Any] = idct(lowest, axis=0, norm="ortho")
    return rows


def _apply(matrix: Any, x: Any, axis: int, xp: Any) -> Any:
    """The matrix (m, n) along one axis of length n, counted from the end."""
    if axis == -1:
        return xp.matmul(x, xp.matrix_transpose(matrix))
    # the axes behind it as one: nothing is transposed, the arrays stay contiguous
    i = x.ndim + axis
    before, after = x.shape[:i], x.shape[i + 1 :]
    product = xp.matmul(matrix, xp.reshape(x, (*before, x.shape[i], prod(after))))
    return xp.reshape(product, (*before, matrix.shape[0], *after))
