"""The schedule of Karras et al. 2022 (EDM): α = 1, σ(t) = t, and their ρ grid."""

from __future__ import annotations

import math
from typing import Any

from ..arrays import exp, sqrt
from ..border import checked
from ..specification import register
from .base import IsotropicSDE


@checked
@register
class EDM(IsotropicSDE):
    """t is the noise level itself: f = 0, g = √(2t); the grid is uniform in t^(1/7).

    >>> EDM().grid(2).round(3)
    array([8.000e+01, 2.515e+00, 2.000e-03])
    """

    rho = 7.0

    def __init__(self, sigma_min: float = 0.002, sigma_max: float = 80.0) -> None:
        if not 0 < sigma_min < sigma_max < math.inf:
            raise ValueError(f"EDM needs 0 < sigma_min < sigma_max, got {sigma_min} and {sigma_max}")
        super().__init__(sigma_min, sigma_max)
        self.sigma_min, self.sigma_max = float(sigma_min), float(sigma_max)

    def alpha(self, t: Any) -> Any:
        return 1.0 + 0 * t

    def sigma(self, t: Any) -> Any:
        return 1.0 * t

    def f(self, t: Any) -> Any:
        return 0.0 * t

    def g(self, t: Any) -> Any:
        return sqrt(2 * t)

    def arguments(self) -> dict[str, Any]:
        return {"sigma_min": self.sigma_min, "sigma_max": self.sigma_max}  # they are t_min and T

    def between(self, t_min: float, T: float) -> EDM:
        part = super().between(t_min, T)
        return EDM(part.t_min, part.T)

    def _time_at_log_snr(self, v: Any) -> Any:
        return exp(-v / 2)

    def grid_parameter(self, t: Any) -> Any:
        return t ** (1 / self.rho)

    def from_grid_parameter(self, u: Any) -> Any:
        return u**self.rho
