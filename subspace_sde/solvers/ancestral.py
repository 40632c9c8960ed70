"""The ancestral predictor (Ho et al. 2020, Song et al. 2021): a draw from p(x(s) | x(t), x(0) = E[x(0)|x(t)])."""

from __future__ import annotations

from typing import Any

from ..arrays import Score
from ..sdes import IsotropicSDE
from .base import Draw, SingleStep
from .ddim import DDIM


class Ancestral(SingleStep):
    """First order, one evaluation a step, the variance that of the posterior: the end η = 1 of `DDIM`."""

    def __init__(self) -> None:
        self._posterior = DDIM(eta=1.0)

    def step(self, x: Any, t: float, s: float, score: Score, sde: IsotropicSDE, noise: Draw) -> Any:
        return self._posterior.step(x, t, s, score, sde, noise)
