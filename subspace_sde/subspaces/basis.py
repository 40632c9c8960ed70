"""A subspace given by any orthonormal basis: U is a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from operator import add
from typing import Any

import array_api_compat
import numpy as np

from ..arrays import namespace
from ..backend import Constant, backend_of, host
from ..border import checked
from ..specification import register
from .axis_maps import Matrix
from .base import Shape, Subspace


@checked
@register
class Basis(Subspace):
    """The span of the orthonormal columns of `matrix`.

    Parameters
    ----------
    matrix: (d, n), orthonormal columns, an array of any library.
    ambient_shape: shape of the arrays, with product d; ``(d,)`` without it.
    shape: shape of the coordinates, with product n; ``(n,)`` without it.

    Raises
    ------
    ValueError: the columns are not orthonormal (by how much); shapes that do not fit.

    >>> line = Basis(np.asarray([[0.6], [0.8]]))
    >>> line.project(np.asarray([1.0, 0.0])).round(2)
    array([0.36, 0.48])
    """

    def __init__(
        self, matrix: Any, ambient_shape: int | Sequence[int] | None = None, shape: int | Sequence[int] | None = None
    ) -> None:
        u, eps = as_float64(matrix)
        d, n = u.shape
        super().__init__((d,) if ambient_shape is None else ambient_shape, (n,) if shape is None else shape)
        if (self.ambient_dim, self.dim) != (d, n):
            raise ValueError(
                f"a matrix of shape {(d, n)} does not fit ambient_shape {self.ambient_shape} "
                f"({self.ambient_dim} numbers) and shape {self.shape} ({self.dim} numbers)"
            )
        self._u = Constant(orthonormal(u, eps, "the columns"))

    @classmethod
    @checked
    def spanning(
        cls, vectors: Any, ambient_shape: int | Sequence[int] | None = None, shape: int | Sequence[int] | None = None
    ) -> Basis:
        """The span of the columns of `vectors` (d, n), orthonormalised in their order (QR).

        Raises ValueError where the columns are not linearly independent.
        """
        v, eps = as_float64(vectors)
        v = v / np.where((largest := np.abs(v).max(axis=0)) > 0, largest, 1.0)  # or 1e±200 could not be squared
        lengths = np.linalg.norm(v, axis=0)
        q, r = np.linalg.qr(v / np.where(lengths > 0, lengths, 1.0))
        least = min(eps * max(v.shape), eps**0.5)
        if v.shape[1] > v.shape[0] or not np.abs(np.diag(r)).min() > least:
            raise ValueError("the vectors are not linearly independent: leave out those that the others span")
        return cls(q * np.sign(np.diag(r)), ambient_shape, shape)

    def captured(self, axes: Subspace) -> Matrix:
        columns, some = self._u.value.T, max(1, 2**22 // self.ambient_dim)
        parts = (columns[i : i + some].reshape(-1, *self.ambient_shape) for i in range(0, self.dim, some))
        return reduce(add, (np.sum(axes.restrict(part) ** 2, axis=0) for part in parts))

    def axis_matrices(self) -> tuple[Matrix, ...] | None:
        return (self.matrix(),) if len(self.ambient_shape) == len(self.shape) == 1 else None

    def _restrict(self, x: Any, xp: Any) -> Any:
        return self._map(x, self._u.like(x), self.ambient_shape, self.shape, xp)

    def _embed(self, z: Any, xp: Any) -> Any:
        return self._map(z, xp.matrix_transpose(self._u.like(z)), self.shape, self.ambient_shape, xp)

    @staticmethod
    def _map(x: Any, matrix: Any, source: Shape, target: Shape, xp: Any) -> Any:
        batch = tuple(x.shape[: x.ndim - len(source)])
        return xp.reshape(xp.matmul(xp.reshape(x, (*batch, prod(source))), matrix), (*batch, *target))

    def matrix(self) -> Matrix:
        return self._u.value.copy()

    def arguments(self) -> dict[str, Any]:
        return {"matrix": self._u.value, "ambient_shape": list(self.ambient_shape), "shape": list(self.shape)}

    def _within(self, outer: Subspace) -> Subspace:
        columns = np.moveaxis(self._u.value, -1, 0).reshape(self.dim, *self.ambient_shape)
        relative = outer.restrict(columns).reshape(self.dim, outer.dim).T
        return Basis(relative, outer.shape, self.shape)


def as_float64(matrix: Any) -> tuple[Matrix, float]:
    """`matrix` (d, n), of any library, as numpy's float64, and the machine epsilon of the dtype that it came in."""
    if not array_api_compat.is_array_api_obj(matrix):
        matrix = host(matrix)
    xp = namespace(matrix)
    if matrix.ndim != 2 or not matrix.shape[1]:
        raise ValueError(f"a basis is a matrix (d, n) with n >= 1 columns, got shape {tuple(matrix.shape)}")
    if not xp.isdtype(matrix.dtype, "real floating"):
        raise ValueError(f"a basis holds real floating-point numbers, got {matrix.dtype}")
    value = np.asarray(backend_of(matrix).to_numpy(matrix), dtype=np.float64)
    if not np.all(np.isfinite(value)):
        raise ValueError("the basis holds NaN or infinity")
    return value, float(xp.finfo(matrix.dtype).eps)


def orthonormal(u: Matrix, eps: float, columns: str) -> Matrix:
    """`u` polished, or a ValueError where its columns are further from orthonormal than rounding by `eps` explains."""
    d, n = u.shape
    if n > d:
        raise ValueError(f"{columns} cannot be orthonormal: they are {n} vectors of length {d}")
    gram = u.T @ u
    off = _off(gram)
    if not off <= eps**0.5:
        raise ValueError(
            f"{columns} are not orthonormal: UᵀU differs from the identity by {off:.1e}; "
            "Basis.spanning(vectors) or np.linalg.qr makes them so"
        )
    return polished(u, gram)


def polished(u: Matrix, gram: Matrix | None = None) -> Matrix:
    """The polar factor of a matrix that is orthonormal in float32, say: it is so in float64 and has the same span.

    Newton's iteration. A matrix that is orthonormal already comes back bit for bit. `gram` is UᵀU, if it is known.
    """
    u, identity = np.ascontiguousarray(u), np.eye(u.shape[1])
    rounding = max(32.0, len(u) ** 0.5) * np.finfo(np.float64).eps  # it ends at about 4; numpy leaves about 6 (qr) to
    for _ in range(4):  # 40 (eigh, 3072 dimensions), where another step would take seconds
        gram = u.T @ u if gram is None else gram
        if _off(gram) <= rounding:
            break
        u, gram = u @ (1.5 * identity - 0.5 * gram), None
    return u


def _off(gram: Matrix) -> float:
    return float(np.max(np.abs(gram - np.eye(len(gram)))))
