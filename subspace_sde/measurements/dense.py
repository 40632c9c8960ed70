"""A measurement given by its matrix."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ..backend import Constant, host
from ..border import checked
from ..subspaces.axis_maps import along
from .base import LinearMeasurement


@checked
class Dense(LinearMeasurement):
    """A given as a matrix.

    Parameters
    ----------
    matrix: (m, d), an array of any library.
    ambient_shape: of x, d numbers; (d,) without it.

    >>> Dense([[1.0, 1.0, 0.0]]).apply(np.asarray([1.0, 2.0, 3.0]))
    array([3.])
    """

    def __init__(self, matrix: Any, ambient_shape: int | Sequence[int] | None = None) -> None:
        values = host(matrix)
        if values.ndim != 2 or not np.all(np.isfinite(values)):
            raise ValueError(f"a measurement's matrix is finite and has two axes, got shape {values.shape}")
        super().__init__(values.shape[1:] if ambient_shape is None else ambient_shape, values.shape[:1])
        if prod(self.ambient_shape) != values.shape[1]:
            raise ValueError(f"the matrix takes {values.shape[1]} numbers, arrays of {self.ambient_shape} hold others")
        self._matrix = Constant(values)

    def _apply(self, x: Any, xp: Any) -> Any:
        flat = xp.reshape(x, (*x.shape[: x.ndim - len(self.ambient_shape)], -1))
        return along(self._matrix.like(x), flat, -1, xp)

    def _adjoint(self, y: Any, xp: Any) -> Any:
        x = along(xp.matrix_transpose(self._matrix.like(y)), y, -1, xp)
        return xp.reshape(x, (*y.shape[:-1], *self.ambient_shape))
