"""What a case of `tests.backends.cases` is, and the arrays and random numbers that it is run with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from subspace_sde.backend import backend_of


def numbers(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape)


class Kind:
    """Arrays like `like`."""

    def __init__(self, like: Any) -> None:
        self.like, self.backend = like, backend_of(like)
        self.xp = array_api_compat.array_namespace(like)
        self.eps = float(self.xp.finfo(like.dtype).eps)

    def __call__(self, values: Any) -> Any:
        return self.backend.from_numpy(np.asarray(values, dtype=np.float64), self.like)

    def host(self, x: Any) -> np.ndarray[Any, Any]:
        return self.backend.to_numpy(x).astype(np.float64)

    def inner(self, a: Any, b: Any) -> Any:
        return self.xp.sum(a * b)

    def rng(self, seed: int) -> Any:
        """What stands for an integer: itself, unless a subclass says otherwise."""
        return seed


def same_noise(monkeypatch: Any, like: Any) -> None:
    """The backend of `like` draws the numbers of numpy's float64, whatever its own would be."""
    backend = backend_of(like)
    monkeypatch.setattr(backend, "generator", lambda seed, like: np.random.default_rng(seed))
    monkeypatch.setattr(backend, "is_generator", lambda rng: isinstance(rng, np.random.Generator))

    def normals(generators: Any, shape: Any, like: Any) -> Any:
        return backend.from_numpy(np.stack([g.standard_normal(shape) for g in generators]), like)

    monkeypatch.setattr(backend, "normals", normals)
    monkeypatch.setattr(backend, "normal", lambda g, shape, like: backend.from_numpy(g.standard_normal(shape), like))
    monkeypatch.setattr(backend, "on_host", lambda x: True)  # streams drawn one step at a time


class Case(NamedTuple):
    group: str
    name: str
    run: Callable[[Kind, Any], Any]
    x: np.ndarray[Any, Any]
    traced: bool = True
    """Whether x may be traced; else its values are read, and a tracer is refused."""
    smooth: bool = True
    """Whether it has a derivative."""
    tolerance: float = 0.1
    """In units of √ε."""


CASES: list[Case] = []


def add(group: str, name: str, run: Callable[[Kind, Any], Any], x: np.ndarray[Any, Any], **options: Any) -> None:
    CASES.append(Case(group, name, run, x, **options))


def compare(case: Case, kind: Kind, found: Any, expected: np.ndarray[Any, Any]) -> None:
    """An AssertionError where what a case gave is not what it should have."""
    found = found if isinstance(found, np.ndarray) else kind.host(found)
    assert found.shape == expected.shape, case.name
    size = max(1.0, np.max(np.abs(expected)))
    error = np.max(np.abs(found - expected)) / size / kind.eps**0.5
    assert error <= case.tolerance, f"{case.name} is off by {error:.2g} √ε"
