"""How far fields are from simulated ones: energy by scale, steepness, shape, volume, and novelty.

None of these needs a trained judge, and each is compared with what further simulated fields show: the floor. Fields
are vectors (N, 2 · cells), the surface's height and then the velocity.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import ot
import torch
from scipy.stats import wasserstein_distance

Matrix: TypeAlias = np.ndarray[Any, Any]

LEADING = 32  # principal components
REACH = (1, 2, 4, 8)  # of the increments, in cells: a bore is some four cells wide


def spectrum(fields: Matrix) -> Matrix:
    """The mean wave energy ½(|η̂|² + |û|²) at each wave number k = 1 … cells/2, (cells/2,).

    With both signs of k, it is the energy ½∫(η² + u²) of small waves over depth 1 that they hold (Parseval).
    """
    halves = fields.reshape(len(fields), 2, -1).astype(np.float64)
    cells = halves.shape[-1]
    modes = np.abs(np.fft.rfft(halves, axis=-1)[..., 1:]) ** 2 / cells**2
    both = np.where(np.arange(1, cells // 2 + 1) * 2 == cells, 1.0, 2.0)
    power: Matrix = both * modes.mean(axis=0).sum(axis=0) / 2
    return power


def increments(fields: Matrix, reach: int) -> Matrix:
    """u(x + r) − u(x) everywhere, r being `reach` cells: of one sign in a bore, of the other in the slopes behind."""
    velocity = fields.reshape(len(fields), 2, -1)[:, 1].astype(np.float64)
    found: Matrix = np.roll(velocity, -reach, axis=-1) - velocity
    return found.reshape(-1)


def volume(fields: Matrix) -> Matrix:
    """The mean height of each surface, (N,): the volume of water above that at rest, which no wave changes."""
    mean: Matrix = fields.reshape(len(fields), 2, -1)[:, 0].astype(np.float64).mean(axis=-1)
    return mean


class Judge:
    """Compares fields with a set of simulated ones, the `reference`; `known` are those that the networks have seen."""

    def __init__(self, reference: Matrix, known: Matrix, seed: int) -> None:
        self.reference, self._seed = reference, seed
        self._known = torch.from_numpy(known)
        values, vectors = np.linalg.eigh(np.cov(known.T))
        self._whiten = vectors[:, -LEADING:] / np.sqrt(values[-LEADING:])
        self._usual = self._distance(reference)

    def __call__(self, fields: Matrix) -> dict[str, float]:
        """The figures by name: 0 is best, but 1 for novelty.

        Returns
        -------
        spectrum: root mean square of log₂(E(k)/E_ref(k)) over octaves of k: 1 is a factor of two in energy.
        increments: Wasserstein distance (order 1) between the increments of u over those of the reference's standard
            deviation; the mean over r of 1, 2, 4 and 8 cells.
        components: sliced Wasserstein distance (order 2) over 512 directions of the 32 leading principal components,
            each divided by its standard deviation.
        volume: root mean square of the mean height, over the standard deviation of the reference's heights.
        novelty: median distance to the nearest known field, over that of the reference: below 1 is learned by heart.
        """
        x, ref = fields.astype(np.float64), self.reference.astype(np.float64)
        octaves = np.floor(np.log2(np.arange(1, x.shape[1] // 4 + 1))).astype(int)
        energy, expected = (np.bincount(octaves, spectrum(f)) for f in (x, ref))
        whitened = x @ self._whiten, ref @ self._whiten
        steps = [(increments(x, r), increments(ref, r)) for r in REACH]
        return {
            "spectrum": float(np.sqrt(np.mean(np.log2(energy / expected) ** 2))),
            "increments": float(np.mean([wasserstein_distance(a, b) / b.std() for a, b in steps])),
            "components": float(ot.sliced_wasserstein_distance(*whitened, n_projections=512, seed=self._seed)),
            "volume": float(np.sqrt(np.mean(volume(x) ** 2)) / ref[:, : x.shape[1] // 2].std()),
            "novelty": self._distance(x) / self._usual,
        }

    def _distance(self, fields: Matrix) -> float:
        return float(torch.cdist(torch.from_numpy(fields.astype(np.float64)), self._known).amin(dim=1).median())
