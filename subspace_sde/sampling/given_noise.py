"""Samples that belong together: x(T) is given, and with it, where it is of the full space, every noise injected.

The parts of x(T) in V_K and in the complements of the V_k are independent. So U_Kᵀ x(T) is where level K starts, and at
t_k the complement P⊥_{k|k-1} U_{k-1}ᵀ x(T)/σ(T), of unit variance, is the noise of Algorithm 1. Under the model the
probability flow only scales that complement from T down to t_k: from one x(T) a plan and the full model go to samples
that belong together.
"""

from __future__ import annotations

from typing import Any

import array_api_compat

from ..arrays import alike, device
from ..backend import Noise
from ..process import SubspaceSDE


class GivenNoise:
    """x(T) for `num` samples, (num, *shape(K)) or (num, *ambient_shape); a ValueError for what is not."""

    def __init__(self, x: Any, process: SubspaceSDE, num: int, like: Any) -> None:
        if not alike(x, like):
            raise ValueError(
                f"noise and like must be of one library, device and dtype, got {type(x).__name__} of {x.dtype} on "
                f"{device(x)} and {type(like).__name__} of {like.dtype} on {device(like)}"
            )
        small, whole = process.shape(process.K), process.shape(0)
        if tuple(x.shape) not in ((num, *small), (num, *whole)):
            either = f"{(num, *whole)}" if small == whole else f"{(num, *small)}, or {(num, *whole)} of the full space"
            raise ValueError(f"noise is x(T) of the {num} samples, of shape {either}, got {tuple(x.shape)}")
        self._x, self._process, self._whole = x, process, tuple(x.shape[1:]) == whole

    def start(self, rows: slice) -> Any:
        """x_K(T) of the samples `rows`."""
        return self._on(self._process.K, rows) if self._whole else self._x[rows, ...]

    def injected(self, k: int, rows: slice, noise: Noise) -> Any:
        """What `SubspaceSDE._inject` draws from as the samples `rows` reach level k; `noise` where nothing is given."""
        return _Unit(self._on(k, rows) / self._process.sde.prior_std) if self._whole else noise

    def _on(self, k: int, rows: slice) -> Any:
        return self._process.subspaces[k]._restrict(self._x[rows, ...], array_api_compat.array_namespace(self._x))


class _Unit:
    """`Noise` that draws what it is given."""

    def __init__(self, x: Any) -> None:
        self._x = x

    def normal(self, shape: tuple[int, ...]) -> Any:
        return self._x
