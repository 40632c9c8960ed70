"""One network for all the levels: which of them a training step is for, and how often each.

The coordinates z of an image-shaped level are c times a smaller image, so that a network of images of any size, trained
on y = z/c under the same SDE, is every level's: s_k(z, σ) = s'(z/c, σ/c)/c (`subspace_sde.scores.at_level`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from subspace_sde import IsotropicSDE, Subspace
from subspace_sde.analysis import subspace_named

from .plans import levels_of, usable

LEAST = 0.1
"""The least share of the training steps that a level gets, whatever its share of the solver's."""


def scale_of(name: str, subspace: Subspace) -> float:
    """c, the coordinates over the smaller image; a ValueError for a level that is none."""
    if (c := subspace.coordinate_scale) is None:
        raise ValueError(
            f"{name} is no smaller image, so that no network of images is its score: choose lowpass or downsampling, "
            "or train one network each (--separate)"
        )
    return float(c)


def shares_of(plans: Mapping[str, Sequence[str]], analysis: dict[str, Any], sde: IsotropicSDE) -> dict[str, float]:
    """The share of the training steps of every level of these plans, ``full`` first; they sum to 1.

    It is the level's share of the solver's steps, those being the SDE's own, at the times that `analyse` found, on
    average over the plans; a level that would have less than `LEAST` of all has that, and the others what is left, in
    proportion.

    Raises ValueError for a level that was not analysed.
    """
    found = {name: 0.0 for name in levels_of(plans)}
    rows = {"levels": {row["subspace"]: row for row in analysis["rows"]}}
    if missing := [name for name in found if name != "full" and name not in rows["levels"]]:
        raise ValueError(f"{', '.join(missing)} was not analysed: run `analyse` with these levels and the same --out")
    staged = [levels for name, levels in plans.items() if levels or len(plans) == 1]
    for plan in staged:
        levels = usable(plan, rows, sde)
        ends = [sde.t_min, *(rows["levels"][name]["t"] for name in levels), sde.T]
        steps = np.abs(np.diff([sde.grid_parameter(t) for t in ends]))
        for name, share in zip(["full", *levels], steps / steps.sum()):
            found[name] += float(share) / len(staged)
    least, raised = min(LEAST, 1 / len(found)), set[str]()
    while low := {n for n, share in found.items() if share < least - 1e-12} - raised:
        raised |= low
        left = (1 - least * len(raised)) / sum(share for n, share in found.items() if n not in raised)
        found = {n: least if n in raised else share * left for n, share in found.items()}
    return found


class Sizes:
    """The images of a training step, restricted to the level that the step is for.

    Parameters
    ----------
    shares: of the steps, for each level.
    shape: of the full images.
    batch: of full images; a level whose images are c times smaller has c times as many.
    seed: with the step, it decides the level.
    """

    def __init__(self, shares: Mapping[str, float], shape: Sequence[int], batch: int, seed: int) -> None:
        self.names, self._shares = list(shares), np.asarray(list(shares.values()))
        self._subspaces = [subspace_named(name, shape) for name in self.names]
        self._scales = [scale_of(name, u) for name, u in zip(self.names, self._subspaces)]
        self._batch, self._seed = batch, seed

    @property
    def largest(self) -> int:
        """The largest batch."""
        return max(round(self._batch * c) for c in self._scales)

    def drawn(self, step: int) -> str:
        """The level that a step is for."""
        return self.names[self._index(step)]

    def _index(self, step: int) -> int:
        rng = np.random.default_rng((self._seed, step, 1))  # not the stream of the step's images
        return int(rng.choice(len(self.names), p=self._shares / self._shares.sum()))

    def shrink(self, x0: Any, step: int) -> Any:
        """y = z/c of as many of the images x0 as the step has, in the range of the full images."""
        i = self._index(step)
        return self._subspaces[i].restrict(x0[: round(self._batch * self._scales[i])]) / self._scales[i]
