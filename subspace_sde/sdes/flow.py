"""Rectified flow (Liu et al. 2023; flow matching): α = 1 − t, σ = t."""

from __future__ import annotations

from typing import Any

from ..arrays import exp, sqrt
from ..border import checked
from ..specification import register
from .base import IsotropicSDE


@checked
@register
class RectifiedFlow(IsotropicSDE):
    """A straight line from data to noise: f = −1/(1 − t), g² = 2t/(1 − t), infinite at t = 1, so T lies below.

    >>> RectifiedFlow().g(0.5).__round__(4)
    1.4142
    """

    def __init__(self, t_min: float = 1e-3, T: float = 1 - 1e-3) -> None:
        if not 0 < t_min < T < 1:
            raise ValueError(f"RectifiedFlow needs 0 < t_min < T < 1, got t_min = {t_min}, T = {T}")
        super().__init__(t_min, T)

    def alpha(self, t: Any) -> Any:
        return 1 - t

    def sigma(self, t: Any) -> Any:
        return 1.0 * t

    def f(self, t: Any) -> Any:
        return -1 / (1 - t)

    def g(self, t: Any) -> Any:
        return sqrt(2 * t / (1 - t))

    def _time_at_log_snr(self, v: Any) -> Any:
        return 1 / (1 + exp(v / 2))
