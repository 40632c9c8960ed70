"""What a score is given beside x and t: an array with one entry a sample, or a tuple or mapping of such arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import Any, TypeAlias

import array_api_compat

from .arrays import Array, device

Condition: TypeAlias = Array | tuple[Array, ...] | Mapping[str, Array]
"""Class labels, (*batch,) or (*batch, ...); or several such arrays: an embedded text and its summary, say."""


def each(function: Callable[..., Any], condition: Any, *others: Any) -> Any:
    """`function` of every array of a condition and of its like in `others`, in a tuple or mapping as before.

    Raises ValueError for `others` that are built in another way.

    >>> each(lambda a, b: a + b, {"text": 1, "pooled": 2}, {"pooled": 20, "text": 10})
    {'text': 11, 'pooled': 22}
    """
    for other in others:
        if _built(other) != _built(condition):
            raise ValueError(f"the condition is {_built(condition)}, and what stands for none {_built(other)}")
    if isinstance(condition, Mapping):
        return {key: function(value, *(other[key] for other in others)) for key, value in condition.items()}
    if isinstance(condition, (tuple, list)):
        make = getattr(condition, "_make", tuple)  # a named tuple keeps its names
        return make([function(*values) for values in zip(condition, *others)])
    return function(condition, *others)


def check_condition(condition: Any, batch: tuple[int, ...]) -> None:
    """A ValueError, which names the array, unless every one of them has an entry for each element of the batch.

    >>> import numpy as np
    >>> check_condition({"text": np.zeros((3, 8)), "pooled": np.zeros(2)}, (3,))
    Traceback (most recent call last):
    ValueError: condition['pooled'] takes one entry for each element of the batch (3,), ...
    """
    named = list(_named(condition))
    if not named:
        raise ValueError("condition holds no array: leave it out where there is none")
    for name, array in named:
        if tuple(array.shape[: len(batch)]) != batch:
            raise ValueError(
                f"{name} takes one entry for each element of the batch {batch}, got shape {tuple(array.shape)}"
            )


def flat(condition: Any, batch: tuple[int, ...]) -> Any:
    """(*batch, ...) to (size, ...), of every array."""
    return each(
        lambda c: array_api_compat.array_namespace(c).reshape(c, (prod(batch), *c.shape[len(batch) :])), condition
    )


def taken(condition: Any, index: Any) -> Any:
    """The entries of the samples that `index`, an array of numpy, names; of every array, (size, ...)."""

    def of(c: Any) -> Any:
        xp = array_api_compat.array_namespace(c)
        return xp.take(c, xp.asarray(index, device=device(c)), axis=0)

    return each(of, condition)


def repeated(condition: Any, times: int) -> Any:
    """The entries `times` times over, of every array."""
    return each(lambda c: array_api_compat.array_namespace(c).concat([c] * times), condition)


def _named(condition: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(condition, Mapping):
        yield from ((f"condition[{key!r}]", value) for key, value in condition.items())
    elif isinstance(condition, (tuple, list)):
        yield from ((f"condition[{i}]", value) for i, value in enumerate(condition))
    else:
        yield "condition", condition


def _built(condition: Any) -> str:
    if isinstance(condition, Mapping):
        return f"a mapping of {', '.join(sorted(map(repr, condition)))}"
    return f"a tuple of {len(condition)}" if isinstance(condition, (tuple, list)) else "one array"
