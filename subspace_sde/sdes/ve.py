"""The variance-exploding SDE (Song et al. 2021): α = 1, σ(t) = σ_min (σ_max / σ_min)^t."""

from __future__ import annotations

import math
from typing import Any

from ..arrays import exp
from ..border import checked
from ..specification import register
from .base import IsotropicSDE


@checked
@register
class VE(IsotropicSDE):
    """Variance exploding: f = 0, g = σ √(2 log(σ_max/σ_min)), uniform grid in t, so geometric in σ.

    >>> VE(0.01, 50.0).sigma(0.5).__round__(4)
    0.7071
    """

    def __init__(self, sigma_min: float = 0.01, sigma_max: float = 50.0, t_min: float = 0.0, T: float = 1.0) -> None:
        if not 0 < sigma_min < sigma_max < math.inf:
            raise ValueError(f"VE needs 0 < sigma_min < sigma_max, got {sigma_min} and {sigma_max}")
        super().__init__(t_min, T)
        self.sigma_min, self.sigma_max = float(sigma_min), float(sigma_max)

    @property
    def _rate(self) -> float:
        return math.log(self.sigma_max / self.sigma_min)

    def alpha(self, t: Any) -> Any:
        return 1.0 + 0 * t

    def sigma(self, t: Any) -> Any:
        return self.sigma_min * exp(self._rate * t)

    def f(self, t: Any) -> Any:
        return 0.0 * t

    def g(self, t: Any) -> Any:
        return self.sigma(t) * math.sqrt(2 * self._rate)

    def _time_at_log_snr(self, v: Any) -> Any:
        return (-v / 2 - math.log(self.sigma_min)) / self._rate
