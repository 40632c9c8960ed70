"""Euler-Maruyama on the reverse SDE (eq. 2): dx = (f x − g² score) dt + g dw̄."""

from __future__ import annotations

from typing import Any

from ..arrays import Score, over, sqrt
from ..sdes import IsotropicSDE
from .base import Draw, SingleStep

_LARGEST = 1e4


class EulerMaruyama(SingleStep):
    """x(s) = x + (f x − g² score)(s − t) + g √(t − s) z: first order, one evaluation a step.

    Raises ValueError for a step that takes x to more than 10⁴ times itself, as near α = 0, where f is unbounded: what
    it leaves behind is seen in the samples.
    """

    def step(self, x: Any, t: float, s: float, score: Score, sde: IsotropicSDE, noise: Draw) -> Any:
        f, g = sde.f(t), sde.g(t)
        if isinstance(f, float) and (times := abs(f * (t - s))) > _LARGEST:
            raise ValueError(
                f"one step from t = {t:.6g} takes x to {times:.0e} times itself, because f = α'/α is unbounded towards "
                "α = 0: take DDIM() or DPMSolver(), more steps, or an SDE that ends a little below"
            )
        pulled = over(g * g * (t - s), x, x.ndim) * score(x, t)
        # VE and EDM have no drift: a pass over x is saved
        x = x if isinstance(f, float) and f == 0 else over(1 + f * (s - t), x, x.ndim) * x
        return x + pulled + over(g * sqrt(t - s), x, x.ndim) * noise()
