"""Which levels make a plan, which of them meet the threshold, and the subspace diffusion of those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from subspace_sde import IsotropicSDE, NestedSubspaces, SubspaceSDE
from subspace_sde.analysis import subspace_named
from subspace_sde.images import Images, unit_batches

from .levels import SDE


def recommended(analysis: dict[str, Any], every: bool) -> dict[str, list[str]]:
    """The full model alone, and the plan that `analyse` recommends; or ``every`` one that it printed.

    Those are the cheapest with at most one further level, two, three: a shared network has them all for nothing.
    """
    plans = [plan["levels"] for plan in analysis["plans"]] if every else [analysis["recommended"]["levels"]]
    return {"full": [], **{f"{len(levels)}-level": list(levels) for levels in plans if levels}}


def levels_of(plans: Mapping[str, Sequence[str]]) -> list[str]:
    """``full``, and every other level of these plans once."""
    return list(dict.fromkeys(["full", *(name for levels in plans.values() for name in levels)]))


def plans_of(levels: Sequence[str]) -> dict[str, list[str]]:
    """The plans that these levels make: the full model alone, and one for each kind of subspace, largest size first.

    Raises ValueError where a plan's levels are not nested.
    """
    plans: dict[str, list[str]] = {"full": []}
    for name in levels:
        if name != "full":
            plans.setdefault(name.partition(":")[0], []).append(name)
    return {kind: sorted(names, key=_short_edge, reverse=True) for kind, names in plans.items()}


def checked_plans(plans: Mapping[str, Sequence[str]], shape: Sequence[int]) -> dict[str, list[str]]:
    """These plans of images of this shape; a ValueError for a level that they do not have, or that does not nest."""
    for levels in filter(None, plans.values()):
        NestedSubspaces.from_subspaces([subspace_named(name, shape) for name in levels])
    return {name: list(levels) for name, levels in plans.items()}


def joined(plans: Mapping[str, Sequence[str]] | None, more: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """These plans and ``more``, in which the levels of one kind of subspace make one plan."""
    before = dict(plans or {})
    names = [name for kind, levels in more.items() for name in dict.fromkeys((*before.get(kind, ()), *levels))]
    return {**{kind: list(levels) for kind, levels in before.items()}, **plans_of(names)}


def _short_edge(name: str) -> int:
    """20 of ``lowpass:20``, and of ``lowpass:20x28``."""
    return min(int(n) for n in name.partition(":")[2].split("x"))


def usable(plan: Sequence[str], divergence: dict[str, Any], sde: IsotropicSDE = SDE) -> list[str]:
    """The levels of a plan that meet the threshold, each later than the one before it; others save nothing."""
    unknown = [n for n in plan if n not in divergence["levels"]]
    if unknown:
        raise ValueError(f"the divergence of {', '.join(unknown)} was not measured: run `divergence` with these levels")
    chosen: list[str] = []
    for name in reversed(plan):  # the smallest first: a larger level must give way to it before its own time
        t = divergence["levels"][name]["t"]
        later = divergence["levels"][chosen[0]]["t"] if chosen else sde.T
        if t is not None and sde.t_min < t < later:
            chosen.insert(0, name)
    return chosen


def build_process(images: Images, names: Sequence[str], divergence: dict[str, Any], sde: IsotropicSDE) -> SubspaceSDE:
    """The subspace diffusion of a plan, its complement variances (eq. 9) from the training images."""
    subspaces = [subspace_named(n, images.shape) for n in names]
    nested = NestedSubspaces.from_subspaces(subspaces) if subspaces else NestedSubspaces([], ambient_shape=images.shape)
    times = [divergence["levels"][n]["t"] for n in names]
    return SubspaceSDE.fit(sde, nested, times, unit_batches(images.train))
