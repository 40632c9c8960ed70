"""The numpy backend of subspace_sde."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from scipy.integrate import RK45


class NumpyBackend:
    """See `subspace_sde.backend.Backend`."""

    name = "numpy"

    def generator(self, seed: int, like: Any) -> np.random.Generator:
        return np.random.default_rng(seed)

    def is_generator(self, rng: Any) -> bool:
        return isinstance(rng, np.random.Generator)

    def normal(self, generator: np.random.Generator, shape: tuple[int, ...], like: Any) -> Any:
        if like.dtype in (np.float32, np.float64):
            return generator.standard_normal(shape, dtype=like.dtype)
        return generator.standard_normal(shape, dtype=np.float32).astype(like.dtype)

    def to_numpy(self, x: Any) -> np.ndarray[Any, Any]:
        return np.array(x)

    def from_numpy(self, x: np.ndarray[Any, Any], like: Any) -> Any:
        return x.astype(like.dtype)

    def jvp(self, function: Callable[[Any], Any], x: Any, v: Any) -> tuple[Any, Any]:
        """A central difference: its error is about 1e-10 of the values' scale in float64, too much in float32."""
        if x.dtype != np.float64:
            raise ValueError(f"a derivative of a numpy function needs float64, got {x.dtype}: convert, or pass torch")
        size = float(np.max(np.abs(v), initial=0.0))
        if size == 0.0:
            return function(x), np.zeros_like(v)
        step = np.finfo(np.float64).eps ** (1 / 3) * max(1.0, float(np.max(np.abs(x), initial=0.0))) / size
        return function(x), (function(x + step * v) - function(x - step * v)) / (2 * step)

    def vjp(self, function: Callable[[Any], Any], x: Any) -> tuple[Any, Callable[[Any], Any]]:
        raise ValueError(
            "numpy cannot differentiate backwards: pass torch arrays, or a score with a method vjp(x, t, v)"
        )

    def cut_off(self, y: Any, x: Any) -> bool:
        return False

    def integrate(
        self, function: Callable[[Any, float], Any], x: Any, start: float, end: float, rtol: float, atol: float
    ) -> Any:
        low, high = min(start, end), max(start, end)

        def rows(t: float, y: Any) -> Any:  # scipy computes in float64, on one axis
            return function(y.reshape(x.shape).astype(x.dtype), min(max(float(t), low), high)).reshape(-1)

        if start == end or not x.size:
            return x
        solver = RK45(rows, start, x.reshape(-1).astype(np.float64), end, rtol=rtol, atol=atol)
        while solver.status == "running":
            message = solver.step()
        if solver.status == "failed":
            raise FloatingPointError(f"the steps vanish at t = {solver.t:.6g} ({message}): take a larger rtol and atol")
        return solver.y.reshape(x.shape).astype(x.dtype)

    def concrete(self, x: Any) -> bool:
        return True

    def no_grad(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def synchronize(self, x: Any) -> None:
        """numpy computes at once."""
