"""What a product subspace does along one axis: U is the Kronecker product of these, and no d × d matrix is built.

Short axes are multiplied by a matrix, which is the fastest there; on long ones the same numbers come from a transform
(`subspace_sde.subspaces.cosines`) or a filter (`subspace_sde.subspaces.wavelet`), in the memory of a few copies of x.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ..arrays import numpy_namespace
from ..backend import Constant

Matrix: TypeAlias = np.ndarray[Any, Any]

SHORT = 512
"""Up to this length of an axis its matrix is built, cosines apart: `python -m benchmarks.transforms`."""

_MOST_TRIED = 2**15  # coordinates along an axis that are tried one by one
_AT_ONCE = 2**22  # numbers of them


class AxisMap(ABC):
    """An isometry along one axis, from coordinates of length m to length n.

    `restrict` and `embed` take an axis that is counted from the end; on the host they take float64.
    """

    def __init__(self, n: int, m: int) -> None:
        self.n, self.m = n, m

    @abstractmethod
    def restrict(self, x: Any, axis: int, xp: Any) -> Any:
        """Uᵀx along the axis."""

    @abstractmethod
    def embed(self, z: Any, axis: int, xp: Any) -> Any:
        """Uz along the axis."""

    def matrix(self) -> Matrix:
        """U as a numpy array (n, m)."""
        return np.array(self.embed(np.eye(self.m), -1, numpy_namespace()).T)  # the caller's own

    def captured(self, basis: AxisMap) -> Matrix:
        """‖Uᵀv‖² of the vectors v of an orthonormal basis of the axis, (n,)."""
        if self.n <= SHORT:
            energies: Matrix = np.sum((basis.matrix().T @ self.matrix()) ** 2, axis=1)
            return energies
        if self.m > _MOST_TRIED:
            raise ValueError(
                f"how much this subspace keeps of each vector of a basis along an axis of length {self.n} is known for "
                f"LowPass, Downsampling and Wavelet and cosines alone; others try each of their {self.m} coordinates, "
                f"at most {_MOST_TRIED}"
            )
        found, some, xp = np.zeros(self.n), max(1, _AT_ONCE // self.n), numpy_namespace()
        for start in range(0, self.m, some):
            unit = np.eye(min(some, self.m - start), self.m, start)
            found += np.sum(basis.restrict(self.embed(unit, -1, xp), -1, xp) ** 2, axis=0)
        return found

    def products(self, p: int) -> Matrix:
        """Σ_g v[gp + i] v[gp + j] of every column v, its n numbers in patches of p, which divides n: (p, p, m)."""
        patches = self.matrix().reshape(-1, p, self.m)
        found: Matrix = np.einsum("gim,gjm->ijm", patches, patches)
        return found

    def keeps_lowest(self) -> bool:
        """True if the DCT-II coefficients of Uᵀx are the lowest m of x."""
        return False


class Whole(AxisMap):
    """An axis that is left alone."""

    def __init__(self, n: int) -> None:
        super().__init__(n, n)

    def restrict(self, x: Any, axis: int, xp: Any) -> Any:
        return x

    def embed(self, z: Any, axis: int, xp: Any) -> Any:
        return z

    def captured(self, basis: AxisMap) -> Matrix:
        return np.ones(self.n)

    def keeps_lowest(self) -> bool:
        return True


class Dense(AxisMap):
    """A matrix (n, m) with orthonormal columns, float64; taken as it is."""

    def __init__(self, u: Matrix) -> None:
        super().__init__(*u.shape)
        # kept as rows: the products along the last axis are then the faster ones
        self.rows = Constant(np.ascontiguousarray(u.T))

    def restrict(self, x: Any, axis: int, xp: Any) -> Any:
        return along(self.rows.like(x), x, axis, xp)

    def embed(self, z: Any, axis: int, xp: Any) -> Any:
        return along(xp.matrix_transpose(self.rows.like(z)), z, axis, xp)

    def matrix(self) -> Matrix:
        u: Matrix = self.rows.value.T.copy()
        return u

    def keeps_lowest(self) -> bool:
        from scipy.fft import dct

        kept = dct(dct(self.rows.value.T, axis=0, norm="ortho"), axis=1, norm="ortho")
        return bool(np.max(np.abs(kept - np.eye(self.n, self.m))) < 1e-9)


class Chained(AxisMap):
    """One map in the coordinates of another: U_outer U_inner."""

    def __init__(self, outer: AxisMap, inner: AxisMap) -> None:
        super().__init__(outer.n, inner.m)
        self.outer, self.inner = outer, inner

    def restrict(self, x: Any, axis: int, xp: Any) -> Any:
        return self.inner.restrict(self.outer.restrict(x, axis, xp), axis, xp)

    def embed(self, z: Any, axis: int, xp: Any) -> Any:
        return self.outer.embed(self.inner.embed(z, axis, xp), axis, xp)

    def keeps_lowest(self) -> bool:
        return self.outer.keeps_lowest() and self.inner.keeps_lowest()


class Within(AxisMap):
    """One map seen from another of the same axis that contains it: U_outerᵀ U_inner."""

    def __init__(self, outer: AxisMap, inner: AxisMap) -> None:
        super().__init__(outer.m, inner.m)
        self.outer, self.inner = outer, inner

    def restrict(self, x: Any, axis: int, xp: Any) -> Any:
        return self.inner.restrict(self.outer.embed(x, axis, xp), axis, xp)

    def embed(self, z: Any, axis: int, xp: Any) -> Any:
        return self.outer.restrict(self.inner.embed(z, axis, xp), axis, xp)


def along(matrix: Any, x: Any, axis: int, xp: Any) -> Any:
    """The matrix (m, n) along one axis of length n, counted from the end."""
    if axis == -1:
        return xp.matmul(x, xp.matrix_transpose(matrix))
    # the axes behind it as one: nothing is transposed, the arrays stay contiguous
    i = x.ndim + axis
    before, after = x.shape[:i], x.shape[i + 1 :]
    product = xp.matmul(matrix, xp.reshape(x, (*before, x.shape[i], prod(after))))
    return xp.reshape(product, (*before, matrix.shape[0], *after))


def moved(x: Any, source: int, target: int, xp: Any) -> Any:
    """x with one axis elsewhere, both counted from the end; torch's moveaxis knows no vmap."""
    if source == target:
        return x
    order = [i for i in range(x.ndim) if i != x.ndim + source]
    order.insert(x.ndim + target, x.ndim + source)
    return xp.permute_dims(x, tuple(order))
