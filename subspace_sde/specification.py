"""SDEs and subspaces as plain JSON, so that a checkpoint or a plan says what it belongs to, without pickle.

What can be written: every SDE and every subspace of this package. The matrix of a `Basis`, say, is written as the bytes
of its float64 numbers, so that it comes back exact to the bit.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from . import sdes, subspaces
from .sdes import IsotropicSDE
from .subspaces import NestedSubspaces, Subspace
from .subspaces.base import sizes

_LITTLE_ENDIAN = np.dtype("<f8")


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


_KNOWN: dict[str, Callable[..., Any]] = {
    **{name: getattr(m, name) for m in (sdes, subspaces) for name in m.__all__},
    "array": _array,
    "mapping": lambda items: dict(items),
}


def specify(thing: IsotropicSDE | Subspace | NestedSubspaces) -> dict[str, Any]:
    """A dictionary of plain values from which `build` makes the same object again.

    >>> from subspace_sde import VE
    >>> specify(VE())
    {'kind': 'VE', 't_min': 0.0, 'T': 1.0, 'sigma_min': 0.01, 'sigma_max': 50.0}
    """
    kind = type(thing).__name__
    if _KNOWN.get(kind) is not type(thing):
        raise TypeError(f"only the SDEs and subspaces of subspace_sde have a specification, not {kind}")
    if isinstance(thing, NestedSubspaces):
        return {
            "kind": kind,
            "steps": [specify(step) for step in thing.steps],
            "ambient_shape": list(thing.ambient_shape),
        }
    return {"kind": kind, **{name: _plain(value) for name, value in thing._arguments().items()}}


def _plain(value: Any) -> Any:
    if isinstance(value, Subspace):
        return specify(value)
    if isinstance(value, np.ndarray):
        content = value.astype(_LITTLE_ENDIAN).tobytes()
        return {"kind": "array", "shape": list(value.shape), "float64": base64.b64encode(content).decode()}
    if isinstance(value, dict):  # JSON knows no keys but strings
        return {"kind": "mapping", "items": [[key, _plain(item)] for key, item in value.items()]}
    return value


def build(specification: dict[str, Any]) -> Any:
    """The object that `specify` described.

    Raises ValueError for a kind that this package does not know, or arguments that do not fit it.

    >>> from subspace_sde import LowPass
    >>> build(specify(LowPass((3, 32, 32), 20))).shape
    (3, 20, 20)
    """
    if not isinstance(specification, dict):
        raise ValueError(f"a specification is a dictionary with a kind, got {type(specification).__name__}")
    arguments = dict(specification)
    kind = arguments.pop("kind", None)
    if not isinstance(kind, str) or kind not in _KNOWN:
        raise ValueError(f"unknown kind {kind!r} in a specification: known are {', '.join(sorted(_KNOWN))}")

    def built(value: Any) -> Any:
        if isinstance(value, dict):
            return build(value)
        return [built(v) for v in value] if isinstance(value, list) else value

    try:
        return _KNOWN[kind](**{k: built(v) for k, v in arguments.items()})
    except (TypeError, AttributeError) as error:
        raise ValueError(f"a specification of kind {kind!r} does not fit: {error}") from error
