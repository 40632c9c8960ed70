"""The trace of a score's Jacobian, the divergence ∇·s: exact, or estimated (Hutchinson 1990).

For v with E[v vᵀ] = I, E[vᵀ J v] = tr J. A probe v is kept for a whole trajectory, so that the estimate of its
integral is unbiased too, and the ODE that is solved is smooth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import array_api_compat
import numpy as np

from ..arrays import positive_integer
from ..backend import Noise
from ..border import checked
from ..shown import Shown
from .flow import DifferentiableScore


class Trace(Protocol):
    """A way to find tr J of a score at x, alone or several independent times."""

    @property
    def draws(self) -> int:
        """Independent estimates at once; 0 for one that is exact."""

    def probes(self, shape: tuple[int, ...], noise: Noise) -> Any:
        """What is drawn once for a trajectory in coordinates of `shape`: (size, draws, *shape), or None."""

    def estimate(self, score: DifferentiableScore, x: Any, t: float, probes: Any) -> tuple[Any, Any]:
        """The score s(x, t), like x of shape (size, *shape), and tr J, (size, max(draws, 1))."""


@checked
class Exact(Shown):
    """The sum over all n unit vectors: n derivative products for each evaluation, so for small n.

    Parameters
    ----------
    at_once: unit vectors in one call of the score, which then sees a batch so many times larger.

    >>> Exact().draws
    0
    """

    draws = 0

    def __init__(self, at_once: int = 64) -> None:
        self.at_once = positive_integer("at_once", at_once)

    def probes(self, shape: tuple[int, ...], noise: Noise) -> Any:
        return None

    def estimate(self, score: DifferentiableScore, x: Any, t: float, probes: Any) -> tuple[Any, Any]:
        xp, size, shape = array_api_compat.array_namespace(x), x.shape[0], tuple(x.shape[1:])
        n = int(np.prod(shape))
        s, traces = None, []
        for start in range(0, n, self.at_once):
            m = min(self.at_once, n - start)
            unit = xp.eye(m, n, k=start, dtype=x.dtype, device=array_api_compat.device(x))
            unit = xp.broadcast_to(xp.reshape(unit, (m, 1, *shape)), (m, size, *shape))
            many = xp.reshape(xp.broadcast_to(x, (m, *x.shape)), (m * size, *shape))
            value, (w,) = score.products(many, t, [xp.reshape(unit, (m * size, *shape))])
            s = value[:size, ...] if s is None else s
            parts = xp.reshape(xp.reshape(w, (m, size, *shape)) * unit, (m, size, n))
            traces.append(xp.sum(xp.sum(parts, axis=-1), axis=0))
        return s, xp.reshape(sum(traces[1:], traces[0]), (size, 1))


def rademacher(z: Any) -> Any:
    """Signs, +1 or −1, from standard normal numbers: of all laws of independent entries the one of least variance.

    >>> rademacher(np.asarray([-0.3, 2.0]))
    array([-1.,  1.])
    """
    xp = array_api_compat.array_namespace(z)
    return xp.where(z < 0, -xp.ones_like(z), xp.ones_like(z))


def gaussian(z: Any) -> Any:
    """Standard normal probes: the numbers as they are."""
    return z


@checked
class Hutchinson(Shown):
    """The mean of vᵀJv over random probes, each of which takes one derivative product.

    Parameters
    ----------
    probes: independent ones for each sample; a standard error needs two.
    distribution: `rademacher`, `gaussian`, or any function that makes entries of mean 0 and variance 1 from
        independent standard normal numbers.

    Raises ValueError for fewer probes than one.

    >>> Hutchinson(probes=4).draws
    4
    """

    def __init__(self, probes: int = 1, distribution: Callable[[Any], Any] = rademacher) -> None:
        self.draws = positive_integer("probes", probes, 10**6)
        self.distribution = distribution

    def _shown(self) -> Iterable[tuple[str, Any]]:
        return [("probes", self.draws), ("distribution", self.distribution)]

    def probes(self, shape: tuple[int, ...], noise: Noise) -> Any:
        return self.distribution(noise.normal((self.draws, *shape)))

    def estimate(self, score: DifferentiableScore, x: Any, t: float, probes: Any) -> tuple[Any, Any]:
        vectors = [probes[:, i, ...] for i in range(self.draws)]
        s, products = score.products(x, t, vectors)
        xp = array_api_compat.array_namespace(x)
        return s, xp.stack([inner(v, w) for v, w in zip(vectors, products)], axis=1)


def inner(a: Any, b: Any) -> Any:
    """⟨a, b⟩ of every element of the batch: (size, *shape) twice to (size,)."""
    xp = array_api_compat.array_namespace(a)
    return xp.sum(xp.reshape(a * b, (a.shape[0], int(np.prod(a.shape[1:])))), axis=-1)
