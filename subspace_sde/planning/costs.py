"""What one evaluation of the network on a level costs: models for `subspace_sde.plan`.

A cost is any function of the level's subspace, in any unit, since a plan compares it with the full space's. Those here
count pixels, or take the networks themselves and a clock or a library that counts floating-point operations.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from statistics import median
from typing import TypeAlias

from ..arrays import Array, Score, positive_integer
from ..backend import Noise, backend_of
from ..border import checked
from ..subspaces import Subspace

Cost: TypeAlias = Callable[[Subspace], float]
"""What one evaluation of the network on that level costs, in any unit: a function of its subspace."""


@checked
def pixels(subspace: Subspace) -> float:
    """n_k, the dimension: right for a network whose work is proportional to its input.

    >>> from subspace_sde import LowPass
    >>> pixels(LowPass((3, 32, 32), 16))
    768.0
    """
    return float(subspace.dim)


@checked
def power(exponent: float) -> Callable[[Subspace], float]:
    """n_k to that power: below 1 for networks that small inputs leave idle, 2 for attention over all pixels.

    Raises ValueError for an exponent that is not finite.

    >>> from subspace_sde import LowPass
    >>> power(0.5)(LowPass((64,), 16, axes=(-1,)))
    4.0
    """
    if not math.isfinite(exponent):
        raise ValueError(f"the exponent must be finite, got {exponent}")
    return lambda subspace: pixels(subspace) ** exponent


@checked
def seconds(
    score_of: Callable[[Subspace], Score], num: int, like: Array, t: float, repeats: int = 7
) -> Callable[[Subspace], float]:
    """The median time of one call of the level's score, measured once for each shape of coordinates.

    Parameters
    ----------
    score_of: the score of a level (untrained will do: it is the time that counts).
    num: samples in the batch.
    like: an array whose library, device and dtype are used.
    t: a time at which the scores can be called.
    repeats: calls that are timed, after one that warms up.

    Raises ValueError where num or repeats is below 1.

    >>> import numpy as np
    >>> from subspace_sde import LowPass
    >>> cost = seconds(lambda level: lambda x, t: -x, num=2, like=np.zeros(()), t=0.5)
    >>> cost(LowPass((64,), 16, axes=(-1,))) > 0
    True
    """
    positive_integer("repeats", repeats, 10**6)
    positive_integer("num", num)
    _check_finite(t)

    def measured(subspace: Subspace) -> float:
        score, x, backend = _score(score_of, subspace), Noise(0, (num,), like).normal(subspace.shape), backend_of(like)
        taken = []
        with backend.no_grad():
            for _ in range(repeats + 1):
                backend.synchronize(x)
                started = time.perf_counter()
                score(x, t)
                backend.synchronize(x)
                taken.append(time.perf_counter() - started)
        return median(taken[1:])

    return _once_a_shape(measured)


@checked
def flops(score_of: Callable[[Subspace], Score], like: Array, t: float) -> Callable[[Subspace], float]:
    """The floating-point operations of one call of the level's score on one sample, as torch's own counter counts them.

    `score_of`, `like` (a torch array) and `t` are those of `seconds`. Operations that torch does not count (all but
    products and convolutions) are not in the figure; a score that shows none is a ValueError.
    """

    _check_finite(t)

    def counted(subspace: Subspace) -> float:
        from torch.utils.flop_counter import FlopCounterMode

        x = Noise(0, (1,), like).normal(subspace.shape)
        with backend_of(like).no_grad(), FlopCounterMode(display=False) as counter:
            _score(score_of, subspace)(x, t)
        found = float(counter.get_total_flops())
        if not found:
            raise ValueError(
                f"torch counted no operations in the score of {subspace!r}: it counts those of torch alone"
            )
        return found

    return _once_a_shape(counted)


def _check_finite(t: float) -> None:
    if not math.isfinite(t):
        raise ValueError(f"t is a time at which the scores can be called, got {t}")


def _score(score_of: Callable[[Subspace], Score], subspace: Subspace) -> Score:
    found = score_of(subspace)
    if not callable(found):
        raise TypeError(f"score_of gives the score of a level, a function of x and t, got {type(found).__name__}")
    return found


def _once_a_shape(cost: Callable[[Subspace], float]) -> Callable[[Subspace], float]:
    known: dict[tuple[int, ...], float] = {}

    def remembered(subspace: Subspace) -> float:
        if subspace.shape not in known:
            known[subspace.shape] = cost(subspace)
        return known[subspace.shape]

    return remembered
