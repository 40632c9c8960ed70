"""Heun's method on the probability-flow ODE (eq. 3): dx/dt = f x − ½ g² score; with churn, EDM's sampler.

Churn (Karras et al. 2022, algorithm 2) raises the noise σ/α of x by a factor 1 + γ, with fresh noise, before a step
goes down from there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from ..arrays import Score, over
from ..border import checked
from ..scores import probability_flow
from ..sdes import IsotropicSDE
from .base import Draw, SingleStep


@checked
class Heun(SingleStep):
    """Second order, two evaluations of the score a step; deterministic without churn.

    Parameters
    ----------
    churn: γ in [0, √2 − 1]; Karras et al. take S_churn / (number of steps). Noise is never raised above
        that with which the stage begins: beyond it is another level's.
    churn_range: of σ/α, in which noise is raised; their S_tmin and S_tmax.
    churn_std: standard deviation of the fresh noise; their S_noise.

    >>> import numpy as np
    >>> from subspace_sde import VE
    >>> sde = VE()
    >>> # data N(0, 1): then x(t) scales as √(1 + σ²)
    >>> normal = lambda x, t: -x / (1 + sde.sigma(t) ** 2)
    >>> x = Heun().step(np.ones(1), 0.60, 0.59, normal, sde, noise=None)
    >>> exact = ((1 + sde.sigma(0.59) ** 2) / (1 + sde.sigma(0.60) ** 2)) ** 0.5
    >>> bool(abs(x[0] - exact) < 1e-4)
    True
    """

    def __init__(
        self, churn: float = 0.0, churn_range: tuple[float, float] = (0.0, math.inf), churn_std: float = 1.0
    ) -> None:
        if not 0 <= churn <= math.sqrt(2) - 1 + 1e-12:
            raise ValueError(f"churn raises the noise by a share between 0 and √2 − 1 = 0.414 a step, got {churn}")
        low, high = map(float, churn_range)
        if not 0 <= low < high:
            raise ValueError(f"churn_range takes two values of σ/α, the smaller first, got {churn_range}")
        if not 0 <= churn_std < math.inf:
            raise ValueError(f"churn_std must not be negative, got {churn_std}")
        self.churn, self.churn_std = float(churn), float(churn_std)
        self.churn_range = low, high

    def stage(
        self, x: Any, times: Sequence[float], score: Score, sde: IsotropicSDE, noise: Draw
    ) -> Iterator[tuple[float, Any]]:
        for t, s in pairwise(times):
            if self.churn:
                x, t = self._churned(x, t, times[0], sde, noise)
            x = self._heun(x, t, s, score, sde)
            yield s, x

    def step(self, x: Any, t: float, s: float, score: Score, sde: IsotropicSDE, noise: Draw) -> Any:
        """Euler to s, then again with the mean of the slopes at both ends."""
        if self.churn:
            x, t = self._churned(x, t, sde.T, sde, noise)
        return self._heun(x, t, s, score, sde)

    @staticmethod
    def _heun(x: Any, t: float, s: float, score: Score, sde: IsotropicSDE) -> Any:
        flow = probability_flow(score, sde)
        slope = flow(x, t)
        ahead = x + over(s - t, x, x.ndim) * slope
        return x + over(0.5 * (s - t), x, x.ndim) * (slope + flow(ahead, s))

    def _churned(self, x: Any, t: float, highest: float, sde: IsotropicSDE, noise: Draw) -> tuple[Any, float]:
        before = float(sde.sigma(t) / sde.alpha(t))
        if not self.churn_range[0] <= before <= self.churn_range[1]:
            return x, t
        higher = min(float(sde.time_at_log_snr(-2 * math.log(before * (1 + self.churn)), clip=True)), highest)
        if higher <= t:
            return x, t
        after, alpha = float(sde.sigma(higher) / sde.alpha(higher)), float(sde.alpha(higher))
        added = alpha * self.churn_std * math.sqrt(max(after**2 - before**2, 0.0))
        return (alpha / float(sde.alpha(t))) * x + added * noise(), higher
