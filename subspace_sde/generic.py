"""A backend made of the array API standard alone: numpy's random streams, scipy's integrator, and no derivatives.

It serves a library without a plug-in, and plug-ins begin from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import array_api_compat
import numpy as np

from .arrays import what_is_installed


class GenericBackend:
    """`subspace_sde.backend.Backend` for the arrays of any library that follows the standard.

    Parameters
    ----------
    name: of the library.

    A plug-in that inherits it overrides what its library does better, and names itself.

    >>> rng = np.random.default_rng(0)
    >>> GenericBackend("numpy").normal(rng, (3,), np.zeros(())).round(3)
    array([ 0.126, -0.132,  0.64 ])
    """

    name: str

    def __init__(self, name: str) -> None:
        self.name = name

    def generator(self, seed: Any, like: Any) -> Any:
        return np.random.default_rng(seed)

    def is_generator(self, rng: Any) -> bool:
        return isinstance(rng, np.random.Generator)

    def normal(self, generator: Any, shape: tuple[int, ...], like: Any) -> Any:
        return self.from_numpy(generator.standard_normal(shape), like)

    def normals(self, generators: Sequence[Any], shape: tuple[int, ...], like: Any) -> Any:
        return array_api_compat.array_namespace(like).stack([self.normal(g, shape, like) for g in generators])

    def to_numpy(self, x: Any) -> np.ndarray[Any, Any]:
        return np.array(x)

    def from_numpy(self, x: np.ndarray[Any, Any], like: Any) -> Any:
        xp = array_api_compat.array_namespace(like)
        return xp.astype(xp.asarray(x, device=array_api_compat.device(like)), like.dtype)

    def jvp(self, function: Callable[[Any], Any], x: Any, v: Any) -> tuple[Any, Any]:
        raise self._no_derivative()

    def vjp(self, function: Callable[[Any], Any], x: Any) -> tuple[Any, Callable[[Any], Any]]:
        raise self._no_derivative()

    def _no_derivative(self) -> ValueError:
        return ValueError(
            f"{self.name} arrays cannot be differentiated: pass a score with a method vjp(x, t, v), or arrays of "
            f"{what_is_installed('torch', 'jax')}"
        )

    def cut_off(self, y: Any, x: Any) -> bool:
        return False

    def integrate(
        self, function: Callable[[Any, float], Any], x: Any, start: float, end: float, rtol: float, atol: float
    ) -> Any:
        from scipy.integrate import RK45

        low, high = min(start, end), max(start, end)

        def rows(t: float, y: Any) -> Any:  # scipy computes in float64, on one axis
            slope = function(self.from_numpy(y.reshape(x.shape), x), min(max(float(t), low), high))
            return self.to_numpy(slope).reshape(-1)

        if start == end or 0 in x.shape:
            return x
        solver = RK45(rows, start, self.to_numpy(x).reshape(-1).astype(np.float64), end, rtol=rtol, atol=atol)
        while solver.status == "running":
            message = solver.step()
        if solver.status == "failed":
            raise FloatingPointError(f"the steps vanish at t = {solver.t:.6g} ({message}): take a larger rtol and atol")
        return self.from_numpy(solver.y.reshape(x.shape), x)

    def concrete(self, x: Any) -> bool:
        return True

    def on_host(self, x: Any) -> bool:
        return "cpu" in str(array_api_compat.device(x)).lower()

    def no_grad(self) -> AbstractContextManager[Any]:
        return nullcontext()

    def synchronize(self, x: Any) -> None:
        """Nothing to wait for."""
