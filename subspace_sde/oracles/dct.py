"""The Gaussian with independent DCT coefficients: stationary data in its simplest form, at any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import sizes
from ..backend import host
from ..border import checked
from ..specification import register
from ..subspaces import Subspace
from ..subspaces.cosines import cosine_basis
from ..subspaces.separable import AxisByAxis
from .gaussian import Diagonalised, Gaussian, keeps_lowest


@checked
class DCTGaussian(Diagonalised):
    """The Gaussian whose DCT-II coefficients over all axes are independent: a diagonal instead of a covariance.

    No matrix is larger than an axis, so that it works at (3, 256, 256) and beyond.

    Parameters
    ----------
    mean: an array of the data's shape.
    power: the variance of each orthonormal DCT-II coefficient, of the same shape.

    >>> DCTGaussian(np.zeros((3, 8, 8)), np.ones((3, 8, 8))).sample(2, rng=0).shape
    (2, 3, 8, 8)
    """

    def __init__(self, mean: Any, power: Any) -> None:
        mean, power = host(mean), host(power)
        if mean.shape != power.shape:
            raise ValueError(f"the mean has shape {mean.shape}, the power {power.shape}: they must agree")
        super().__init__(mean, power, dct_basis(mean.shape))

    @checked
    def restrict(self, subspace: Subspace) -> DCTGaussian | Gaussian:
        """The law of Uᵀx: diagonal where its DCT are the lowest frequencies of x (`LowPass`), else dense."""
        if keeps_lowest(subspace):
            lowest = tuple(slice(n) for n in subspace.shape)
            return DCTGaussian(subspace.restrict(self.mean), self.eigenvalues[lowest])
        return self.dense(subspace)

    def captured(self, subspace: Subspace) -> np.ndarray[Any, Any]:
        return subspace.captured(self.axes)


@checked
def dct_basis(shape: int | Sequence[int]) -> Subspace:
    """The orthonormal DCT-II over all axes, as a rotation: `restrict` gives the coefficients.

    >>> dct_basis((4,)).restrict(np.ones(4)).round(6) + 0.0
    array([2., 0., 0., 0.])
    """
    return _CosineTransform(shape)


@register
class _CosineTransform(AxisByAxis):
    def __init__(self, shape: int | Sequence[int]) -> None:
        lengths = sizes("shape", shape)
        super().__init__(lengths, {a - len(lengths): cosine_basis(n) for a, n in enumerate(lengths)})

    def arguments(self) -> dict[str, Any]:
        return {"shape": list(self.ambient_shape)}
