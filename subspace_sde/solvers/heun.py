"""Heun's method on the probability-flow ODE (eq. 3): dx/dt = f x − ½ g² score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arrays import Score
from ..sdes import IsotropicSDE


class Heun:
    """Second order, deterministic, two evaluations of the score a step.

    >>> import numpy as np
    >>> from subspace_sde import VE
    >>> sde = VE()
    >>> normal = lambda x, t: -x / (1 + sde.sigma(t) ** 2)  # data N(0, 1): then x(t) scales as √(1 + σ²)
    >>> x = Heun().step(np.ones(1), 0.60, 0.59, normal, sde, noise=None)
    >>> bool(abs(x[0] - ((1 + sde.sigma(0.59) ** 2) / (1 + sde.sigma(0.60) ** 2)) ** 0.5) < 1e-4)
    True
    """

    def step(self, x: Any, t: float, s: float, score: Score, sde: IsotropicSDE, noise: Callable[[], Any]) -> Any:
        """Euler to s, then again with the mean of the slopes at both ends."""
        slope = self._slope(x, t, score, sde)
        ahead = x + (s - t) * slope
        return x + (0.5 * (s - t)) * (slope + self._slope(ahead, s, score, sde))

    @staticmethod
    def _slope(x: Any, t: float, score: Score, sde: IsotropicSDE) -> Any:
        return float(sde.f(t)) * x - (0.5 * float(sde.g(t)) ** 2) * score(x, t)
