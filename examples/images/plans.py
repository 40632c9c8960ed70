"""Which levels make a plan, which of them meet the threshold, and the subspace diffusion of those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from subspace_sde import IsotropicSDE, NestedSubspaces, SubspaceSDE
from subspace_sde.analysis import subspace_named
from subspace_sde.images import Images, unit_batches

from .levels import SDE


def default_levels(shape: tuple[int, int, int]) -> list[str]:
    """``full``, two low-pass sizes near 5/8 and 1/4 of the edges (divisible by 4), and block means of half of them."""
    edges, edge = shape[1:], min(shape[1:])
    sizes = [n for n in range(4, edge, 4) if all(round(n * whole / edge) % 4 == 0 for whole in edges)]
    near = [min(sizes, key=lambda n: abs(n - part * edge)) for part in (5 / 8, 1 / 4) if sizes]
    halves = [f"downsampling:{edge // 2}"] if all(n % 8 == 0 for n in edges) else []
    return ["full", *(f"lowpass:{n}" for n in dict.fromkeys(near)), *halves]


def plans_of(levels: Sequence[str]) -> dict[str, list[str]]:
    """The plans that these levels make: the full model alone, and one for each kind of subspace, largest size first."""
    plans: dict[str, list[str]] = {"full": []}
    for name in levels:
        if name != "full":
            plans.setdefault(name.partition(":")[0], []).append(name)
    return {kind: sorted(names, key=lambda n: -int(n.partition(":")[2])) for kind, names in plans.items()}


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
