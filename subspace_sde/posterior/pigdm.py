"""ΠGDM, pseudoinverse-guided diffusion (Song, Vahdat, Mardani and Kautz 2023), for any α and σ, and any level."""

from __future__ import annotations

import math

from ..sdes import IsotropicSDE
from .guidance import Guidance


class PiGDM(Guidance):
    """x(0) given x(t) is taken for N(D, r² I), r² = v σ²/(α² v + σ²): exact for data N(μ, v I), and for no other.

    Parameters
    ----------
    variance: v, of the data's entries; 1 in Song et al.
    weight: of the likelihood's score; 1 is Bayes' rule.

    >>> from subspace_sde import VE
    >>> PiGDM(0.25).variance(0.0, VE()) < 1e-4 < 0.2499 < PiGDM(0.25).variance(1.0, VE())
    True
    """

    def __init__(self, variance: float = 1.0, weight: float = 1.0) -> None:
        super().__init__(weight)
        if not 0 < variance < math.inf:
            raise ValueError(f"the variance of the data must be positive and finite, got {variance}")
        self._prior = float(variance)

    def variance(self, t: float, sde: IsotropicSDE) -> float:
        noise = float(sde.sigma(t)) ** 2
        return self._prior * noise / (float(sde.alpha(t)) ** 2 * self._prior + noise)

    def __repr__(self) -> str:
        return f"PiGDM(variance={self._prior:g}, weight={self.weight:g})"
