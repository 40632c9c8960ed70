"""Euler-Maruyama on the reverse SDE (eq. 2), and with a corrector the predictor-corrector of Song et al. 2021."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..arrays import Score
from ..sdes import IsotropicSDE
from .base import Langevin


class EulerMaruyama:
    """x(s) = x + (f x − g² score)(s − t) + g √(t − s) z, then the corrector's Langevin steps at s.

    Parameters
    ----------
    corrector: `Langevin` steps after each step, or none.

    >>> from subspace_sde.solvers import Langevin
    >>> predictor_corrector = EulerMaruyama(corrector=Langevin(steps=1, snr=0.16))
    """

    def __init__(self, corrector: Langevin | None = None) -> None:
        self.corrector = corrector

    def step(self, x: Any, t: float, s: float, score: Score, sde: IsotropicSDE, noise: Callable[[], Any]) -> Any:
        """One evaluation of the score, and one for each of the corrector's steps."""
        g = float(sde.g(t))
        x = (1 + float(sde.f(t)) * (s - t)) * x - (g * g * (s - t)) * score(x, t) + (g * math.sqrt(t - s)) * noise()
        return x if self.corrector is None else self.corrector.move(x, s, score, noise)
