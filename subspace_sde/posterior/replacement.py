"""The replacement method (Song et al. 2021, Appendix I.2): what y determines is put in its place after every step.

In stage k that is the part of x_k(0) in the space of the z with U_k z in the row space of A: for block means and a
mask, the blocks wholly inside the mask. It is noised as the process noises it, α(t) z + σ(t) ε, from T on and anew
each time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import array_api_compat

from ..arrays import Score
from ..border import checked
from ..sdes import IsotropicSDE
from ..solvers import Solver
from ..solvers.base import Draw
from .method import Differentiable, Method, Prepared
from .observation import Observation
from .pigdm import PiGDM
from .view import Determined, View


@checked
class Replacement(Method):
    """Any solver, and after every step the determined part of x replaced by the observation, noised.

    y is taken as free of noise. The rest of x sees the observation only through fresh noise, so that at high noise it
    is hardly told of it: the samples are too little correlated with y.

    Parameters
    ----------
    otherwise: the guidance of a stage in which y determines too little, and what r² is where a complement is drawn;
        `PiGDM()` without it.
    least: the share of what y sees on a level that it must determine there; with less, `otherwise` runs the stage.

    >>> Replacement()
    Replacement(otherwise=PiGDM(variance=1.0, weight=1), least=0.5)
    """

    def __init__(self, otherwise: Method | None = None, least: float = 0.5) -> None:
        if not 0 <= least <= 1:
            raise ValueError(f"least is a share between 0 and 1, got {least}")
        self.otherwise = PiGDM() if otherwise is None else otherwise
        self.least = float(least)

    def variance(self, t: float, sde: IsotropicSDE, level: int = 0) -> float:
        return self.otherwise.variance(t, sde, level)

    def check(self, observation: Observation) -> None:
        self.otherwise.check(observation)

    def prepare(self, view: View, score: Differentiable, solver: Solver, rows: slice) -> Prepared:
        found = view.determined
        if found is None or found.share < self.least:
            return self.otherwise.prepare(view, score, solver, rows)
        return Prepared(score, self._replacing(solver, found.at(rows)), self)

    def _replacing(self, solver: Solver, determined: Determined) -> Solver:
        return Replacing(solver, determined, resamplings=1, jump=1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(otherwise={self.otherwise!r}, least={self.least:g})"


class Replacing:
    """A solver that replaces, and walks every `jump` steps `resamplings` times over: 1 of 1 is plain replacement."""

    def __init__(self, solver: Solver, determined: Determined, resamplings: int, jump: int) -> None:
        self._solver, self._determined, self._resamplings, self._jump = solver, determined, resamplings, jump

    def stage(
        self, x: Any, times: Sequence[float], score: Score, sde: IsotropicSDE, noise: Draw
    ) -> Iterator[tuple[float, Any]]:
        """One step of the solver at a time: what a multistep solver remembers is not true of a replaced x."""
        x = self._replaced(x, times[0], sde, noise)
        for first in range(0, len(times) - 1, self._jump):
            part = times[first : first + self._jump + 1]
            for again in reversed(range(self._resamplings)):
                for t, s in pairwise(part):
                    for _, ahead in self._solver.stage(x, (t, s), score, sde, noise):
                        x = ahead
                    x = self._replaced(x, s, sde, noise)
                    if not again:
                        yield s, x
                if again:
                    x = self._replaced(_noised(x, part[-1], part[0], sde, noise), part[0], sde, noise)

    def _replaced(self, x: Any, t: float, sde: IsotropicSDE, noise: Draw) -> Any:
        known = float(sde.alpha(t)) * self._determined.value
        change = self._determined.project(known + float(sde.sigma(t)) * noise() - x)
        return x + array_api_compat.array_namespace(x).astype(change, x.dtype, copy=False)


def _noised(x: Any, s: float, t: float, sde: IsotropicSDE, noise: Draw) -> Any:
    """x(t) from x(s) for t > s, forwards."""
    ratio = float(sde.alpha(t) / sde.alpha(s))
    return ratio * x + math.sqrt(max(float(sde.sigma(t)) ** 2 - (ratio * float(sde.sigma(s))) ** 2, 0.0)) * noise()
