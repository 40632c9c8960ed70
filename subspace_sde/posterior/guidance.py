"""Guidance: the score of y's likelihood is added to the score, ∇ log p(x | y) = ∇ log p(x) + ∇ log p(y | x).

p(y | x_k(t)) is not known. With N(D, r² I) for x_k(0), D = E[x_k(0) | x_k(t)] the denoised mean,

    ∇ log p(y | x) ≈ (∂D/∂x)ᵀ (A U_k)ᵀ S(r²)⁻¹ (y − A U_k D)

with S as in `subspace_sde.posterior.view`. The Jacobian is that of the score, and one product with it is taken.
"""

from __future__ import annotations

import math
from typing import Any

from ..solvers import Solver
from .method import Differentiable, Method, Prepared
from .view import Reduction, View


class Guidance(Method):
    """What ΠGDM and DPS share; a subclass says what r² is.

    Parameters
    ----------
    weight: of the likelihood's score; 1 is Bayes' rule.
    """

    def __init__(self, weight: float = 1.0) -> None:
        if not 0 <= weight < math.inf:
            raise ValueError(f"the weight of the likelihood must be finite and not negative, got {weight}")
        self.weight = float(weight)

    def prepare(self, view: View, score: Differentiable, solver: Solver, rows: slice) -> Prepared:
        sde = view.process.sde
        likelihood = view.reduced(self.variance(view.process.ends(view.level)[0], sde, view.coordinates))
        return Prepared(_Guided(self, likelihood, score, view, rows), solver, self)


class _Guided:
    def __init__(
        self, method: Guidance, likelihood: View | Reduction, score: Differentiable, view: View, rows: slice
    ) -> None:
        self._method, self._likelihood, self._score, self._rows = method, likelihood, score, rows
        self._sde, self._level = view.process.sde, view.coordinates

    def __call__(self, x: Any, t: float) -> Any:
        alpha, variance = float(self._sde.alpha(t)), float(self._sde.sigma(t)) ** 2
        s, pull_back = self._score.linearised(x, t)
        clean = (x + variance * s) / alpha
        pulled = self._likelihood.pull(clean, self._method.variance(t, self._sde, self._level), self._rows)
        back = (pulled + variance * pull_back(pulled)) / alpha
        return s + self._method.weight * back
