"""Block means: eq. 12, for any factors and axes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import prod
from operator import add
from typing import Any

import numpy as np

from ..arrays import sizes
from ..border import checked
from ..specification import register
from .axis_maps import AxisMap, Matrix
from .base import Subspace, per_axis
from .cosines import CosineBasis


@checked
@register
class Downsampling(Subspace):
    """Arrays that are constant on blocks (eq. 12): 𝒟x is the mean over each block times √(product of the factors).

    Parameters
    ----------
    shape: trailing shape of the arrays, ``(3, 32, 32)`` say.
    factor: edge of a block, one number or one for each of `axes`; each must divide its axis.
    axes: the axes to downsample; any number of them (signals, images, videos, volumes).

    >>> import numpy as np
    >>> x = np.asarray([1.0, 1.0, 2.0, 4.0])
    >>> Downsampling((4,), 2, axes=(-1,)).restrict(x).round(3)
    array([1.414, 4.243])
    """

    def __init__(
        self, shape: int | Sequence[int], factor: int | Sequence[int], axes: int | Sequence[int] = (-2, -1)
    ) -> None:
        ambient = sizes("shape", shape)
        self.factor, self.axes = per_axis("factor", factor, axes, len(ambient))
        coordinates = list(ambient)
        for f, a in zip(self.factor, self.axes):
            if ambient[a] % f:
                raise ValueError(
                    f"the factor {f} does not divide axis {a} of length {ambient[a]}: "
                    "LowPass takes any size, or crop the arrays"
                )
            coordinates[a] //= f
        super().__init__(ambient, coordinates)
        # from the outermost axis inwards: summing the outer axes first leaves less for the inner ones, whose strided
        # sums are the slow ones; embedding goes the other way for the same reason
        self._blocks = sorted((a, f) for a, f in zip(self.axes, self.factor) if f > 1)
        self._gain: float = prod(self.factor) ** 0.5

    @property
    def coordinate_scale(self) -> float:
        return self._gain

    def _restrict(self, x: Any, xp: Any) -> Any:
        return self._sums(x, xp) / self._gain

    def _embed(self, z: Any, xp: Any) -> Any:
        return _repeat(z / self._gain, self._blocks, xp)

    def _project(self, x: Any, xp: Any) -> Any:
        return _repeat(self._sums(x, xp) / self._gain**2, self._blocks, xp)

    def _reject(self, x: Any, xp: Any) -> Any:
        if not self._blocks:
            return super()._reject(x, xp)
        (axis, f), *inner = self._blocks
        means = _repeat(self._sums(x, xp) / self._gain**2, inner, xp)
        # broadcast along the outermost axis instead of repeated: the projection is never built at the size of x
        return xp.reshape(_split(x, axis, f, xp) - xp.expand_dims(means, axis=axis), x.shape)

    def _sums(self, x: Any, xp: Any) -> Any:
        for axis, f in self._blocks:
            x = _sum(_split(x, axis, f, xp), axis, xp)
        return x

    def _axis_maps(self) -> tuple[AxisMap, ...]:
        factor, ndim = dict(zip(self.axes, self.factor)), len(self.shape)
        return tuple(_Blocks(n, factor.get(a, 1)) for a, n in zip(range(-ndim, 0), self.ambient_shape))

    def arguments(self) -> dict[str, Any]:
        return {"shape": list(self.ambient_shape), "factor": list(self.factor), "axes": list(self.axes)}

    def _within(self, outer: Subspace) -> Subspace:
        if isinstance(outer, Downsampling):
            mine, theirs = dict(zip(self.axes, self.factor)), dict(zip(outer.axes, outer.factor))
            axes = tuple(sorted(mine.keys() | theirs.keys()))
            return Downsampling(outer.shape, tuple(mine.get(a, 1) // theirs.get(a, 1) for a in axes), axes)
        return super()._within(outer)


class _Blocks(AxisMap):
    """One axis of length n, in blocks of f."""

    def __init__(self, n: int, f: int) -> None:
        super().__init__(n, n // f)
        self._f = f

    def restrict(self, x: Any, axis: int, xp: Any) -> Any:
        return _sum(_split(x, axis, self._f, xp), axis, xp) / self._f**0.5

    def embed(self, z: Any, axis: int, xp: Any) -> Any:
        return _repeat(z / self._f**0.5, [(axis, self._f)], xp)

    def captured(self, basis: AxisMap) -> Matrix:
        if not isinstance(basis, CosineBasis):
            return super().captured(basis)
        # the mean of a cosine over a block is the cosine at its middle, times what is left of the amplitude; m values
        # of cos² add up to m/2, but at frequency 0, and at multiples of m, where the middles are all ±1 or all 0
        frequency, (n, m, f) = np.arange(1, self.n), (self.n, self.m, self._f)
        left = np.sin(np.pi * frequency / (2 * m)) / (f * np.sin(np.pi * frequency / (2 * n)))
        turns, rest = np.divmod(frequency, m)
        squares = np.where(rest > 0, m / 2, np.where(turns % 2, 0.0, m))
        return np.concatenate([[1.0], 2 * f / n * left**2 * squares])

    def keeps_lowest(self) -> bool:
        return self.m in (1, self.n)


def _split(x: Any, axis: int, f: int, xp: Any) -> Any:
    """The axis n, counted from the end, seen as (n / f, f): the axis inside a block takes its number."""
    i = x.ndim + axis
    return xp.reshape(x, (*x.shape[:i], x.shape[i] // f, f, *x.shape[i + 1 :]))


def _sum(blocks: Any, axis: int, xp: Any) -> Any:
    # numpy and torch loop over short contiguous runs one by one: adding strided slices is 2 to 20 times faster
    if axis == -1 and blocks.shape[-1] <= 4:
        return reduce(add, [blocks[..., i] for i in range(blocks.shape[-1])])
    return xp.sum(blocks, axis=axis)


def _repeat(z: Any, blocks: Sequence[tuple[int, int]], xp: Any) -> Any:
    """Every element f times along each of the axes, from the innermost outwards."""
    for axis, f in reversed(blocks):
        i = z.ndim + axis
        before, n, after = z.shape[:i], z.shape[i], z.shape[i + 1 :]
        z = xp.broadcast_to(xp.expand_dims(z, axis=axis), (*before, n, f, *after))
        z = xp.reshape(z, (*before, n * f, *after))
    return z
