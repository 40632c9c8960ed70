"""Validation at the border: public calls hold their arguments against their annotations, before anything is done.

A solver's step and everything else inside trusts its input. What only the call itself can know, ranges and shapes that
must fit, it checks itself.
"""

from __future__ import annotations

import inspect
import operator
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, wraps
from typing import Any, TypeVar

import array_api_compat
import numpy as np

from .arrays import Array, compiling

_T = TypeVar("_T", bound=Callable[..., Any])

_LIKE = {
    "ArrayData": "ArrayData(x)",
    "Bins": "Bins()",
    "ComplementMoments": "complement_moments(nested, data)",
    "DivergenceCurve": "DivergenceCurve(times, values)",
    "Form": "FullScore()",
    "Images": "load(FOLDER)",
    "IsotropicSDE": "VE()",
    "Langevin": "Langevin(steps=1)",
    "LinearMeasurement": "Mask(mask, shape)",
    "Method": "PiGDM()",
    "NestedSubspaces": "NestedSubspaces([LowPass((3, 32, 32), 16)])",
    "Normal": "Gaussian(mean, covariance)",
    "Observation": "Observation(measurement, y)",
    "Oracle": "Gaussian(mean, covariance)",
    "SingleStep": "Heun()",
    "Solver": "Heun()",
    "Spacing": "Rho()",
    "Start": "Start(x)",
    "Subspace": "LowPass((3, 32, 32), 16)",
    "SubspaceSDE": "SubspaceSDE(VE(), nested, times, variances)",
    "Trace": "Hutchinson()",
}
"""What would do, as it is typed."""


_PLAIN: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a string",
    Array: "an array (numpy, torch, ...)",
}


def checked(call: _T) -> _T:
    """A decorator: a call, or the constructor of a class, whose arguments are of the kinds that their annotations say.

    A number or a whole number is no bool; a sequence is no string, and its entries are checked too; a protocol asks for
    its methods; a class in the place of one of its objects is refused. `Any` takes everything.

    Raises TypeError for the wrong kind of thing, in one sentence that names the argument.

    >>> @checked
    ... def halved(width: int, share: float = 0.5) -> float:
    ...     return width * share
    >>> halved("wide")
    Traceback (most recent call last):
    TypeError: `width` takes a whole number, got 'wide'
    """
    if inspect.isclass(call):
        type.__setattr__(call, "__init__", _checking(call.__init__))
        return call
    return typing.cast(_T, _checking(call))


