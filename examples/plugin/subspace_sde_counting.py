"""The backend of subspace_sde for counting_arrays: all that a plug-in has to supply, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from counting_arrays import Array
from scipy.integrate import RK45


class CountingBackend:
    """See `subspace_sde.backend.Backend`."""

    name = "counting_arrays"  # of the library, as its namespace is called

    # -- randomness: a generator of its own, started from a seed of 64 bits

    def generator(self, seed: Any, like: Any) -> np.random.Generator:
        """numpy's own."""
        return np.random.default_rng(seed)

    def is_generator(self, rng: Any) -> bool:
        """Whether it is one of those."""
        return isinstance(rng, np.random.Generator)

    def normal(self, generator: np.random.Generator, shape: tuple[int, ...], like: Any) -> Array:
        """Standard normal numbers in the dtype of `like`."""
        return self.from_numpy(generator.standard_normal(shape), like)

    def normals(self, generators: Sequence[np.random.Generator], shape: tuple[int, ...], like: Any) -> Array:
        """A row from each generator."""
        return self.from_numpy(np.stack([generator.standard_normal(shape) for generator in generators]), like)

    # -- the way to numpy and back: copies both ways

    def to_numpy(self, x: Array) -> np.ndarray[Any, Any]:
        """A copy on the host."""
        return np.array(x.values)

    def from_numpy(self, x: np.ndarray[Any, Any], like: Any) -> Array:
        """A copy in the dtype of `like`."""
        return Array(np.array(x, dtype=like.dtype))

    # -- derivatives: this library has none, and says what to do

    def jvp(self, function: Callable[[Any], Any], x: Any, v: Any) -> tuple[Any, Any]:
        """Refused."""
        raise ValueError("counted arrays have no derivatives: pass torch arrays, or a score with a method vjp(x, t, v)")

    def vjp(self, function: Callable[[Any], Any], x: Any) -> tuple[Any, Callable[[Any], Any]]:
        """Refused."""
        raise ValueError("counted arrays have no derivatives: pass torch arrays, or a score with a method vjp(x, t, v)")

    def cut_off(self, y: Any, x: Any) -> bool:
        """Nothing is recorded, so that nothing is known to be cut off."""
        return False

    def no_grad(self) -> AbstractContextManager[Any]:
        """Nothing to switch off."""
        return nullcontext()

    # -- an adaptive integrator, Dormand-Prince 5(4)

    def integrate(
        self, function: Callable[[Any, float], Any], x: Array, start: float, end: float, rtol: float, atol: float
    ) -> Array:
        """scipy's, which computes in float64 on one axis."""
        low, high = min(start, end), max(start, end)

        def rows(t: float, y: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            slope = function(self.from_numpy(y.reshape(x.shape), x), min(max(float(t), low), high))
            return self.to_numpy(slope).reshape(-1)

        if start == end or not x.size:
            return x
        solver = RK45(rows, start, x.values.reshape(-1).astype(np.float64), end, rtol=rtol, atol=atol)
        while solver.status == "running":
            message = solver.step()
        if solver.status == "failed":
            raise FloatingPointError(f"the steps vanish at t = {solver.t:.6g} ({message}): take a larger rtol and atol")
        return self.from_numpy(solver.y.reshape(x.shape), x)

    # -- where the numbers are, and whether they can be read

    def concrete(self, x: Any) -> bool:
        """Always: nothing is traced."""
        return True

    def on_host(self, x: Any) -> bool:
        """Always: numpy's memory."""
        return True

    def synchronize(self, x: Any) -> None:
        """numpy computes at once."""
