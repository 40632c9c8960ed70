"""Means over blocks: what upscaling starts from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..border import checked
from ..subspaces import Downsampling
from .base import LinearMeasurement


@checked
class Pooling(LinearMeasurement):
    """Means over blocks: what upscaling starts from. AAᵀ = I / (product of the factors).

    Parameters
    ----------
    shape, factor, axes: as of `Downsampling`.

    >>> import numpy as np
    >>> Pooling((4,), 2, axes=(-1,)).apply(np.asarray([1.0, 3.0, 5.0, 9.0]))
    array([2., 7.])
    """

    def __init__(
        self, shape: int | Sequence[int], factor: int | Sequence[int], axes: int | Sequence[int] = (-2, -1)
    ) -> None:
        self._blocks = Downsampling(shape, factor, axes)
        super().__init__(self._blocks.ambient_shape, self._blocks.shape)
        self._size = self._blocks.ambient_dim / self._blocks.dim

    @property
    def gram_scale(self) -> float:
        return 1 / self._size

    def _apply(self, x: Any, xp: Any) -> Any:
        return self._blocks._restrict(x, xp) / self._size**0.5

    def _adjoint(self, y: Any, xp: Any) -> Any:
        return self._blocks._embed(y, xp) / self._size**0.5

    def _gram(self, y: Any, xp: Any) -> Any:
        return y / self._size
