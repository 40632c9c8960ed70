"""Which subspaces, and when: the chain of levels and times that costs least at a given threshold on D_F(U_{k|0}).

A candidate may be used from the time t_k on at which its curve has fallen to the threshold, whatever the other levels
are. So the cost of a chain is a sum over its stages, and the best chain a shortest path: no chain is left out.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

from ..border import checked
from ..divergence.borrowed import LevelError
from ..divergence.estimate import DivergenceCurve, check_threshold
from ..divergence.switching import SwitchTime
from ..sdes import IsotropicSDE, Spacing
from ..specification import specify
from ..subspaces import Identity, NestedSubspaces, Subspace
from .costs import Cost, pixels
from .earliest import earliest
from .plans import Plan, steps_until


@checked
def plan(
    subspaces: Sequence[Subspace],
    curves: Sequence[DivergenceCurve | SwitchTime],
    threshold: float,
    cost: Cost = pixels,
    max_levels: int | None = None,
    multiple_of: int = 1,
    price: float = 0.0,
    grid: Sequence[float] | None = None,
    spacing: Spacing | None = None,
    errors: Sequence[LevelError | None] | None = None,
    tolerance: float | None = None,
) -> Plan:
    """The chain of the given subspaces, and the times, whose expected cost is least; proved optimal, not searched for.

    Parameters
    ----------
    subspaces: candidates of one space, of any kinds; those that nest may follow each other.
    curves: D_F(U_{k|0}; t) of each, from `gaussian_divergence` or from `orthogonal_fisher_divergence`; or what
        `switch_times` found of it for the same threshold.
    threshold: a level is used from the time on at which its curve stays at or below this.
    cost: of one evaluation on a level, as a function of its subspace; see `subspace_sde.planning`.
    max_levels: proper subspaces at most, K ≤ max_levels.
    multiple_of: leaves out candidates with an axis that got shorter and is no multiple of this (a U-Net's halvings); of
        three axes or more the first holds channels and does not count, and coordinates with another number of axes
        than the data have no sizes.
    price: of each level beyond the full one, in units of the full model's cost of sampling: a network to be trained.
        Where one network serves all levels (`subspace_sde.scores.shared`) a further level costs nothing: leave it 0.
    grid: the times, from T down to t_min, whose steps will be used.
    spacing: how the steps will lie: that of the solver, ``DPMSolver.spacing``, where it states one. Without a spacing
        and a grid the SDE's own.
    errors: what `level_error` found of each, if the network of the full space is to serve the levels: then a level is
        used only from the time on at which its excess error, too, stays within the `tolerance`; None in the place of
        one that has a network of its own.
    tolerance: for the errors; the threshold without it, as both count in the same unit.

    Warns where a `SwitchTime` did not reach the standard error that was asked for. Raises ValueError for a threshold
    that no candidate meets (the smallest D_F reached is named), or that is not positive and finite, the tolerance too,
    and for a grid beside a spacing.

    >>> import numpy as np
    >>> from subspace_sde import VE, LowPass
    >>> from subspace_sde.divergence import gaussian_divergence
    >>> from subspace_sde.oracles import DCTGaussian
    >>> smooth = DCTGaussian(np.zeros(16), 1 / np.arange(1, 17) ** 2)
    >>> candidates = [LowPass((16,), n, axes=(-1,)) for n in range(1, 16)]
    >>> best = plan(
    ...     candidates, gaussian_divergence(smooth, VE(), candidates), 3e-3, max_levels=2
    ... )
    >>> best.subspaces, round(best.cost, 2)
    (NestedSubspaces((16,) ⊃ (7,) ⊃ (1,)), 0.48)
    """
    return cheapest(
        Nesting(subspaces),
        curves,
        threshold,
        cost,
        max_levels,
        multiple_of,
        price,
        grid,
        spacing,
        errors,
        tolerance,
    )


class Nesting:
    """Which of some subspaces lie in which others; each pair is looked at once, however many plans are made of them."""

    def __init__(self, subspaces: Sequence[Subspace]) -> None:
        self.subspaces, self._known = subspaces, dict[tuple[int, int], bool]()

    def __call__(self, outer: int, inner: int) -> bool:
        """Whether subspace number `inner` lies in number `outer`, and is smaller."""
        if (outer, inner) not in self._known:
            self._known[outer, inner] = self._nests(self.subspaces[outer], self.subspaces[inner])
        return self._known[outer, inner]

    @staticmethod
    def _nests(outer: Subspace, inner: Subspace) -> bool:
        if inner.dim >= outer.dim:
            return False
        try:
            inner.within(outer)
        except ValueError:
            return False
        return True


def cheapest(
    nests: Nesting,
    curves: Sequence[DivergenceCurve | SwitchTime],
    threshold: float,
    cost: Cost = pixels,
    max_levels: int | None = None,
    multiple_of: int = 1,
    price: float = 0.0,
    grid: Sequence[float] | None = None,
    spacing: Spacing | None = None,
    errors: Sequence[LevelError | None] | None = None,
    tolerance: float | None = None,
) -> Plan:
    """`plan` for the subspaces of `nests`, one of several plans of the same subspaces."""
    subspaces = nests.subspaces
    if len(subspaces) != len(curves) or not subspaces:
        raise ValueError(f"give one curve for each subspace, at least one: got {len(curves)} for {len(subspaces)}")
    check_threshold(threshold)
    for curve in curves:
        if isinstance(curve, SwitchTime):
            curve.time_at(threshold)  # checks
            if not curve.reached:
                warnings.warn(
                    f"t = {curve.t:.3g} ± {curve.stderr:.2g} has not reached the standard error that was asked for: "
                    "the plan takes it as it is; search again with more evaluations",
                    stacklevel=4,  # who called `plan`
                )
    measured = [curve.curve if isinstance(curve, SwitchTime) else curve for curve in curves]
    if max_levels is not None and max_levels < 0:
        raise ValueError(f"max_levels must not be negative, got {max_levels}")
    if multiple_of < 1 or not 0 <= price < math.inf:
        raise ValueError(f"multiple_of must be at least 1 and price must not be negative, got {multiple_of}, {price}")
    spaces = {u.ambient_shape for u in subspaces}
    if len(spaces) > 1:
        raise ValueError(f"the candidates lie in different spaces: arrays of shapes {sorted(spaces)}")
    if errors is None and tolerance is not None:
        raise ValueError("a tolerance is for the errors of a borrowed network: give `errors` from `level_error` too")
    errors, allowed = (
        [None] * len(subspaces) if errors is None else errors,
        threshold if tolerance is None else tolerance,
    )
    check_threshold(allowed)
    if len(errors) != len(subspaces):
        raise ValueError(f"give one LevelError or None for each subspace: got {len(errors)} for {len(subspaces)}")
    sde = _sde_of([*measured, *(error for error in errors if error is not None)])
    chosen = [i for i, u in enumerate(subspaces) if _divisible(u, multiple_of)]
    if not chosen:
        raise ValueError(f"no candidate's sizes are multiples of {multiple_of}")
    suited = [i for i in chosen if earliest(curves[i], measured[i], threshold) is not None]
    found = {i: earliest(curves[i], measured[i], threshold, errors[i], allowed) for i in suited}
    times = {i: t for i, t in found.items() if t is not None}
    if suited and not times:
        least = min(min(error.excess) for i in suited if (error := errors[i]) is not None)
        raise ValueError(
            f"the network of the full space serves no level that meets the threshold within the tolerance {allowed:g}: "
            f"the smallest excess error is {least:.3g}"
        )
    if not times:
        lowest = min(chosen, key=lambda i: min(measured[i].values))
        smallest, last = min(measured[lowest].values), measured[lowest].values[-1]
        dips = f" before {last:.3g}" if last > smallest else ""  # of a noisy curve, say
        raise ValueError(
            f"no subspace meets the threshold {threshold:g}: the smallest D_F reached is {smallest:.3g}, "
            f"by {subspaces[lowest]!r}{dips} at the last t = {measured[lowest].times[-1]:g}"
        )
    space = Identity(subspaces[0].ambient_shape)
    full, prices = _cost(cost, space), {i: _cost(cost, subspaces[i]) for i in times}
    costs = {i: c / full for i, c in prices.items()}
    grid = None if grid is None else tuple(float(t) for t in grid)
    steps = steps_until(sde, grid, spacing)
    reached = {i: steps(t) for i, t in times.items()}

    def extended(i: int, known: dict[int, tuple[float, tuple[int, ...]]]) -> tuple[float, tuple[int, ...]]:
        """The least cost from t_i on, and the chain, with U_i first and a `known` chain behind it, or none."""
        tail: tuple[int, ...] = ()
        value = costs[i] * (1 - reached[i])
        behind = [j for j in known if reached[j] > reached[i] and costs[j] < costs[i]]
        for total, j in sorted((costs[i] * (reached[j] - reached[i]) + known[j][0], j) for j in behind):
            if total >= value:
                break
            if nests(i, j):
                value, tail = total, known[j][1]
                break
        return value + price, (i, *tail)

    best: dict[int, tuple[float, tuple[int, ...]]] = {}
    if max_levels is None or max_levels >= len(times):
        for i in sorted(times, key=reached.__getitem__, reverse=True):
            best[i] = extended(i, best)
    else:
        for _ in range(max_levels):  # a level more each time
            best = {i: extended(i, best) for i in times}
    chains = [(reached[i] + value, chain) for i, (value, chain) in best.items()]
    _, chain = min([(1.0, ()), *chains])
    made = _made(sde, space, chain, subspaces, curves, measured, times, reached, costs, threshold)
    return replace(made, spacing=spacing, grid=grid)


def _made(
    sde: IsotropicSDE,
    space: Subspace,
    chain: Sequence[int],
    subspaces: Sequence[Subspace],
    curves: Sequence[DivergenceCurve | SwitchTime],
    measured: Sequence[DivergenceCurve],
    times: dict[int, float],
    reached: dict[int, float],
    costs: dict[int, float],
    threshold: float,
) -> Plan:
    levels = [subspaces[i] for i in chain]
    nested = NestedSubspaces.from_subspaces(levels) if levels else NestedSubspaces([], ambient_shape=space.shape)
    ends = [0.0, *(reached[i] for i in chain), 1.0]
    injections = None
    if all(measured[i].parts is not None for i in chain):
        pairs = zip([None, *chain], chain)
        try:
            steps = [curves[i] if j is None else measured[i].within(measured[j]) for j, i in pairs]
            injections = tuple(curve.at(times[i]) for curve, i in zip(steps, chain))
        except ValueError:  # of different times, or different samples
            injections = None
    return Plan(
        sde,
        nested,
        tuple(times[i] for i in chain),
        tuple(b - a for a, b in zip(ends, ends[1:])),
        (1.0, *(costs[i] for i in chain)),
        float(threshold),
        # a switch time is known better than the single values of its curve, which scatter about the threshold
        tuple(min(curves[i].at(times[i]), threshold) for i in chain),
        injections,
        tuple(chain),
    )


def _cost(cost: Cost, subspace: Subspace) -> float:
    found = cost(subspace)
    if not isinstance(found, Real):
        raise TypeError(f"`cost` gives a number for a subspace, got {type(found).__name__} for {subspace!r}")
    if not 0 < found < math.inf:
        raise ValueError(
            f"the cost of an evaluation must be positive and finite on every level, got {found} for {subspace!r}"
        )
    return float(found)


def _sde_of(curves: Sequence[DivergenceCurve | LevelError]) -> IsotropicSDE:
    found = {json.dumps(_spec(c.sde), sort_keys=True): c.sde for c in curves}
    sde = next(iter(found.values()))
    if len(found) > 1 or sde is None:
        raise ValueError("a plan needs curves that all carry the same SDE: DivergenceCurve(times, values, sde=sde)")
    return sde


def _spec(sde: IsotropicSDE | None) -> Any:
    try:
        return None if sde is None else specify(sde)
    except TypeError:  # one of the user's own
        return id(sde)


def _divisible(subspace: Subspace, number: int) -> bool:
    if len(subspace.shape) != len(subspace.ambient_shape):
        return True
    channels = 1 if len(subspace.shape) > 2 else 0
    sizes = list(zip(subspace.shape, subspace.ambient_shape))[channels:]
    return all(n % number == 0 for n, before in sizes if n < before)
