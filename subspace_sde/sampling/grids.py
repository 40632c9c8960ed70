"""Times: where the steps of a solver lie, and how they are shared among the levels, each t_k a time of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from ..border import check, checked
from ..process import SubspaceSDE
from ..sdes import IsotropicSDE, OwnSpacing, Spacing
from ..shown import Shown
from ..solvers import Solver

_MOST_STEPS = 10**7


@checked
class AlongTimes(Shown):
    """The user's own times, from T down to t_min: equally long steps go from one to the next.

    Between the times the SDE's own parameter is interpolated. A t_k that is among them keeps all the others as they
    are; for another one the steps of the stages beside it give way a little.

    Raises ValueError for times that do not decrease strictly from T to t_min.
    """

    def __init__(self, times: Sequence[float], sde: IsotropicSDE) -> None:
        given = [float(t) for t in times]
        near = all(
            math.isclose(t, end, rel_tol=1e-6) or t == end for t, end in zip(given[:1] + given[-1:], (sde.T, sde.t_min))
        )
        if len(given) < 2 or not near or not all(a > b for a, b in zip(given, given[1:])):
            shown = given if len(given) < 8 else f"{given[0]!r} … {given[-1]!r}"
            raise ValueError(f"a grid decreases strictly from T = {sde.T:g} to t_min = {sde.t_min:g}, got {shown}")
        self.times = (sde.T, *given[1:-1], sde.t_min)  # which a formula for the grid may miss by rounding
        for a, b in zip(self.times, self.times[1:]):
            if a - b < 1e-12 * (sde.T - sde.t_min):
                raise ValueError(
                    f"two times of the grid differ by rounding alone, {a!r} and {b!r}: leave one of them out"
                )
        self._rising = [float(sde.grid_parameter(t)) for t in reversed(self.times)]
        self._places = np.arange(len(self.times))

    @property
    def steps(self) -> int:
        """One less than the times."""
        return len(self.times) - 1

    def parameter(self, t: float, sde: IsotropicSDE) -> float:
        return float(np.interp(sde.grid_parameter(t), self._rising, self._places))

    def time(self, u: float, sde: IsotropicSDE) -> float:
        place = round(u)
        if abs(u - place) < 1e-9:
            return self.times[self.steps - place]
        return float(sde.from_grid_parameter(float(np.interp(u, self._places, self._rising))))


@checked
def grid(sde: IsotropicSDE, steps: int, spacing: Spacing | None = None) -> np.ndarray[Any, Any]:
    """steps + 1 times from T down to t_min; the SDE's own spacing without another.

    >>> from subspace_sde import VE
    >>> grid(VE(), 4).tolist()
    [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    _check_count(steps)
    return _between(sde, sde.T, sde.t_min, steps, OwnSpacing() if spacing is None else spacing)


@checked
def stage_times(
    process: SubspaceSDE,
    steps: int | Sequence[float],
    spacing: Spacing | None = None,
    solver: Solver | None = None,
) -> list[np.ndarray[Any, Any]]:
    """The times of every level, k = 0 … K, from t_{k+1} down to t_k, both exactly: `steps` steps in all.

    Parameters
    ----------
    steps: their number, or the user's own times from T down to t_min (`AlongTimes`), which may hold the t_k or not.
    spacing: `UniformTime()`, `Rho()`, `UniformLogSNR()`, `OwnSpacing()`, or an object like these. Without it, the
        spacing that the solver states (its attribute `spacing`), else the SDE's own.
    solver: the one that will take the steps.

    The steps are shared out by the lengths of the stages in the spacing's parameter (largest remainder, at least one
    each), and lie evenly in it.

    Raises ValueError for fewer steps than levels or more than can be held, for times that do not decrease strictly from
    T to t_min, and for an SDE that ends at α(T) = 0.

    >>> from subspace_sde import VE, NestedSubspaces, LowPass
    >>> nested = NestedSubspaces([LowPass((32, 32), 20), LowPass((20, 20), 8)])
    >>> process = SubspaceSDE(VE(), nested, [0.3, 0.45], [0.0, 0.0])
    >>> [(len(t) - 1, float(t[0]), float(t[-1])) for t in stage_times(process, 100)]
    [(30, 0.3, 0.0), (15, 0.45, 0.3), (55, 1.0, 0.45)]
    """
    sde = process.sde
    sde.check_terminal()
    if np.ndim(steps):  # the user's own times
        if spacing is not None:
            raise ValueError("give either your own times as `steps`, or a number of steps and a spacing")
        spacing = along = AlongTimes(cast(Sequence[float], steps), sde)
        steps = along.steps
    else:
        steps = int(cast(int, steps))
        spacing = getattr(solver, "spacing", None) if spacing is None else spacing
    spacing = OwnSpacing() if spacing is None else spacing
    check("spacing", spacing, Spacing)  # what a solver states
    if steps < process.K + 1:
        raise ValueError(f"{process.K + 1} levels need at least as many steps, got {steps}")
    _check_count(steps)
    ends = [process.ends(k) for k in range(process.K + 1)]
    lengths = np.asarray([abs(spacing.parameter(b, sde) - spacing.parameter(a, sde)) for a, b in ends])
    share = lengths / lengths.sum() * steps
    counts = np.maximum(np.floor(share + 1e-9).astype(int), 1)
    while counts.sum() < steps:
        counts[np.argmax(share - counts)] += 1
    while counts.sum() > steps:
        counts[np.argmax(np.where(counts > 1, counts - share, -np.inf))] -= 1
    return [_between(sde, b, a, int(n), spacing) for (a, b), n in zip(ends, counts)]


def _check_count(steps: int) -> None:
    if steps > _MOST_STEPS:
        raise ValueError(f"a grid of {steps:,} steps is more than can be held: take at most {_MOST_STEPS:,}")


def _between(sde: IsotropicSDE, start: float, end: float, steps: int, spacing: Spacing) -> np.ndarray[Any, Any]:
    if steps < 1:
        raise ValueError(f"a grid needs at least one step, got {steps}")
    u = np.linspace(spacing.parameter(start, sde), spacing.parameter(end, sde), steps + 1)
    return np.asarray([start, *(spacing.time(float(v), sde) for v in u[1:-1]), end])
