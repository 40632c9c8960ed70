"""ΠGDM, pseudoinverse-guided diffusion (Song, Vahdat, Mardani and Kautz 2023), for any α and σ, and any level."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..backend import host
from ..border import checked
from ..sdes import IsotropicSDE
from .guidance import Guidance


@checked
class PiGDM(Guidance):
    """x(0) given x(t) is taken for N(D, r² I), r² = v σ²/(α² v + σ²): exact for data N(μ, v I), and for no other.

    Parameters
    ----------
    variance: v, of the data's entries, 1 in Song et al.; or one for each level, of its coordinates, which gather
        variance as they become fewer: that of the entries times n_0/n_k for smooth data.
    weight: of the likelihood's score; 1 is Bayes' rule.

    Raises ValueError for a variance or a weight that is none, or fewer variances than levels.

    >>> from subspace_sde import VE
    >>> method = PiGDM([0.25, 0.8])
    >>> round(method.variance(1.0, VE()), 3), round(method.variance(1.0, VE(), level=1), 3)
    (0.25, 0.8)
    """

    def __init__(self, variance: float | Sequence[float] = 1.0, weight: float = 1.0) -> None:
        super().__init__(weight)
        values = host(variance)
        self._each = values.ndim > 0
        self._prior: tuple[float, ...] = tuple(float(v) for v in values.reshape(-1))
        if not self._prior or not all(0 < v < math.inf for v in self._prior):
            raise ValueError(f"the variance of the data must be positive and finite, got {variance}")

    def variance(self, t: float, sde: IsotropicSDE, level: int = 0) -> float:
        if self._each and level >= len(self._prior):
            raise ValueError(f"level {level} needs a variance of its own, but only {len(self._prior)} were given")
        prior, noise = self._prior[level if self._each else 0], float(sde.sigma(t)) ** 2
        return prior * noise / (float(sde.alpha(t)) ** 2 * prior + noise)

    def __repr__(self) -> str:
        return f"PiGDM(variance={list(self._prior) if self._each else self._prior[0]}, weight={self.weight:g})"
