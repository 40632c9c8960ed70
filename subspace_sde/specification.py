"""SDEs, subspaces and spacings as plain JSON, so that a checkpoint or a plan says what it belongs to, without pickle.

What can be written: every SDE, subspace, spacing and process of this package, and those of registered classes, by the
arguments that they were made from; two that were made alike are equal. Nothing is imported because a file names it: a
class of your own is known once the module that registers it was imported. The matrix of a `Basis`, say, is written as
the bytes of its float64 numbers, so that it comes back exact to the bit.
"""

from __future__ import annotations

import base64
import inspect
from collections.abc import Callable
from math import prod
from numbers import Real
from typing import Any, TypeVar

import numpy as np

from .arrays import sizes
from .shown import brief

_LITTLE_ENDIAN = np.dtype("<f8")
_Kind = TypeVar("_Kind", bound="type[Specified]")


class Specified:
    """What is made of its arguments alone: equal to whatever its class makes of the same ones.

    An object of a class that was not registered, a user's own, is equal to itself alone.
    """

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments, by name: numbers, strings, arrays of numpy, what is `Specified`, lists of them.

        Mappings of them too. A class of your own defines it, and is registered.
        """
        raise TypeError(f"a {type(self).__name__} cannot be written as a specification: it has no `arguments`")

    def __eq__(self, other: object) -> bool:
        if self is other or type(self) is not type(other) or not isinstance(other, Specified):
            return self is other
        return _is_kind(type(self)) and _same(self.arguments(), other.arguments())

    def __hash__(self) -> int:
        return hash((type(self), _hashable(self.arguments()))) if _is_kind(type(self)) else object.__hash__(self)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def _hashable(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.shape  # reading all its numbers would take long, and tell little more
    if isinstance(value, dict):
        return tuple((key, _hashable(item)) for key, item in sorted(value.items()))
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value


def _array(shape: list[int], float64: str) -> np.ndarray[Any, Any]:
    expected = sizes("the shape of an array", shape)
    try:
        content = base64.b64decode(float64, validate=True)
    except ValueError as error:
        raise ValueError(f"the numbers of an array are not base64: {error}") from error
    if len(content) != prod(expected) * _LITTLE_ENDIAN.itemsize:
        raise ValueError(
            f"an array of shape {expected} takes {prod(expected) * _LITTLE_ENDIAN.itemsize} bytes of float64, "
            f"got {len(content)}"
        )
    return np.frombuffer(content, _LITTLE_ENDIAN).reshape(expected).astype(np.float64)


def _mapping(items: list[Any]) -> dict[Any, Any]:
    found = dict(items)
    if len(found) < len(items):
        raise ValueError("a mapping gives one of its keys twice")
    return found


_KNOWN: dict[str, Callable[..., Any]] = {"array": _array, "mapping": _mapping}


def register(kind: _Kind) -> _Kind:
    """A decorator: objects of this class have a specification, by its name and their `arguments()`.

    So they go into plans, processes and checkpoints, and two that were made alike are equal. Whoever reads such a file
    imports the module that registers the class before.

    Raises TypeError for what is no SDE, subspace or spacing, or has no `arguments`; ValueError where another class of
    that name is registered. The same class once more, of a cell that is run again, takes the place of the older one.

    >>> from subspace_sde import VE
    >>> @register
    ... class LongVE(VE):
    ...     def __init__(self, sigma_max=1000.0):
    ...         super().__init__(0.01, sigma_max)
    ...
    ...     def arguments(self):
    ...         return {"sigma_max": self.sigma_max}
    >>> build(specify(LongVE(300.0))) == LongVE(300.0)
    True
    """
    if not (isinstance(kind, type) and issubclass(kind, Specified)):
        raise TypeError(f"what is registered is a class of SDEs, subspaces or spacings, not {brief(kind)}")
    if kind.arguments is Specified.arguments:
        raise TypeError(f"{kind.__name__} needs a method `arguments`, which gives the constructor's arguments by name")
    known = _KNOWN.get(kind.__name__, kind)
    if (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
        raise ValueError(
            f"a class {kind.__name__} is registered already, {known.__module__}.{known.__qualname__}: "
            "give this one another name"
        )
    _KNOWN[kind.__name__] = kind
    return kind


def _is_kind(cls: type) -> bool:
    return _KNOWN.get(cls.__name__) is cls


def specify(thing: Specified) -> dict[str, Any]:
    """A dictionary of plain values from which `build` makes the same object again.

    >>> from subspace_sde import VE
    >>> specify(VE())
    {'kind': 'VE', 't_min': 0.0, 'T': 1.0, 'sigma_min': 0.01, 'sigma_max': 50.0}
    """
    kind = type(thing).__name__
    if not _is_kind(type(thing)):
        raise TypeError(
            f"only SDEs, subspaces and spacings of registered classes have a specification, not {kind}: decorate a "
            "class of your own with subspace_sde.specification.register"
        )
    arguments, taken = thing.arguments(), inspect.signature(type(thing)).parameters
    if unknown := [name for name in arguments if name not in taken or name == "kind"]:
        raise TypeError(
            f"`arguments` of {kind} gives {', '.join(unknown)}, but its constructor takes {', '.join(taken)}"
        )
    return {"kind": kind, **{name: _plain(value) for name, value in arguments.items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, Specified):
        return specify(value)
    if isinstance(value, np.ndarray):
        content = value.astype(_LITTLE_ENDIAN).tobytes()
        return {"kind": "array", "shape": list(value.shape), "float64": base64.b64encode(content).decode()}
    if isinstance(value, dict):  # JSON knows no keys but strings
        return {"kind": "mapping", "items": [[key, _plain(item)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if not (value is None or isinstance(value, (str, Real))):
        raise TypeError(f"a specification holds numbers, strings and arrays of numpy, not a {type(value).__name__}")
    return value


def build(specification: dict[str, Any]) -> Any:
    """The object that `specify` described.

    Raises ValueError for a kind that nobody registered, or arguments that do not fit it: too large, too deep.

    >>> from subspace_sde import LowPass
    >>> build(specify(LowPass((3, 32, 32), 20))).shape
    (3, 20, 20)
    """
    if not isinstance(specification, dict):
        raise ValueError(f"a specification is a dictionary with a kind, got {type(specification).__name__}")
    arguments = dict(specification)
    kind = arguments.pop("kind", None)
    if not isinstance(kind, str) or kind not in _KNOWN:
        raise ValueError(
            f"unknown kind {kind!r} in a specification: known are {', '.join(sorted(_KNOWN))}; where it is a class of "
            "your own, import the module that registers it before"
        )

    def built(value: Any) -> Any:
        if isinstance(value, dict):
            return build(value)
        return [built(v) for v in value] if isinstance(value, list) else value

    try:
        return _KNOWN[kind](**{k: built(v) for k, v in arguments.items()})
    except RecursionError as error:
        raise ValueError("a specification is nested too deeply") from error
    except (TypeError, AttributeError, LookupError, ArithmeticError, MemoryError) as error:
        raise ValueError(f"a specification of kind {kind!r} does not fit: {error or type(error).__name__}") from error
