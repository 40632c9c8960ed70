"""The reverse-diffusion predictor of Song et al. 2021: the forward steps, reversed as eq. 2 reverses the SDE.

Forwards, x(t) = a x(s) + G z with a = α(t)/α(s) and G² = σ²(t) − a²σ²(s), exactly. Song et al.'s rule turns a discrete
forward step x + φ(x) + G z into x(s) = x − φ(x) + G² score + G z; here φ(x) = (a − 1) x. For VE and VP these are
their formulas.
"""

from __future__ import annotations

from typing import Any

from ..arrays import Score, over, root
from ..sdes import IsotropicSDE
from .base import Draw, SingleStep


class ReverseDiffusion(SingleStep):
    """x(s) = (2 − a) x + G² score + G z: first order, one evaluation a step."""

    def step(self, x: Any, t: float, s: float, score: Score, sde: IsotropicSDE, noise: Draw) -> Any:
        a = sde.alpha(t) / sde.alpha(s)
        variance = sde.sigma(t) ** 2 - (a * sde.sigma(s)) ** 2
        moved = over(2 - a, x, x.ndim) * x + over(variance, x, x.ndim) * score(x, t)
        return moved + over(root(variance), x, x.ndim) * noise()
