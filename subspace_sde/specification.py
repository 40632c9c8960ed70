"""SDEs and subspaces as plain JSON, so that a checkpoint or a plan says what it belongs to, without pickle.

What can be written: every SDE and every structured subspace of this package. A `Basis` holds an array and is left to
the file formats for arrays.
"""

from __future__ import annotations

from typing import Any

from . import sdes, subspaces
from .sdes import IsotropicSDE
from .subspaces import NestedSubspaces, Subspace

_KNOWN: dict[str, type] = {name: getattr(m, name) for m in (sdes, subspaces) for name in m.__all__}


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
    arguments = thing._arguments().items()
    return {"kind": kind, **{k: specify(v) if isinstance(v, Subspace) else v for k, v in arguments}}


def build(specification: dict[str, Any]) -> Any:
    """The object that `specify` described.

    Raises ValueError for a kind that this package does not know, or arguments that do not fit it.

    >>> from subspace_sde import LowPass
    >>> build(specify(LowPass((3, 32, 32), 20))).shape
    (3, 20, 20)
    """
    arguments = dict(specification)
    kind = arguments.pop("kind", None)
    if kind not in _KNOWN:
        raise ValueError(f"unknown kind {kind!r} in a specification: known are {', '.join(sorted(_KNOWN))}")

    def built(value: Any) -> Any:
        if isinstance(value, dict):
            return build(value)
        return [built(v) for v in value] if isinstance(value, list) else value

    try:
        return _KNOWN[kind](**{k: built(v) for k, v in arguments.items()})
    except TypeError as error:
        raise ValueError(f"the specification of a {kind} does not fit it: {error}") from error
