"""How objects show themselves: as the call that makes them, on one short line, however much they hold."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

from .arrays import is_integer

_FEW = 6  # entries that are shown one by one
_LONG = 60  # characters of one argument


def brief(value: Any) -> str:
    """`value` on part of a line: numbers exactly where that is short, arrays by shape, long sequences by their ends.

    >>> import numpy as np
    >>> brief((0.5, np.zeros((3, 2)), (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)))
    '(0.5, array of shape (3, 2), 7 from 1 to 7)'
    """
    if isinstance(value, Real) and not isinstance(value, bool) and not is_integer(value):
        return f"{float(value):g}" if float(f"{float(value):g}") == value else f"{float(value):.6g}"
    if isinstance(value, str):
        return repr(value if len(value) <= _LONG else value[: _LONG - 1] + "…")
    if isinstance(value, (tuple, list)):
        return _sequence(value)
    if isinstance(value, Mapping):
        return f"{len(value)} of {', '.join(map(str, list(value)[:_FEW]))}" if value else "none"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"array of shape {tuple(value.shape)}"
    shown = getattr(value, "__name__", None) if callable(value) else None
    shown = repr(value) if shown is None else shown
    return shown if len(shown) <= 2 * _LONG and "\n" not in shown else f"a {type(value).__name__}"


def _sequence(value: tuple[Any, ...] | list[Any]) -> str:
    if len(value) > _FEW:
        return f"{len(value)} from {brief(value[0])} to {brief(value[-1])}"
    left, right = "()" if isinstance(value, tuple) else "[]"
    return f"{left}{', '.join(map(brief, value))}{',' if left == '(' and len(value) == 1 else ''}{right}"


def few(names: list[str]) -> list[str]:
    """The first and last of many names.

    >>> few(["a", "b", "c"]), few(list("abcdefgh"))
    (['a', 'b', 'c'], ['a', '…', 'h'])
    """
    return names if len(names) <= _FEW else [names[0], "…", names[-1]]


class Shown:
    """Shows itself as the call that made it, without the arguments that are the default.

    The arguments are the fields of a dataclass (those with ``repr``), or the attributes of the same names as the
    constructor's; one that is kept under no such name is left out.

    >>> class Ramp(Shown):
    ...     def __init__(self, steps, slope=1.0):
    ...         self.steps, self.slope = steps, slope
    >>> Ramp(3), Ramp(3, slope=0.5)
    (Ramp(steps=3), Ramp(steps=3, slope=0.5))
    """

    def __repr__(self) -> str:
        shown = (f"{name}={brief(value)}" for name, value in self._shown())
        return f"{type(self).__name__}({', '.join(shown)})"

    def _shown(self) -> Iterable[tuple[str, Any]]:
        """Names and values, in their order."""
        if dataclasses.is_dataclass(self):
            for field in dataclasses.fields(self):
                if field.repr and not _is_default(getattr(self, field.name), field.default):
                    yield field.name, getattr(self, field.name)
            return
        for name, parameter in inspect.signature(type(self)).parameters.items():
            value = getattr(self, name, parameter.default)
            if value is not parameter.empty and not _is_default(value, parameter.default):
                yield name, value


def _is_default(value: Any, default: Any) -> bool:
    """Compares plain values alone: of arrays == is an array."""
    if isinstance(default, tuple) and isinstance(value, tuple):
        return len(value) == len(default) and all(map(_is_default, value, default))
    return value is default or (type(value) is type(default) and isinstance(value, (Real, str)) and value == default)
