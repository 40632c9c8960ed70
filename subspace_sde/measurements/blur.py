"""Convolutions along the axes, mirrored at the ends: what deblurring starts from."""

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
class Blur(LinearMeasurement):
    """A convolution along each of some axes, with the array mirrored at its ends.

    Parameters
    ----------
    shape: of x.
    kernel: an odd number of weights, not more than an axis is long, the same along each axis.
    axes: along which; the product of two is a square blur.

    >>> Blur((4,), [0.25, 0.5, 0.25], axes=(-1,)).apply(np.asarray([0.0, 0.0, 4.0, 0.0]))
    array([0., 1., 2., 1.])
    """

    def __init__(self, shape: int | Sequence[int], kernel: Any, axes: int | Sequence[int] = (-2, -1)) -> None:
        shape, weights = sizes("shape", shape), host(kernel)
        _, axes = per_axis("axes", 1, axes, len(shape))
        if weights.ndim != 1 or len(weights) % 2 == 0 or len(weights) > min(shape[a] for a in axes):
            raise ValueError(
                f"a kernel has one axis, and an odd number of weights that fits into the axes of {shape}, "
                f"got shape {weights.shape}"
            )
        if not np.all(np.isfinite(weights)):
            raise ValueError("the kernel holds NaN or infinity")
        super().__init__(shape, shape)
        self._maps = [(a, Constant(_convolution(weights, shape[a]))) for a in axes]

    @classmethod
    def gaussian(cls, shape: int | Sequence[int], std: float, axes: int | Sequence[int] = (-2, -1)) -> Blur:
        """A Gaussian of standard deviation `std`, in entries, cut off at four of them or where the axis ends."""
        if not 0 < std < np.inf:
            raise ValueError(f"the standard deviation of a blur must be positive, got {std}")
        shape = sizes("shape", shape)
        _, found = per_axis("axes", 1, axes, len(shape))
        reach = min(int(np.ceil(4 * std)), *((shape[a] - 1) // 2 for a in found))
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / std) ** 2)
        return cls(shape, weights / weights.sum(), axes)

    def _apply(self, x: Any, xp: Any) -> Any:
        for axis, matrix in self._maps:
            x = along(matrix.like(x), x, axis, xp)
        return x

    def _adjoint(self, y: Any, xp: Any) -> Any:
        for axis, matrix in self._maps:
            y = along(xp.matrix_transpose(matrix.like(y)), y, axis, xp)
        return y


def _convolution(weights: np.ndarray[Any, Any], n: int) -> np.ndarray[Any, Any]:
    matrix, reach = np.zeros((n, n)), len(weights) // 2
    mirrored = np.pad(np.arange(n), reach, mode="symmetric")
    for i in range(n):
        np.add.at(matrix[i], mirrored[i : i + len(weights)], weights[::-1])
    return matrix
