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
        f, g = float(sde.f(t)), float(sde.g(t))
        pulled = (g * g * (t - s)) * score(x, t)
        x = (1 + f * (s - t)) * x if f else x  # VE and EDM have no drift: a pass over x is saved
        return x + pulled + (g * math.sqrt(t - s)) * noise()
