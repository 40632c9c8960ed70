"""The DCT-II along an axis, orthonormal: by scipy on numpy arrays, on all others by a matrix or their library's FFT.

An N-point DCT is an N-point FFT of the entries in another order, even ones forwards, then odd ones backwards (Makhoul
1980): C_k = Re e^{-iπk/2N} V_k, and back V_k = e^{iπk/2N} (C_k − i C_{N−k}).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import array_api_compat
import numpy as np

from ..arrays import numpy_namespace
from ..backend import Constant
from .axis_maps import AxisMap, Dense, Matrix, moved

# up to these lengths a matrix is the faster way, on numpy and elsewhere: `python -m benchmarks.transforms`
_ON_NUMPY, _ELSEWHERE = 256, 2048
_LONGEST = 2**28  # numbers along an axis: the tables alone take 4 GB


class Cosines:
    """The orthonormal DCT-II of length n: `coefficients`, of which the lowest m are kept, and back by `values`."""

    def __init__(self, n: int, m: int) -> None:
        if n > _LONGEST:
            raise ValueError(f"an axis of {n} numbers is too long for a cosine transform: at most {_LONGEST}")
        self.n, self.m = n, m
        gain = np.full(m, (2 / n) ** 0.5)
        gain[0] = n**-0.5
        self._gain = Constant(gain)  # what makes each row of the DCT one of length 1
        angles = np.pi / (2 * n) * np.arange(max(m, n // 2 + 1))
        self._angles = Constant(np.cos(angles)), Constant(np.sin(angles))

    def coefficients(self, x: Any, axis: int, xp: Any) -> Any:
        """The lowest m coefficients of x along the axis, of length n."""
        if 0 in x.shape:  # of which no library takes the FFT
            return _part(x, self.m, axis)
        if array_api_compat.is_numpy_namespace(xp):
            from scipy.fft import dct

            return _part(dct(x, axis=axis, norm="ortho"), self.m, axis).astype(x.dtype, copy=False)
        x, dtype = _complete(moved(x, axis, -1, xp), xp)
        v = xp.fft.rfft(_in_one(xp.concat([x[..., ::2], xp.flip(x[..., 1::2], axis=-1)], axis=-1)))
        re, im = xp.real(v), xp.imag(v)
        if self.m > self.n // 2 + 1:  # the rest of V mirrors the first half
            rest = slice(1, self.n - self.n // 2)
            re = xp.concat([re, xp.flip(re[..., rest], axis=-1)], axis=-1)
            im = xp.concat([im, -xp.flip(im[..., rest], axis=-1)], axis=-1)
        kept = slice(self.m)
        cos, sin = (table.like(x)[kept] for table in self._angles)
        found = self._gain.like(x) * (cos * re[..., kept] + sin * im[..., kept])
        return moved(xp.astype(found, dtype, copy=False), -1, axis, xp)

    def values(self, z: Any, axis: int, xp: Any) -> Any:
        """The n values along the axis of which z are the lowest m coefficients, the others being 0."""
        if 0 in z.shape:
            return xp.concat([z, _zeros(z, self.n - self.m, xp, axis)], axis=axis)
        if array_api_compat.is_numpy_namespace(xp):
            from scipy.fft import idct

            # which appends the zeros, and makes single of half precision
            return idct(z, n=self.n, axis=axis, norm="ortho").astype(z.dtype, copy=False)
        z, dtype = _complete(moved(z, axis, -1, xp), xp)
        c, n, half = z / self._gain.like(z), self.n, self.n // 2 + 1
        c = xp.concat([c, _zeros(c, n - self.m + 1, xp)], axis=-1)  # C_0 … C_n, with C_n = 0
        first, mirrored = c[..., :half], xp.flip(c[..., n - half + 1 :], axis=-1)
        cos, sin = (table.like(z)[:half] for table in self._angles)
        re, im = cos * first + sin * mirrored, sin * first - cos * mirrored
        complexes = xp.complex64 if z.dtype == xp.float32 else xp.complex128
        v = xp.fft.irfft(_in_one(xp.astype(re, complexes) + 1j * xp.astype(im, complexes)), n=n)
        even, odd = v[..., : (n + 1) // 2], xp.flip(v[..., (n + 1) // 2 :], axis=-1)
        odd = xp.concat([odd, _zeros(odd, n % 2, xp)], axis=-1)
        x = xp.reshape(xp.stack([even, odd], axis=-1), (*v.shape[:-1], 2 * even.shape[-1]))[..., :n]
        return moved(xp.astype(x, dtype, copy=False), -1, axis, xp)


class Transform(AxisMap):
    """What a transform does; on arrays of other libraries than numpy a matrix does it while the axis is short."""

    def __init__(self, n: int, m: int) -> None:
        super().__init__(n, m)
        self._dense = Dense(self._back(np.eye(m), -1, numpy_namespace()).T) if n <= _ELSEWHERE else None

    def restrict(self, x: Any, axis: int, xp: Any) -> Any:
        way = self._matrix_for(xp)
        return way.restrict(x, axis, xp) if way else self._forth(x, axis, xp)

    def embed(self, z: Any, axis: int, xp: Any) -> Any:
        way = self._matrix_for(xp)
        return way.embed(z, axis, xp) if way else self._back(z, axis, xp)

    def _matrix_for(self, xp: Any) -> Dense | None:
        """The matrix, where it is the faster way."""
        return None if array_api_compat.is_numpy_namespace(xp) else self._dense

    @abstractmethod
    def _forth(self, x: Any, axis: int, xp: Any) -> Any:
        """Uᵀx by the transform."""

    @abstractmethod
    def _back(self, z: Any, axis: int, xp: Any) -> Any:
        """Uz by the transform."""


class CosineBasis(Transform):
    """All cosines of the axis as a rotation: `restrict` gives the DCT-II coefficients."""

    def __init__(self, n: int) -> None:
        self._cosines = Cosines(n, n)
        super().__init__(n, n)

    def _forth(self, x: Any, axis: int, xp: Any) -> Any:
        return self._cosines.coefficients(x, axis, xp)

    def _back(self, z: Any, axis: int, xp: Any) -> Any:
        return self._cosines.values(z, axis, xp)

    def products(self, p: int) -> Matrix:
        # cos a cos b = ½ cos(a − b) + ½ cos(a + b): the first is the same in all n/p patches, and the second goes full
        # circles over them, of which nothing is left but where it stands still, at the multiples of n/p
        f, i, (n, places) = np.arange(self.n), np.arange(p)[:, None, None], (self.n, self.n // p)
        j = np.swapaxes(i, 0, 1)
        found = np.cos(np.pi / n * (f * (i - j) % (2 * n)))
        still = slice(0, n, places)
        found[..., still] += np.cos(np.pi / n * (f[still] * (i + j + 1) % (2 * n)))
        found[..., 0] /= 2  # the constant is a cosine of half the power
        return found / p


class LowestCosines(Transform):
    """The lowest m frequencies of the axis, on a grid of m values."""

    def __init__(self, n: int, m: int) -> None:
        self._long, self._short = Cosines(n, m), Cosines(m, m)
        super().__init__(n, m)

    def _forth(self, x: Any, axis: int, xp: Any) -> Any:
        return self._short.values(self._long.coefficients(x, axis, xp), axis, xp)

    def _back(self, z: Any, axis: int, xp: Any) -> Any:
        return self._long.values(self._short.coefficients(z, axis, xp), axis, xp)

    def captured(self, basis: AxisMap) -> Matrix:
        if isinstance(basis, CosineBasis):
            return (np.arange(self.n) < self.m).astype(np.float64)
        return super().captured(basis)

    def keeps_lowest(self) -> bool:
        return True


def cosine_basis(n: int) -> AxisMap:
    """The DCT-II coefficients of an axis, as a rotation."""
    return CosineBasis(n) if n > _ON_NUMPY else Dense(CosineBasis(n).matrix())


def lowest_cosines(n: int, m: int) -> AxisMap:
    """DCT-II of length n, its first m frequencies, inverse DCT of length m."""
    return LowestCosines(n, m) if n > _ON_NUMPY else Dense(LowestCosines(n, m).matrix())


def _complete(x: Any, xp: Any) -> tuple[Any, Any]:
    """x in a dtype that FFTs take, and its own."""
    return (x if x.dtype in (xp.float32, xp.float64) else xp.astype(x, xp.float32)), x.dtype


def _in_one(x: Any) -> Any:
    """x, its last axis in one chunk, as Dask wants it for an FFT."""
    return x.rechunk({x.ndim - 1: -1}) if array_api_compat.is_dask_array(x) else x  # type: ignore[no-untyped-call]


def _part(x: Any, m: int, axis: int) -> Any:
    """The first m along an axis that is counted from the end."""
    return x[(..., slice(m), *[slice(None)] * (-axis - 1))]


def _zeros(like: Any, n: int, xp: Any, axis: int = -1) -> Any:
    """n zeros along an axis."""
    shape = [*like.shape]
    shape[axis] = n
    return xp.zeros(tuple(shape), dtype=like.dtype, device=array_api_compat.device(like))
