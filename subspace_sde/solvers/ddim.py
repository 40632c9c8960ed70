"""DDIM (Song, Meng and Ermon 2021), for any α and σ.

With D = E[x(0)|x(t)] = (x + σ²(t) score)/α(t) and the noise ε = −σ(t) score that goes with it,

    x(s) = α(s) D + √(σ²(s) − ζ²) ε + ζ z,   ζ = η σ(s) √(1 − (α(t)σ(s)/(α(s)σ(t)))²)
"""

from __future__ import annotations

from typing import Any

from ..arrays import Score, over, root
from ..border import checked
from ..sdes import IsotropicSDE
from .base import Draw, SingleStep


@checked
class DDIM(SingleStep):
    """First order, one evaluation a step: from the probability-flow ODE (η = 0) to the reverse SDE (η = 1).

    Parameters
    ----------
    eta: η in [0, 1]; in small steps the noise has η² times the variance of the reverse SDE's.

    >>> DDIM(eta=0.5).eta
    0.5
    """

    def __init__(self, eta: float = 0.0) -> None:
        if not 0 <= eta <= 1:
            raise ValueError(f"DDIM's eta lies between 0, without noise, and 1, the reverse SDE, got {eta}")
        self.eta = float(eta)

    def step(self, x: Any, t: float, s: float, score: Score, sde: IsotropicSDE, noise: Draw) -> Any:
        ratio, sigma, before = sde.alpha(s) / sde.alpha(t), sde.sigma(s), sde.sigma(t)
        fresh = self.eta * sigma * root(1 - (sigma / (ratio * before)) ** 2)
        kept = root(sigma**2 - fresh**2)
        x = over(ratio, x, x.ndim) * x + over(ratio * before**2 - before * kept, x, x.ndim) * score(x, t)
        return x + over(fresh, x, x.ndim) * noise() if self.eta else x
