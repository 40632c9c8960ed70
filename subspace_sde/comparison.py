"""How a law is held against what was found: what was compared, on what input, and by how much it fails."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

from .arrays import is_floating
from .backend import backend_of, library


class Comparison:
    """Compares, and says what was compared where it fails."""

    def __init__(self, subject: str, like: Any, tolerance: float | None) -> None:
        self.subject, self.part_of, self.input = subject, "", ""
        self._like, self._backend = like, backend_of(like)
        if not is_floating(like):
            raise ValueError(f"like must be a floating-point array, got {like.dtype}")
        self.eps = float(array_api_compat.array_namespace(like).finfo(like.dtype).eps)
        self._tolerance = self.eps ** (2 / 3) if tolerance is None else float(tolerance)
        if not 0 <= self._tolerance < math.inf:
            raise ValueError(f"the tolerance is a relative error, finite and not negative, got {tolerance}")

    def array(self, values: np.ndarray[Any, Any]) -> Any:
        return self._backend.from_numpy(values, self._like)

    def host(self, x: Any) -> np.ndarray[Any, Any]:
        return backend_of(x).to_numpy(x) if array_api_compat.is_array_api_obj(x) else np.asarray(x, dtype=np.float64)

    def holds(self, law: str, true: bool, detail: Any) -> None:
        if not true:
            raise AssertionError(f"{self._of(law)}: does not hold: {detail}, on {self.input}")

    def works(self, law: str, operation: Callable[..., Any], *arguments: Any, or_refuses: bool = False) -> Any:
        """What the operation returns; an AssertionError that names the law where it raises, more than a refusal."""
        try:
            return operation(*arguments)
        except Exception as error:
            if or_refuses and isinstance(error, ValueError):
                raise
            raise AssertionError(
                f"{self._of(law)}: does not hold: raises {type(error).__name__}: {error}, on {self.input}"
            ) from error

    def gives(self, law: str, like: Any, operation: Callable[[Any], Any], argument: Any) -> Any:
        """The same, of the kind of `like`."""
        found = self.works(law, operation, argument)
        self.kind(law, found, like)
        return found

    def kind(self, law: str, found: Any, expected: Any) -> None:
        kinds = []
        for a in (found, expected):
            known = array_api_compat.is_array_api_obj(a)
            kinds.append(
                (tuple(a.shape), library(a), str(a.dtype), str(array_api_compat.device(a)))
                if known
                else type(a).__name__
            )
        self.holds(f"{law}, in the same library, dtype and device", kinds[0] == kinds[1], f"got {kinds[0]}")

    def equal(self, law: str, found: Any, expected: Any, scale: Any = None, tolerance: float | None = None) -> None:
        """Errors of `tolerance` times `scale` are allowed; the scale is the largest number expected, or 1 if larger."""
        a, b = self.host(found).astype(np.float64), self.host(expected).astype(np.float64)
        self.holds(law, a.shape == b.shape, f"shapes {a.shape} and {b.shape}")
        scale = np.max(np.abs(b), initial=1.0) if scale is None else scale
        allowed = np.broadcast_to((self._tolerance if tolerance is None else tolerance) * scale, b.shape).reshape(-1)
        error = np.abs(a - b).reshape(-1)
        worst = int(np.argmax(error - allowed)) if error.size else 0
        good = bool(np.all(error <= allowed))  # NaN is not
        self.holds(law, good, good or f"off by {error[worst]:.1e}, where {allowed[worst]:.1e} is allowed")

    def products_equal(self, law: str, one: tuple[Any, Any], other: tuple[Any, Any]) -> None:
        a, b = (self.host(u).astype(np.float64) * self.host(v) for u, v in (one, other))
        self.equal(law, np.sum(a), np.sum(b), scale=float(np.sum(np.abs(b))))

    def refuses(self, law: str, function: Callable[[float], Any], value: float) -> None:
        try:
            got = function(value)
        except ValueError:
            return
        raise AssertionError(f"{self._of(law)}: does not hold: got {got!r} at {value!r}")

    def _of(self, law: str) -> str:
        return ": ".join(dict.fromkeys(part for part in (self.subject, self.part_of, law) if part))
