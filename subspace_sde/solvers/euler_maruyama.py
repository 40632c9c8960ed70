"""Euler-Maruyama on the reverse SDE (eq. 2): dx = (f x − g² score) dt + g dw̄."""

from __future__ import annotations

import math
from typing import Any

from ..arrays import Score
from ..sdes import IsotropicSDE
from .base import Draw, SingleStep


class EulerMaruyama(SingleStep):
    """x(s) = x + (f x − g² score)(s − t) + g √(t − s) z: first order, one evaluation a step."""

    def step(self, x: Any, t: float, s: float, score: Score, sde: IsotropicSDE, noise: Draw) -> Any:
        g = float(sde.g(t))
        return (1 + float(sde.f(t)) * (s - t)) * x - (g * g * (s - t)) * score(x, t) + (g * math.sqrt(t - s)) * noise()
