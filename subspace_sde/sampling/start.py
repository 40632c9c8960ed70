"""Where sampling starts when something is already known: a small image, or a whole one that is partly noised.

An array that is known on level k, z_k, is noised to x_j(t) = α(t) U_{j|k}ᵀ z_k + σ(t) ε, with j the level whose stage
holds t, and Algorithm 1 goes on from there. With k = 0 this is SDEdit (Meng et al. 2022): the larger t, the freer the
sample. With k ≥ 1 and t = t_k it climbs from a low-resolution image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import array_api_compat

from ..arrays import alike, check_unmasked
from ..backend import Noise
from ..border import checked
from ..process import SubspaceSDE
from ..shown import Shown


@checked
@dataclass(frozen=True, eq=False, repr=False)
class Start(Shown):
    """Clean data to start from, for ``sample(..., start=...)``.

    Attributes
    ----------
    x: coordinates of level `level`, of shape (*shape(level)), or (num, *shape(level)) with one for each sample; of the
        library, device and dtype of `like`.
    level: k; 0 for an array of the full space, k ≥ 1 for a small one (``process.subspaces[k].restrict`` of a whole
        image; block means times √(product of the factors) for `Downsampling`).
    t: the time to which it is noised, t_k or later; t_k without it. What lies between t_k and t is drawn anew.

    >>> import numpy as np
    >>> from subspace_sde import VE, Downsampling, NestedSubspaces, sample
    >>> process = SubspaceSDE(
    ...     VE(), NestedSubspaces([Downsampling((4,), 2, axes=(-1,))]), [0.2], [1.0]
    ... )
    >>> exact = lambda x, t: -x / (1 + process.sde.sigma(t) ** 2)  # data N(0, I)
    >>> small = np.asarray([1.5, -1.5])
    >>> climbed = sample(
    ...     process, [exact, exact], num=3, steps=50, start=Start(small, level=1)
    ... )
    >>> climbed.evaluations  # level 1 is left at once
    (10, 0)
    """

    x: Any
    level: int = 0
    t: float | None = None

    def __post_init__(self) -> None:
        check_unmasked(self.x)

    def plan(
        self, process: SubspaceSDE, grids: Sequence[Sequence[float]], num: int, like: Any
    ) -> tuple[int, list[Sequence[float]]]:
        """The level on which it begins, and the times that are left of `grids`; a ValueError where it does not fit."""
        if not 0 <= self.level <= process.K:
            raise ValueError(f"a start lies on one of the levels 0 to {process.K}, got {self.level}")
        shape = process.shape(self.level)
        if not alike(self.x, like):
            raise ValueError(f"start and like must be of one library, device and dtype, {like.dtype} as `like` has it")
        if tuple(self.x.shape) not in (shape, (num, *shape)):
            raise ValueError(
                f"a start on level {self.level} has shape {shape}, or {(num, *shape)} with one for each sample, "
                f"got {tuple(self.x.shape)}"
            )
        low, t = process.ends(self.level)[0], self._time(process)
        if not low <= t <= process.sde.T or t == process.sde.t_min:
            raise ValueError(
                f"a start on level {self.level} is noised to a time above t_min and from {low:g} to {process.sde.T:g}, "
                f"because earlier its complement is missing; got t = {t:g}"
            )
        # at t_k itself level k is left at once, though the function of time alone belongs to the stage below
        level = max(process.level(t), self.level)
        begun = [t, *(s for s in grids[level] if s < t)]
        if len(begun) > 2 and begun[0] - begun[1] < 1e-6 * (
            begun[1] - begun[2]
        ):  # a time of the grid, but for rounding
            del begun[1]
        return level, [*grids[:level], begun]

    def draw(self, process: SubspaceSDE, level: int, rows: slice, noise: Noise) -> Any:
        """x_level(t) for the samples `rows`."""
        xp, t = array_api_compat.array_namespace(self.x), self._time(process)
        own = self.x.ndim > len(process.shape(self.level))
        clean = process.subspaces.between(self.level, level)._restrict(self.x[rows, ...] if own else self.x, xp)
        alpha, sigma = float(process.sde.alpha(t)), float(process.sde.sigma(t))
        return alpha * clean + sigma * noise.normal(process.shape(level))

    def _time(self, process: SubspaceSDE) -> float:
        return float(process.ends(self.level)[0] if self.t is None else self.t)
