"""How far data lie from nested subspaces: the data's part of eq. 9, and Table 1's RMSD, streaming over batches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..border import checked
from ..specification import specify
from ..subspaces import NestedSubspaces, Subspace
from .moments import Moments, accumulate, as_float64


@checked
class ComplementEnergies(Moments):
    """E‖P⊥x‖² of the data for any list of subspaces of one space, in one pass: what Table 1 measures.

    >>> from subspace_sde import Downsampling
    >>> import numpy as np
    >>> energies = ComplementEnergies([Downsampling((4,), f, axes=(-1,)) for f in (2, 4)])
    >>> energies.update(np.asarray([[1.0, 3.0, 0.0, 0.0]])).result(center=False).tolist()
    [2.0, 6.0]
    """

    def __init__(self, subspaces: Sequence[Subspace]) -> None:
        self.subspaces = tuple(subspaces)
        spaces = {u.ambient_shape for u in self.subspaces}
        if len(spaces) != 1:
            raise ValueError(f"give subspaces of one space, at least one; got those of {len(spaces)}")
        if whole := [u for u in self.subspaces if u.dim == u.ambient_dim]:
            raise ValueError(f"{whole[0]!r} keeps all dimensions: it has no complement")
        super().__init__(spaces.pop())

    def _features(self, x: Any, xp: Any) -> Any:
        return as_float64(x, xp)

    def _squares(self, y: Any, xp: Any) -> Any:
        rejected = (u._reject(y, xp) for u in self.subspaces)
        return xp.stack([xp.sum(r * r) for r in rejected])

    def rmsd(self, center: bool = False) -> tuple[float, ...]:
        """√(E‖P⊥x‖²/(d − n)) of every subspace; see `subspace_sde.rmsd`."""
        energies = self.result(center)
        return tuple(math.sqrt(e / (u.ambient_dim - u.dim)) for e, u in zip(energies, self.subspaces))

    def _about(self) -> Any:
        return [_identity(u) for u in self.subspaces]


@checked
class ComplementMoments(Moments):
    """Mean of the data and energies E‖x⊥_{k|k-1}(0)‖² of its orthogonal components, k = 1 … K, batch by batch.

    >>> import numpy as np
    >>> from subspace_sde import Downsampling
    >>> moments = ComplementMoments(NestedSubspaces([Downsampling((4,), 2, axes=(-1,))]))
    >>> moments.update(np.asarray([[1.0, 3.0, 0.0, 0.0]])).variances()
    (1.0,)
    """

    def __init__(self, subspaces: NestedSubspaces) -> None:
        super().__init__(subspaces.ambient_shape)
        self.subspaces = subspaces

    def _features(self, x: Any, xp: Any) -> Any:
        return as_float64(x, xp)

    def _squares(self, y: Any, xp: Any) -> Any:
        found = [xp.sum(y[:0, ...])]  # a level 0, which loses nothing: the full space alone is a process too
        for step in self.subspaces.steps:
            rejected = step._reject(y, xp)
            found.append(xp.sum(rejected * rejected))
            y = step._restrict(y, xp)
        return xp.stack(found)

    def variances(self, center: bool = False) -> tuple[float, ...]:
        """E‖x⊥_{k|k-1}(0)‖²/(n_{k-1} − n_k) for k = 1 … K, about the origin, or about the data's mean."""
        energies = self.result(center)[1:]
        return tuple(float(e) / (s.ambient_dim - s.dim) for e, s in zip(energies, self.subspaces.steps))

    def _about(self) -> Any:
        return self.shape, [_identity(u) for u in self.subspaces.steps]


def _identity(subspace: Subspace) -> Any:
    """Equal for subspaces that are built alike, and with the same repr in another process."""
    try:
        return specify(subspace)
    except TypeError:  # one of the user's own, equal to itself alone
        return subspace


@checked
def complement_moments(subspaces: NestedSubspaces, data: Any) -> ComplementMoments:
    """The moments of `data`: an array (N, *ambient_shape), or any iterable of batches, read once."""
    empty = ComplementMoments(subspaces)
    return accumulate(lambda _: empty, data)


@checked
def rmsd(subspace: Subspace, data: Any, center: bool = False) -> float:
    """Table 1's root mean square distance of the data from the subspace, per dimension of the complement.

    Parameters
    ----------
    subspace: U, of dimension n < d.
    data: (N, *ambient_shape), or an iterable of batches; for several subspaces in one pass see `ComplementEnergies`.
    center: about the data's mean (the affine subspace, as the paper does for PCA) instead of the origin.

    Returns
    -------
    √(E‖P⊥x‖²/(d − n)), in the units of the data.

    >>> import numpy as np
    >>> from subspace_sde import Downsampling
    >>> rmsd(Downsampling((2,), 2, axes=(-1,)), np.asarray([[1.0, 3.0], [2.0, 2.0]]))
    1.0
    """
    return accumulate(lambda _: ComplementEnergies([subspace]), data).rmsd(center)[0]


def combined_variance(variances: tuple[float, ...], subspaces: NestedSubspaces, base: int, k: int) -> float:
    """E‖x⊥_{k|base}(0)‖²/(n_base − n_k) from the variances of the steps between, weighted by their dimensions."""
    lost = [s.ambient_dim - s.dim for s in subspaces.steps[base:k]]
    return sum(v * n for v, n in zip(variances[base:k], lost)) / sum(lost)
