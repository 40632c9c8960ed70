"""A plan: levels, their times, and what they cost; as a process, and as a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ..border import checked
from ..files import reading_content, write_content
from ..process import SubspaceSDE
from ..sampling.grids import AlongTimes
from ..sdes import IsotropicSDE, OwnSpacing, Spacing
from ..shown import Shown
from ..specification import Specified, build, specify
from ..subspaces import NestedSubspaces

_VERSION = 1  # of the format, to which belongs what `specify` writes
_ROUNDING = 1e-6  # of a divergence that was interpolated at its threshold, relative


@checked
@dataclass(frozen=True, repr=False)
class Plan(Shown):
    """Levels and times, and what they promise; ``plan.process(data)`` is the subspace diffusion.

    Attributes
    ----------
    sde: the process.
    subspaces: V_0 ⊃ V_1 ⊃ … ⊃ V_K.
    times: t_1 < … < t_K.
    shares: of the solver's steps, spent on level k = 0 … K; they sum to 1.
    costs: of one evaluation on level k = 0 … K, the full model's taken as 1.
    threshold: on D_F(U_{k|0}; t_k).
    divergences: D_F(U_{k|0}; t_k), k = 1 … K: what was compared with the threshold.
    injections: D_F(U_{k|k-1}; t_k), the error of each actual injection; None where the curves cannot tell.
    chosen: which of the candidates U_1 … U_K were, counted from 0; None for a plan that `plan` did not make.
    spacing, grid: the steps for which the shares and the cost were counted; the SDE's own without either.
    """

    sde: IsotropicSDE
    subspaces: NestedSubspaces
    times: tuple[float, ...]
    shares: tuple[float, ...]
    costs: tuple[float, ...]
    threshold: float
    divergences: tuple[float, ...]
    injections: tuple[float, ...] | None = None
    chosen: tuple[int, ...] | None = None
    spacing: Spacing | None = None
    grid: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("times", "shares", "costs", "divergences", "injections", "grid"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(map(float, value)))
        if self.chosen is not None:
            object.__setattr__(self, "chosen", tuple(map(int, self.chosen)))
        levels = len(self.subspaces)
        per_level, per_jump = [self.shares, self.costs], [self.times, self.divergences]
        per_jump += [v for v in (self.injections, self.chosen) if v is not None]
        if any(len(v) != levels for v in per_level) or any(len(v) != levels - 1 for v in per_jump):
            raise ValueError(f"a plan of {levels} levels has as many shares and costs, and one time less")
        if not all(math.isfinite(v) for part in (*per_level, *per_jump) for v in part):
            raise ValueError("times, shares, costs and divergences are finite numbers")
        if not 0 < self.threshold < math.inf:
            raise ValueError(f"the threshold is a positive number, got {self.threshold}")
        if min(self.shares) < 0 or abs(sum(self.shares) - 1) > 1e-6 or min(self.costs) <= 0:
            raise ValueError("shares are not negative and sum to 1, and costs are positive")
        if self.costs[0] != 1:
            raise ValueError(f"costs are relative to the full model's, which is 1 and comes first, got {self.costs[0]}")
        if (most := max(self.divergences, default=0.0)) > self.threshold * (1 + _ROUNDING):
            raise ValueError(f"a divergence of {most:g} lies above the threshold {self.threshold:g}")
        if min((*self.divergences, *(self.injections or ())), default=0) < 0:
            raise ValueError("a divergence is not negative")
        if min(self.chosen or (0,)) < 0:
            raise ValueError(f"the chosen candidates are counted from 0, got {self.chosen}")
        steps_until(self.sde, self.grid, self.spacing)  # checks
        ends = (self.sde.t_min, *self.times, self.sde.T)
        if not all(a < b for a, b in zip(ends, ends[1:])):
            raise ValueError(f"the times must increase strictly inside ({ends[0]:g}, {ends[-1]:g}), got {self.times}")

    def _shown(self) -> Iterable[tuple[str, Any]]:
        steps = [name for name in ("spacing", "grid") if getattr(self, name) is not None]
        names = ("sde", "subspaces", "times", "cost", "threshold", "divergences", *steps)
        return [(name, getattr(self, name)) for name in names]

    @property
    def cost(self) -> float:
        """The expected cost of sampling, the full model's taken as 1."""
        return sum(share * cost for share, cost in zip(self.shares, self.costs))

    @checked
    def process(self, data: Any, center: bool = False) -> SubspaceSDE:
        """The subspace diffusion of this plan, its complement variances from `data`: `SubspaceSDE.fit`.

        `data` is an array (N, *ambient_shape), or any iterable of batches, read once.
        """
        return SubspaceSDE.fit(self.sde, self.subspaces, self.times, data, center)

    @checked
    def save(self, path: str | Path) -> None:
        """Write the plan as JSON, whole or not at all; the file carries the version of its format.

        Raises TypeError for an SDE, subspace or spacing whose class is not registered, OSError where the file cannot be
        written.
        """
        content = {"cost": self.cost, **vars(self), "sde": specify(self.sde), "subspaces": specify(self.subspaces)}
        content["spacing"] = None if self.spacing is None else specify(cast(Specified, self.spacing))
        write_content(path, "plan", _VERSION, content)

    @classmethod
    @checked
    def load(cls, path: str | Path) -> Plan:
        """The plan in a file that `save` wrote; a ValueError for any other file, or another version of it.

        A class of your own is registered before (`subspace_sde.specification.register`).
        """
        with reading_content(path, "plan", _VERSION) as content:
            cost = content.pop("cost")
            built = ["sde", "subspaces"] + (["spacing"] if content.get("spacing") is not None else [])
            content |= {name: build(content[name]) for name in built}
            found: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
            plan = cls(**found)
            if type(cost) not in (int, float) or not math.isclose(cost, plan.cost, rel_tol=1e-9):
                raise ValueError(f"its cost is {cost!r}, but its shares and costs make {plan.cost!r}")
            return plan


def steps_until(sde: IsotropicSDE, grid: Sequence[float] | None, spacing: Spacing | None) -> Callable[[float], float]:
    """The share of the steps that lie below t."""
    if grid is not None:
        if spacing is not None:
            raise ValueError("give either the times of a `grid`, or a `spacing`")
        spacing = AlongTimes(grid, sde)
    spacing = OwnSpacing() if spacing is None else spacing
    low, high = spacing.parameter(sde.t_min, sde), spacing.parameter(sde.T, sde)
    return lambda t: (spacing.parameter(t, sde) - low) / (high - low)
