"""Mixtures along one axis: grey values of colours, say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import sizes
from ..backend import Constant, host
from ..border import checked
from ..subspaces.axis_maps import along
from ..subspaces.base import per_axis
from .base import LinearMeasurement


@checked
class Mixing(LinearMeasurement):
    """The channels mixed by a matrix: y_i = Σ_c M_ic x_c.

    Parameters
    ----------
    shape: of x.
    matrix: M, (channels of y, channels of x).
    axis: of the channels.

    >>> Mixing.greyscale((3, 8, 8)).shape
    (1, 8, 8)
    """

    def __init__(self, shape: int | Sequence[int], matrix: Any, axis: int = -3) -> None:
        shape, weights = list(sizes("shape", shape)), host(matrix)
        _, (axis,) = per_axis("axis", 1, (axis,), len(shape))
        if weights.ndim != 2 or weights.shape[1] != shape[axis] or not np.all(np.isfinite(weights)):
            raise ValueError(
                f"a matrix that mixes {shape[axis]} channels is finite and has as many columns, "
                f"got shape {weights.shape}"
            )
        ambient = tuple(shape)
        shape[axis] = weights.shape[0]
        super().__init__(ambient, shape)
        self._axis, self._matrix, self._square = axis, Constant(weights), Constant(weights @ weights.T)

    @classmethod
    def greyscale(
        cls, shape: int | Sequence[int], weights: Sequence[float] = (0.299, 0.587, 0.114), axis: int = -3
    ) -> Mixing:
        """The luma of red, green and blue: where colourisation starts. One weight a channel."""
        return cls(shape, [list(weights)], axis)

    @property
    def gram_scale(self) -> float | None:
        square = self._square.value
        scale = float(square[0, 0])
        return (
            scale
            if scale > 0 and np.allclose(square, scale * np.eye(len(square)), rtol=0, atol=1e-12 * scale)
            else None
        )

    def _apply(self, x: Any, xp: Any) -> Any:
        return along(self._matrix.like(x), x, self._axis, xp)

    def _adjoint(self, y: Any, xp: Any) -> Any:
        return along(xp.matrix_transpose(self._matrix.like(y)), y, self._axis, xp)

    def _gram(self, y: Any, xp: Any) -> Any:
        return along(self._square.like(y), y, self._axis, xp)
