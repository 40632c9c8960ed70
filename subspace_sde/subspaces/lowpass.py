"""The lowest frequencies of each axis, on a grid of their own: any size, and again an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..arrays import sizes
from ..border import checked
from ..specification import register
from .base import Subspace, per_axis
from .cosines import lowest_cosines
from .separable import AxisByAxis


@checked
@register
class LowPass(AxisByAxis):
    """The lowest `size` DCT-II frequencies of each axis, brought to a `size`-long grid by the inverse DCT.

    Per axis the coordinates are ``z = D_mᵀ [I 0] D_N x`` with orthonormal DCT-II matrices D, so that they are a
    smaller image, of *any* size (not only halves). Long axes go through fast transforms.

    Parameters
    ----------
    shape: trailing shape of the arrays.
    size: the new length, one number or one for each of `axes`, at most the old one.
    axes: the axes to shorten.

    >>> import numpy as np
    >>> LowPass((3, 32, 32), 20).restrict(np.zeros((8, 3, 32, 32))).shape
    (8, 3, 20, 20)
    """

    def __init__(
        self, shape: int | Sequence[int], size: int | Sequence[int], axes: int | Sequence[int] = (-2, -1)
    ) -> None:
        ambient = sizes("shape", shape)
        self.size, self.axes = per_axis("size", size, axes, len(ambient))
        for m, a in zip(self.size, self.axes):
            if m > ambient[a]:
                raise ValueError(f"size {m} is larger than axis {a}, which has length {ambient[a]}")
        shorter = {a: m for m, a in zip(self.size, self.axes) if m < ambient[a]}
        super().__init__(ambient, {a: lowest_cosines(ambient[a], m) for a, m in shorter.items()})

    @property
    def coordinate_scale(self) -> float:
        return float((self.ambient_dim / self.dim) ** 0.5)

    def arguments(self) -> dict[str, Any]:
        return {"shape": list(self.ambient_shape), "size": list(self.size), "axes": list(self.axes)}

    def _outside(self, outer: Subspace) -> float:
        if isinstance(outer, LowPass) and all(n <= m for n, m in zip(self.shape, outer.shape)):
            return 0.0  # its frequencies are among those of `outer`
        return super()._outside(outer)

    def _within(self, outer: Subspace) -> Subspace:
        if isinstance(outer, LowPass):
            return LowPass(outer.shape, tuple(self.shape[a] for a in self.axes), self.axes)
        return super()._within(outer)
