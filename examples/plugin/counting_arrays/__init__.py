"""Arrays that follow the array API standard and count the numbers that operations write: an array library in small.

numpy computes; the module itself is the namespace, and what it does not have by name it takes from numpy's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import array_api_compat
import numpy as np

xp: Any = array_api_compat.array_namespace(np.zeros(()))
_written = [0]


@contextmanager
def counted() -> Iterator[Callable[[], int]]:
    """A context in which a function tells how many numbers have been written so far."""
    start = _written[0]
    yield lambda: _written[0] - start


class Array:
    """An array of numpy whose every operation is counted."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)

    shape = property(lambda self: self.values.shape)
    ndim = property(lambda self: self.values.ndim)
    size = property(lambda self: self.values.size)
    dtype = property(lambda self: self.values.dtype)
    device = property(lambda self: "cpu")
    T = property(lambda self: _wrapped(self.values.T))
    mT = property(lambda self: _wrapped(xp.matrix_transpose(self.values)))

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        import counting_arrays

        return counting_arrays

    def to_device(self, device: str, stream: Any = None) -> Array:
        """The array itself: there is one device."""
        return self

    def __getitem__(self, key: Any) -> Any:
        return _wrapped(self.values[_bare(key)])

    def __bool__(self) -> bool:
        return bool(self.values)

    def __int__(self) -> int:
        return int(self.values)

    def __float__(self) -> float:
        return float(self.values)

    def __index__(self) -> int:
        return self.values.__index__()

    def __repr__(self) -> str:
        return f"counted {self.values!r}"


def _bare(value: Any) -> Any:
    """numpy's arrays in place of ours."""
    if isinstance(value, Array):
        return value.values
    return type(value)(map(_bare, value)) if type(value) in (list, tuple) else value


def _wrapped(found: Any) -> Any:
    """Ours in place of numpy's, counted."""
    if isinstance(found, (np.ndarray, np.generic)):
        _written[0] += found.size
        return Array(found)
    return tuple(map(_wrapped, found)) if isinstance(found, tuple) else found


def _counting(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*given: Any, **named: Any) -> Any:
        return _wrapped(function(*map(_bare, given), **{name: _bare(value) for name, value in named.items()}))

    return call


for _name in (
    "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift radd rsub rmul rtruediv rfloordiv rmod rpow "
    "rmatmul rand ror rxor eq ne lt le gt ge neg pos abs invert"
).split():
    setattr(Array, f"__{_name}__", _counting(getattr(np.ndarray, f"__{_name}__")))


class _Part:
    """A namespace within the namespace: ``linalg``, ``fft``."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return _counting(getattr(self._module, name))


_AS_THEY_ARE = {"finfo", "iinfo", "isdtype", "result_type", "can_cast"}  # of dtypes, not of arrays


def __getattr__(name: str) -> Any:
    found = getattr(xp, name)
    if isinstance(found, ModuleType):
        return _Part(found)
    if name == "astype":
        return lambda x, dtype, **named: _wrapped(xp.astype(x.values, dtype, **named))
    return _counting(found) if callable(found) and not isinstance(found, type) and name not in _AS_THEY_ARE else found
