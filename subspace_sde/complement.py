"""How far data lie from nested subspaces: the data's part of eq. 9, and Table 1's RMSD, streaming over batches."""

from __future__ import annotations

from typing import Any

import numpy as np

from .arrays import batches, namespace
from .backend import backend_of
from .subspaces import NestedSubspaces, Subspace


class ComplementMoments:
    """Mean of the data and energies E‖x⊥_{k|k-1}(0)‖² of its orthogonal components, k = 1 … K, batch by batch.

    All is computed in float64 and about the running mean, so that neither float32 data nor a large mean loses digits.

    >>> from subspace_sde import Downsampling
    >>> moments = ComplementMoments(NestedSubspaces([Downsampling((4,), 2, axes=(-1,))]))
    >>> moments.update(np.asarray([[1.0, 3.0, 0.0, 0.0]])).variances()
    (1.0,)
    """

    def __init__(self, subspaces: NestedSubspaces) -> None:
        self.subspaces = subspaces
        self.count = 0
        self._mean = np.zeros(subspaces.ambient_shape)
        self._scatter = np.zeros(len(subspaces.steps))  # Σ‖x⊥ − mean of x⊥‖², for every step

    def update(self, batch: Any) -> ComplementMoments:
        """Take in a batch of shape (*batch, *ambient_shape); returns itself.

        Raises ValueError for NaN or infinity, integers, or another trailing shape; nothing is taken in then.
        """
        whole = self.subspaces[0]
        whole.restrict(batch)  # checks
        xp = namespace(batch)
        x = xp.reshape(batch, (-1, *whole.shape))
        n = int(x.shape[0])
        if not n:
            return self
        if _has_float64(x):
            x = xp.astype(x, xp.float64)
        mean = xp.mean(x, axis=0)
        total = np.asarray(backend_of(x).to_numpy(mean), dtype=np.float64)
        if not np.all(np.isfinite(total)):
            raise ValueError(f"the data hold NaN or infinity, among the samples {self.count} to {self.count + n - 1}")
        centred, scatter = x - mean, []
        for step in self.subspaces.steps:
            rejected = step._reject(centred, xp)
            scatter.append(xp.sum(rejected * rejected))
            centred = step._restrict(centred, xp)
        found = backend_of(x).to_numpy(xp.stack(scatter)).astype(np.float64) if scatter else np.zeros(0)
        shift = total - self._mean
        weight = self.count * n / (self.count + n)
        self._scatter = self._scatter + found + weight * self._energies(shift)
        self._mean = self._mean + shift * (n / (self.count + n))
        self.count += n
        return self

    @property
    def mean(self) -> np.ndarray[Any, Any]:
        """The data's mean, of shape `ambient_shape`."""
        self._check()
        return self._mean.copy()

    def variances(self, center: bool = False) -> tuple[float, ...]:
        """E‖x⊥_{k|k-1}(0)‖²/(n_{k-1} − n_k) for k = 1 … K, about the origin, or about the data's mean."""
        self._check()
        energies = self._scatter / self.count + (0.0 if center else self._energies(self._mean))
        return tuple(float(e) / (s.ambient_dim - s.dim) for e, s in zip(energies, self.subspaces.steps))

    def _energies(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """‖x⊥_{k|k-1}‖² of one vector, for every step."""
        found = []
        for step in self.subspaces.steps:
            found.append(float(np.sum(step.reject(x) ** 2)))
            x = step.restrict(x)
        return np.asarray(found)

    def _check(self) -> None:
        if not self.count:
            raise ValueError("no data: nothing was taken in")


def complement_moments(subspaces: NestedSubspaces, data: Any) -> ComplementMoments:
    """The moments of `data`: an array (N, *ambient_shape), or any iterable of batches, read once."""
    moments = ComplementMoments(subspaces)
    for batch in batches(data):
        moments.update(batch)
    moments._check()
    return moments


def rmsd(subspace: Subspace, data: Any, center: bool = False) -> float:
    """Table 1's root mean square distance of the data from the subspace, per dimension of the complement.

    Parameters
    ----------
    subspace: U, of dimension n < d.
    data: (N, *ambient_shape), or an iterable of batches.
    center: about the data's mean (the affine subspace, as the paper does for PCA) instead of the origin.

    Returns
    -------
    √(E‖P⊥x‖²/(d − n)), in the units of the data.

    >>> from subspace_sde import Downsampling
    >>> rmsd(Downsampling((2,), 2, axes=(-1,)), np.asarray([[1.0, 3.0], [2.0, 2.0]]))
    1.0
    """
    return float(complement_moments(NestedSubspaces([subspace]), data).variances(center)[0] ** 0.5)


def combined_variance(variances: tuple[float, ...], subspaces: NestedSubspaces, base: int, k: int) -> float:
    """E‖x⊥_{k|base}(0)‖²/(n_base − n_k) from the variances of the steps between, weighted by their dimensions."""
    lost = [s.ambient_dim - s.dim for s in subspaces.steps[base:k]]
    return sum(v * n for v, n in zip(variances[base:k], lost)) / sum(lost)


def _has_float64(x: Any) -> bool:
    """False on devices such as Apple's GPUs, which know no float64."""
    return not str(getattr(x, "device", "cpu")).startswith("mps")
