"""Measurements that see some numbers and not others: of the array itself, or of its Fourier coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..arrays import device, sizes
from ..backend import backend_of, host, library
from ..border import checked
from ..subspaces.base import Shape
from .base import LinearMeasurement


@checked
class Mask(LinearMeasurement):
    """Some entries of x, as a flat array: inpainting. AAᵀ = I.

    Parameters
    ----------
    mask: 1 where x was seen, 0 elsewhere; of `shape`, or of its last axes alone, the same for all leading ones.
    shape: of x.

    >>> half = Mask([1, 1, 0, 0], (3, 4))
    >>> half.shape
    (6,)
    >>> half.adjoint(half.apply(np.ones((3, 4))))[0]
    array([1., 1., 0., 0.])
    """

    def __init__(self, mask: Any, shape: int | Sequence[int]) -> None:
        shape = sizes("shape", shape)
        self.mask = np.broadcast_to(_zero_one(mask, shape), shape)
        super().__init__(shape, (int(self.mask.sum()),))
        self._places = _Places(np.flatnonzero(self.mask), prod(shape))

    @property
    def gram_scale(self) -> float:
        return 1.0

    def _apply(self, x: Any, xp: Any) -> Any:
        return self._places.gather(xp.reshape(x, (*x.shape[: x.ndim - len(self.ambient_shape)], -1)), xp)

    def _adjoint(self, y: Any, xp: Any) -> Any:
        return xp.reshape(self._places.scatter(y, xp), (*y.shape[:-1], *self.ambient_shape))

    def _gram(self, y: Any, xp: Any) -> Any:
        return y


@checked
class FourierMask(LinearMeasurement):
    """Some frequencies of x, as magnetic resonance measures them, in an orthonormal real basis. AAᵀ = I.

    The orthonormal discrete Fourier transform F of real x has F(−k) conjugate to F(k): of both one is kept, as
    √2 Re F(k) and √2 Im F(k), behind the Re F(k) of those with k = −k. A mask that holds either of them holds both.

    Parameters
    ----------
    mask: 1 where a frequency was measured, 0 elsewhere, in the order of numpy's ``fftn``; of the shape of the last
        axes of x, or of all of it. The transform goes along the axes of the mask's shape.
    shape: of x.

    >>> lowest = FourierMask([1, 1, 0, 0], (4,))
    >>> lowest.apply(np.ones(4)).round(6).tolist()
    [2.0, 0.0, 0.0]
    """

    def __init__(self, mask: Any, shape: int | Sequence[int]) -> None:
        ambient = sizes("shape", shape)
        self.mask = _zero_one(mask, ambient)
        n = self.mask.ndim
        self._axes, self._lengths = tuple(range(-n, 0)), ambient[len(ambient) - n :]
        places = np.arange(self.mask.size).reshape(self.mask.shape)
        opposite = np.roll(np.flip(places), (1,) * n, range(n))
        seen = self.mask | self.mask.reshape(-1)[opposite]
        pairs, alone = (places[seen & kind] for kind in (places < opposite, places == opposite))
        super().__init__(ambient, (*ambient[: len(ambient) - n], 2 * len(pairs) + len(alone)))
        self._alone, self._n = len(alone), n
        self._places = _Places(np.concatenate([alone, pairs]), self.mask.size)

    @property
    def gram_scale(self) -> float:
        return 1.0

    def _apply(self, x: Any, xp: Any) -> Any:
        f = xp.fft.fftn(_complex(x, xp), axes=self._axes, norm="ortho")
        f = self._places.gather(xp.reshape(f, (*x.shape[: x.ndim - self._n], -1)), xp)
        alone, pairs = f[..., : self._alone], f[..., self._alone :]
        return xp.concat([xp.real(alone), 2**0.5 * xp.real(pairs), 2**0.5 * xp.imag(pairs)], axis=-1)

    def _adjoint(self, y: Any, xp: Any) -> Any:
        m, n = self._alone, (self._alone + self.shape[-1]) // 2
        y = _complex(y, xp)
        pairs = 2**0.5 * (y[..., m:n] + 1j * y[..., n:])
        f = self._places.scatter(xp.concat([y[..., :m], pairs], axis=-1), xp)
        return xp.real(xp.fft.ifftn(xp.reshape(f, (*y.shape[:-1], *self._lengths)), axes=self._axes, norm="ortho"))

    def _gram(self, y: Any, xp: Any) -> Any:
        return y


def _complex(x: Any, xp: Any) -> Any:
    # the standard's transforms take complex numbers alone
    return xp.astype(x, xp.complex128 if x.dtype == xp.float64 else xp.complex64)


class _Places:
    """Some entries of the last axis, taken out, and put back among zeros without a write in place."""

    def __init__(self, places: Any, length: int) -> None:
        self._places, self._source = np.asarray(places), np.full(length, len(places))
        self._source[self._places] = np.arange(len(places))
        self._copies: dict[Any, tuple[Any, Any]] = {}

    def gather(self, x: Any, xp: Any) -> Any:
        return xp.take(x, self._like(x, xp)[0], axis=-1)

    def scatter(self, y: Any, xp: Any) -> Any:
        zero = xp.zeros((*y.shape[:-1], 1), dtype=y.dtype, device=device(y))
        return xp.take(xp.concat([y, zero], axis=-1), self._like(y, xp)[1], axis=-1)

    def _like(self, x: Any, xp: Any) -> tuple[Any, Any]:
        key = (library(x), device(x))
        if key not in self._copies:
            found = tuple(xp.asarray(p, device=device(x)) for p in (self._places, self._source))
            if not backend_of(x).concrete(found[0]):
                return found  # they belong to the trace that they were made in
            self._copies[key] = found
        return self._copies[key]


def _zero_one(mask: Any, shape: Shape) -> np.ndarray[Any, Any]:
    values = host(mask)
    if values.ndim == 0 or values.shape != shape[len(shape) - values.ndim :]:
        raise ValueError(f"a mask has the shape {shape} of the arrays, or of their last axes, got {values.shape}")
    if not np.all((values == 0) | (values == 1)):
        wrong = values[(values != 0) & (values != 1)][0]
        raise ValueError(f"a mask holds 1 where something was measured and 0 elsewhere, got {wrong:g}")
    if not values.any():
        raise ValueError("a mask of zeros measures nothing: give 1 where something was measured")
    found: np.ndarray[Any, Any] = values == 1
    return found
