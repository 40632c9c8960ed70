"""The numpy backend of subspace_sde."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

from subspace_sde.generic import GenericBackend


class NumpyBackend(GenericBackend):
    """See `subspace_sde.backend.Backend`."""

    def __init__(self, name: str = "numpy") -> None:
        super().__init__(name)

    def normal(self, generator: np.random.Generator, shape: tuple[int, ...], like: Any) -> Any:
        if like.dtype in (np.float32, np.float64):
            return generator.standard_normal(shape, dtype=like.dtype)
        return generator.standard_normal(shape, dtype=np.float32).astype(like.dtype)

    def from_numpy(self, x: np.ndarray[Any, Any], like: Any) -> Any:
        return x.astype(like.dtype)

    def jvp(self, function: Callable[[Any], Any], x: Any, v: Any) -> tuple[Any, Any]:
        """A central difference: its error is about 1e-10 of the values' scale in float64, too much in float32."""
        xp = array_api_compat.array_namespace(x)
        if x.dtype != xp.float64:
            raise ValueError(
                f"a derivative of a {self.name} function needs float64, got {x.dtype}: convert, or pass torch"
            )
        length, size = (float(np.max(np.abs(self.to_numpy(a)), initial=0.0)) for a in (x, v))
        if size == 0.0:
            return function(x), xp.zeros_like(v)
        step = float(np.finfo(np.float64).eps) ** (1 / 3) * max(1.0, length) / size
        return function(x), (function(x + step * v) - function(x - step * v)) / (2 * step)

    def vjp(self, function: Callable[[Any], Any], x: Any) -> tuple[Any, Callable[[Any], Any]]:
        raise ValueError(
            f"{self.name} cannot differentiate backwards: pass torch or JAX arrays, or a score with a method "
            "vjp(x, t, v)"
        )
