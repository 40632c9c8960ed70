"""The variance-preserving SDE and its sub-VP relative (Song et al. 2021).

B(t) = ∫₀ᵗ β = β_min t + (β_max − β_min) t²/2.
"""

from __future__ import annotations

import math
from typing import Any

from ..arrays import exp, expm1, log1p, sqrt
from ..border import checked
from ..specification import register
from .base import IsotropicSDE


class _LinearBeta(IsotropicSDE):
    """What VP and sub-VP share: α = exp(−B/2), f = −β/2."""

    def __init__(self, beta_min: float = 0.1, beta_max: float = 20.0, t_min: float = 1e-3, T: float = 1.0) -> None:
        if not 0 < beta_min < beta_max < math.inf:
            raise ValueError(f"{type(self).__name__} needs 0 < beta_min < beta_max, got {beta_min} and {beta_max}")
        if not t_min > 0:
            raise ValueError(f"t_min must be positive (sigma is 0 at t = 0), got {t_min}")
        super().__init__(t_min, T)
        self.beta_min, self.beta_max = float(beta_min), float(beta_max)
        self.check_terminal()

    def beta(self, t: Any) -> Any:
        """β(t), linear from β_min to β_max."""
        return self.beta_min + (self.beta_max - self.beta_min) * t

    def _integral(self, t: Any) -> Any:
        return self.beta_min * t + 0.5 * (self.beta_max - self.beta_min) * t * t

    def _time_at_integral(self, b: Any) -> Any:
        # the root of B(t) = b in the form that does not cancel for small b
        return 2 * b / (self.beta_min + sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * b))

    def alpha(self, t: Any) -> Any:
        return exp(-0.5 * self._integral(t))

    def f(self, t: Any) -> Any:
        return -0.5 * self.beta(t)


@checked
@register
class VP(_LinearBeta):
    """Variance preserving: σ² = 1 − exp(−B), g = √β.

    >>> sde = VP()
    >>> round(sde.alpha(0.3) ** 2 + sde.sigma(0.3) ** 2, 12)
    1.0
    """

    def sigma(self, t: Any) -> Any:
        return sqrt(-expm1(-self._integral(t)))

    def g(self, t: Any) -> Any:
        return sqrt(self.beta(t))

    def _time_at_log_snr(self, v: Any) -> Any:
        # α² = 1/(1 + e⁻ᵛ), so B = log(1 + e⁻ᵛ), in the form that does not overflow
        return self._time_at_integral((abs(v) - v) / 2 + log1p(exp(-abs(v))))


@checked
@register
class SubVP(_LinearBeta):
    """Sub-VP: σ = 1 − exp(−B), g² = β (1 − exp(−2B)).

    >>> SubVP().prior_std.__round__(3)
    1.0
    """

    def sigma(self, t: Any) -> Any:
        return -expm1(-self._integral(t))

    def g(self, t: Any) -> Any:
        return sqrt(-self.beta(t) * expm1(-2 * self._integral(t)))

    def _time_at_log_snr(self, v: Any) -> Any:
        # 1 − σ = eᵛσ², solved for σ; then B = −log(1 − σ), in the form that cancels at neither end, with u = e⁻ᵛᐟ²
        u = exp(-v / 2)
        return self._time_at_integral(log1p(u * (u / 2 + sqrt(1 + u * u / 4))))