def _checking(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not compiling():  # it cannot follow the checks
            _check_arguments(function, args, kwargs)
        return function(*args, **kwargs)

    return call


def _check_arguments(function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    signature, kinds = _expected(function)
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError:
        return  # the call itself raises, in Python's own sentence
    for name, value in given.items():
        kind = kinds[name]
        if kind is not Any and value is not signature.parameters[name].default:
            check(name, value, kind)


@cache
def _expected(function: Callable[..., Any]) -> tuple[inspect.Signature, dict[str, Any]]:
    """At the first call: an annotation may name what is defined later."""
    signature = inspect.signature(function)
    return signature, _kinds(function, signature)


def _kinds(function: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    names, found = getattr(function, "__globals__", {}), {}
    for name, parameter in signature.parameters.items():
        variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        kind = Any if variadic or parameter.annotation is parameter.empty else parameter.annotation
        try:
            found[name] = typing.get_type_hints(types.SimpleNamespace(__annotations__={"_": kind}), names)["_"]
        except NameError:  # a type that is imported for type checkers alone
            found[name] = Any
    return found


def check(name: str, value: Any, kind: Any) -> None:
    """A TypeError unless `value`, which came by another way than an argument, is what the annotation `kind` says."""
    if not _is(value, kind):
        raise TypeError(f"`{name}` takes {_described(kind)}, got {_got(value)}")


def _is(value: Any, kind: Any) -> bool:
    """Whether `value` is what the annotation `kind` says."""
    if kind in (Any, typing.Self) or isinstance(kind, TypeVar):
        return True
    if kind is None or kind is types.NoneType:
        return value is None
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_is(value, one) for one in reversed(arguments))  # an array before a number: none is made of it
    if kind is int:
        return _is_whole(value)
    if kind is float:
        return _is_number(value)
    if kind is bool:
        return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")
    if kind is Array:
        return bool(array_api_compat.is_array_api_obj(value)) and not isinstance(value, np.ma.MaskedArray)
    if origin in (Sequence, tuple, list):
        return _is_sequence(value, arguments, origin)
    if origin is Callable:
        return callable(value)
    if origin is Mapping:
        pairs = value.items() if isinstance(value, Mapping) else [(None, None)]
        return all(_is(one, kind) for pair in pairs for one, kind in zip(pair, arguments))
    if origin is not None:
        return isinstance(value, origin)
    if getattr(kind, "_is_protocol", False):
        members = [member for member in vars(kind) if not member.startswith("_")]
        return not isinstance(value, type) and all(hasattr(value, member) for member in members)
    return isinstance(value, kind)


def _is_whole(value: Any) -> bool:
    if isinstance(value, bool) or getattr(value, "shape", ()) != ():
        return False
    try:
        operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        return False
    return "bool" not in str(getattr(value, "dtype", ""))


def _is_number(value: Any) -> bool:
    if isinstance(value, (bool, str, bytes, complex)) or getattr(value, "shape", ()) != ():
        return False
    if any(kind in str(getattr(value, "dtype", "")) for kind in ("bool", "complex", "object", "str", "<U", "|S")):
        return False
    try:
        float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # of an integer larger than any float; of a traced one
        return False
    return True


def _has_value(value: Any) -> bool:
    """False for one real number under jit, grad or vmap."""
    if not array_api_compat.is_array_api_obj(value) or value.shape != () or "complex" in str(value.dtype):
        return True
    try:
        float(value)
    except (TypeError, ValueError, RuntimeError):
        return False
    return True


def _is_sequence(value: Any, arguments: tuple[Any, ...], origin: Any) -> bool:
    if isinstance(value, (str, bytes, Mapping, set)) or not isinstance(value, Iterable):
        return False
    if not isinstance(value, Collection) and not hasattr(value, "__len__"):
        return False
    if getattr(value, "ndim", 1) != 1 or isinstance(value, np.ma.MaskedArray):
        return False
    if not arguments:
        return True
    if origin is tuple and arguments[-1] is not Ellipsis:
        return len(list(value)) == len(arguments) and all(map(_is, value, arguments))
    entries: Any = value
    if array_api_compat.is_array_api_obj(entries) and entries.dtype != object:
        entries = [entries[0]] if entries.shape[0] else []  # which stands for all
    return arguments[0] is Any or all(_is(entry, arguments[0]) for entry in entries)


def _described(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_described(one) for one in arguments if one is not types.NoneType))
    if origin in (Sequence, tuple, list):
        if origin is tuple and arguments[-1] is not Ellipsis:
            return f"{len(arguments)} {_several(arguments[0])}"
        return f"a sequence of {_several(arguments[0])}" if arguments and arguments[0] is not Any else "a sequence"
    if kind in (None, types.NoneType):
        return "None"
    if origin is Callable:
        return "a function"
    if kind in _PLAIN:
        return _PLAIN[kind]
    if origin is Mapping:
        keys, values = arguments
        return f"a mapping of {_several(keys)}" + (f" to {_several(values)}" if values is not Any else "")
    name = getattr(origin or kind, "__name__", str(kind))
    if name in _LIKE:
        return f"an object like {_LIKE[name]}"
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def _several(kind: Any) -> str:
    plain = {int: "whole numbers", float: "numbers", str: "strings"}
    if kind in plain:
        return plain[kind]
    if typing.get_origin(kind) is Callable:
        return "functions"
    found = _described(kind)
    return found.replace("an object", "objects", 1) if found.startswith("an object") else f"entries, each {found}"


def _got(value: Any) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}: call it first"
    if isinstance(value, (int, float, complex, str, bytes)) or value is None:
        shown = repr(value)
        return shown if len(shown) <= 40 else f"{shown[:39]}…"
    if isinstance(value, np.ma.MaskedArray):
        return "a masked array: fill what is missing, or leave those samples out"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        shown = f"{type(value).__name__} of {value.dtype} and shape {tuple(value.shape)}"
        return shown if _has_value(value) else f"{shown}, whose value a transformation hides: pass a number of Python"
    if isinstance(value, (list, tuple, Mapping)) and value:
        entries = value.values() if isinstance(value, Mapping) else value
        kinds = sorted({type(entry).__name__ for entry in entries})
        return f"{type(value).__name__} of {len(value)} {', '.join(kinds[:3])}"
    return type(value).__name__
