"""DPS, diffusion posterior sampling (Chung, Kim, Mccann, Klasky and Ye 2023), for any α and σ, and any level."""

from __future__ import annotations

import math
from typing import Any

import array_api_compat

from ..sdes import IsotropicSDE
from ..solvers import Solver
from .guidance import Guidance, Guided
from .method import Differentiable, Prepared
from .observation import Observation
from .view import Reduction, View


class DPS(Guidance):
    """x(0) given x(t) is taken for its mean D: p(y | x(t)) ≈ N(y; A D, σ_y² I), r² = 0.

    This overstates what y says wherever x(t) leaves x(0) uncertain, that is at high noise, and the samples come out
    too close to y and to each other. It is also stiff: explicit steps Δt are stable only where g²(t) Δt is of the order
    of σ_y² or less, and blow up otherwise (at σ_y = 0.05 beside data of 0.7, 1000 even steps of VE do). Chung et al.
    have step sizes ζ/‖y − A D‖ in place of 1/σ_y², a matter of tuning; `weight` scales the true ones. A sample whose
    residual grows thirtyfold has left that range: its score becomes NaN, so that `sample_posterior` refuses it
    with level, time and step.

    Raises ValueError for an observation without noise: it divides by σ_y².

    >>> DPS(weight=0.5)
    DPS(weight=0.5)
    """

    def variance(self, t: float, sde: IsotropicSDE, level: int = 0) -> float:
        return 0.0

    def prepare(self, view: View, score: Differentiable, solver: Solver, rows: slice) -> Prepared:
        bounded = _Bounded(view.reduced(0.0), view.observation)
        return Prepared(Guided(self, bounded, score, view, rows), solver, self)

    def check(self, observation: Observation) -> None:
        if not observation.noise:
            raise ValueError("DPS divides by the variance of the noise: give the observation's noise, or take PiGDM")

    def __repr__(self) -> str:
        return f"DPS(weight={self.weight:g})"


class _Bounded:
    """A likelihood whose gradient, σ_y⁻² Aᵀ(y − A D), becomes NaN for a sample in which it grows without bounds."""

    def __init__(self, likelihood: View | Reduction, observation: Observation) -> None:
        self._likelihood, self._bound = likelihood, None
        self._least = math.sqrt(math.prod(observation.measurement.shape)) / observation.noise  # that of the noise alone

    def pull(self, clean: Any, variance: float, rows: slice) -> Any:
        xp = array_api_compat.array_namespace(clean)
        found = self._likelihood.pull(clean, variance, rows)
        size = xp.sqrt(xp.sum(found * found, axis=tuple(range(1, found.ndim)), keepdims=True))
        if self._bound is None:
            self._bound = 30 * (size + self._least)
        return xp.where(size <= self._bound, found, xp.nan)
