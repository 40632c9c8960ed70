"""Block means: eq. 12, for any factors and axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from .base import Shape, Subspace, per_axis, sizes


class Downsampling(Subspace):
    """Arrays that are constant on blocks (eq. 12): 𝒟x is the mean over each block times √(product of the factors).

    Parameters
    ----------
    shape: trailing shape of the arrays, ``(3, 32, 32)`` say.
    factor: edge of a block, one number or one for each of `axes`; each must divide its axis.
    axes: the axes to downsample; any number of them (signals, images, videos, volumes).

    >>> import numpy as np
    >>> Downsampling((4,), 2, axes=(-1,)).restrict(np.asarray([1.0, 1.0, 2.0, 4.0])).round(3)
    array([1.414, 4.243])
    """

    def __init__(self, shape: Sequence[int], factor: int | Sequence[int], axes: Sequence[int] = (-2, -1)) -> None:
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
        # every axis n is seen as (n / f, f), so that a block is the second of each pair
        factors = dict(zip((a % len(ambient) for a in self.axes), self.factor))
        self._blocks: Shape = ()
        self._one_a_block: Shape = ()
        self._inside: Shape = ()
        for i, n in enumerate(ambient):
            f = factors.get(i, 1)
            self._blocks += (n // f, f) if f > 1 else (n,)
            self._one_a_block += (n // f, 1) if f > 1 else (n,)
            self._inside += (len(self._blocks) - 1,) if f > 1 else ()
        self._inside = tuple(i - len(self._blocks) for i in self._inside)
        self._gain = prod(self.factor) ** 0.5

    def _batch(self, x: Any) -> Shape:
        return tuple(x.shape[: x.ndim - len(self.shape)])

    def _sums(self, x: Any, xp: Any) -> tuple[Any, Any]:
        """x seen as blocks, and the sum over each, every block axis kept with length one."""
        blocks = xp.reshape(x, (*self._batch(x), *self._blocks))
        return blocks, xp.sum(blocks, axis=self._inside, keepdims=True) if self._inside else blocks

    def _restrict(self, x: Any, xp: Any) -> Any:
        return xp.reshape(self._sums(x, xp)[1], (*self._batch(x), *self.shape)) / self._gain

    def _embed(self, z: Any, xp: Any) -> Any:
        batch = self._batch(z)
        spread = xp.reshape(z / self._gain, (*batch, *self._one_a_block))
        return xp.reshape(xp.broadcast_to(spread, (*batch, *self._blocks)), (*batch, *self.ambient_shape))

    def _reject(self, x: Any, xp: Any) -> Any:
        blocks, sums = self._sums(x, xp)
        return xp.reshape(blocks - sums / self._gain**2, x.shape)

    def _arguments(self) -> dict[str, Any]:
        return {"shape": list(self.ambient_shape), "factor": list(self.factor), "axes": list(self.axes)}

    def _within(self, outer: Subspace) -> Subspace:
        if isinstance(outer, Downsampling):
            mine, theirs = dict(zip(self.axes, self.factor)), dict(zip(outer.axes, outer.factor))
            axes = tuple(sorted(mine.keys() | theirs.keys()))
            return Downsampling(outer.shape, tuple(mine.get(a, 1) // theirs.get(a, 1) for a in axes), axes)
        return super()._within(outer)
