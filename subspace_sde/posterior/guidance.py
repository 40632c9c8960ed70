"""Guidance: the score of y's likelihood is added to the score, ∇ log p(x | y) = ∇ log p(x) + ∇ log p(y | x).

p(y | x_k(t)) is not known. With N(D, r² I) for x_k(0), D = E[x_k(0) | x_k(t)] the denoised mean,

    ∇ log p(y | x) ≈ (∂D/∂x)ᵀ (A U_k)ᵀ S(r²)⁻¹ (y − A U_k D)

with S as in `subspace_sde.posterior.view`. The Jacobian is that of the score, and one product with it is taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import array_api_compat

from ..arrays import at_least_single
from ..border import checked
from ..solvers import Solver
from .method import Differentiable, Method, Prepared
from .view import View


@checked
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
        return Prepared(Guided(self, likelihood, score, view, rows), solver, self)


class Likelihood(Protocol):
    """What guides: a `View`, or what stands for one."""

    def pull(self, clean: Any, variance: float, rows: slice) -> Any:
        """See `View.pull`."""


class Guided:
    """The score of a stage, guided by the gradient of a likelihood."""

    def __init__(
        self, method: Guidance, likelihood: Likelihood, score: Differentiable, view: View, rows: slice
    ) -> None:
        self._method, self._likelihood, self._score, self._rows = method, likelihood, score, rows
        self._sde, self._level = view.process.sde, view.coordinates
        self._end, self._unchecked = view.process.ends(view.level)[0], True

    def __call__(self, x: Any, t: float) -> Any:
        alpha, variance = float(self._sde.alpha(t)), float(self._sde.sigma(t)) ** 2
        if self._unchecked:  # at the end of the stage, where the noise is least and the network says most
            sigma = float(self._sde.sigma(self._end))
            self._score.check_derivative(sigma / math.sqrt(variance) * x, self._end, sigma)
            self._unchecked = False
        s, pull_back = self._score.linearised(x, t)
        wide = at_least_single(s)
        clean = (at_least_single(x) + variance * wide) / alpha
        pulled = self._likelihood.pull(clean, self._method.variance(t, self._sde, self._level), self._rows)
        back = (pulled + variance * _pulled_back(pull_back, pulled, s.dtype)) / alpha
        return array_api_compat.array_namespace(s).astype(wide + self._method.weight * back, s.dtype, copy=False)


def _pulled_back(pull_back: Callable[[Any], Any], v: Any, dtype: Any) -> Any:
    """v times the Jacobian; through a score of half precision in units of v's largest entry, against overflow."""
    if v.dtype == dtype:
        return pull_back(v)
    xp = array_api_compat.array_namespace(v)
    unit = xp.max(xp.abs(v), axis=tuple(range(1, v.ndim)), keepdims=True)
    unit = xp.where(unit > 0, unit, xp.ones_like(unit))
    return unit * at_least_single(pull_back(xp.astype(v / unit, dtype)))
