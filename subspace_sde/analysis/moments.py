"""What one pass over data leaves of them: the Gaussian that stands for them, their spectrum, their patches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from tqdm import tqdm

from ..array_data import ArrayData
from ..divergence.estimate import DivergenceCurve
from ..oracles import DCTGaussian, Gaussian
from ..statistics.complement import ComplementEnergies
from ..statistics.moments import Covariance, Moments, PatchCovariance, PowerSpectrum
from ..statistics.principal import patch_pca
from ..subspaces import Basis, LowPass, PatchBasis, Subspace
from .candidates import edges_of, factors

_LARGEST_COVARIANCE = 4096  # dimensions: 134 MB, and seconds for the eigenvectors
_NUMBERS = {"covariance": 2**28, "power spectrum": 2**26}  # that are read of the data: half a minute, on one core
_SHOWN = 6  # samples in the pictures

_Numbers = np.ndarray[Any, Any]


class DataMoments:
    """The moments of data, and of what lies outside these subspaces.

    With the covariance all else is taken from points that have the same covariance. Without it, what the power of the
    DCT coefficients does not tell, distances from other subspaces than low-passes, is summed in the same pass.
    """

    def __init__(self, data: ArrayData, subspaces: Mapping[str, Subspace]) -> None:
        self.shape, self.edges, d = data.shape, edges_of(data.shape, data.axes), data.dim
        self._kept = d // math.prod(self.edges)  # components of a patch: as many as its leading axes hold
        # of fewer samples a covariance holds more noise than knowledge
        dense = d <= _LARGEST_COVARIANCE and len(data.numbers) >= 2 * d
        self.model = "covariance" if dense else "power spectrum"
        self.count = data.samples_of(_NUMBERS[self.model])
        self.samples = np.empty((0, *self.shape))
        self.spectrum = PowerSpectrum(self.shape)
        # patches are cut from the last axes, with all the others whole
        patched = data.axes == tuple(range(-len(data.axes), 0))
        small = [f for f in factors(self.edges) if self._kept * f ** len(self.edges) <= _LARGEST_COVARIANCE]
        self._patches = {f: PatchCovariance(self.shape, (f,) * len(self.edges)) for f in small if patched}
        self._components: _Numbers | None = None  # (d, d), the leading one first
        others = {name: u for name, u in subspaces.items() if not isinstance(u, LowPass)}
        self._energies = ComplementEnergies(list(others.values())) if others and not dense else None
        self._names = list(others)
        if dense:
            self._read(data, [covariance := Covariance(self.shape)])
            gaussian = covariance.gaussian()
            vectors = gaussian.axes.matrix()[:, ::-1]
            largest = np.take_along_axis(vectors, np.argmax(np.abs(vectors), axis=0)[None], axis=0)
            self._components = vectors * np.sign(largest)  # so that no sign is left to chance
            self.gaussian: Gaussian | DCTGaussian = gaussian
            for batch in self._stand_ins(gaussian, self._components):
                for moments in (self.spectrum, *self._patches.values()):
                    moments.update(batch)
        else:
            energies = [] if self._energies is None else [self._energies]
            self._read(data, [self.spectrum, *self._patches.values(), *energies])
            self.gaussian = self.spectrum.gaussian()

    def _read(self, data: ArrayData, every: list[Moments]) -> None:
        """Take the data into all of these; a ValueError where they do not vary."""
        varies, first = False, None
        batches = data.batches(_NUMBERS[self.model])
        with tqdm(total=self.count, desc=self.model, leave=False, disable=None) as progress:
            for batch in batches:
                if first is None:
                    first, self.samples = batch[:1], batch[:_SHOWN]
                varies = varies or bool((batch != first).any())
                for moments in every:
                    moments.update(batch)
                progress.update(len(batch))
        if not varies:
            raise ValueError(f"the {self.count} samples of {data.name} are all alike: nothing varies")

    def _stand_ins(self, gaussian: Gaussian, components: _Numbers) -> Iterator[_Numbers]:
        """μ ± √(d λ_j) v_j for all j: 2d points that have the data's mean and covariance exactly."""
        spread = np.sqrt(len(components) * gaussian.eigenvalues[::-1]) * components
        for start in range(0, len(spread), 1024):
            some = spread[:, start : start + 1024].T.reshape(-1, *self.shape)
            yield np.concatenate([gaussian.mean + some, gaussian.mean - some])

    def principal(self) -> tuple[dict[str, Subspace], dict[str, str]]:
        """The subspaces that the data themselves determine, and why others are missing."""
        found: dict[str, Subspace] = {}
        missing: dict[str, str] = {}
        edge, d = min(self.edges), math.prod(self.shape)
        for f, patches in self._patches.items():
            try:
                found[f"patch-pca:{edge // f}"] = patch_pca(patches, patches.patch, self._kept)
            except ValueError as error:
                missing[f"patch-pca:{edge // f}"] = str(error)
        for f in factors(self.edges):
            n, name = d // f ** len(self.edges), f"pca:{edge // f}"
            if self._components is None:
                missing[name] = (
                    f"needs at least {2 * d} samples, here are {self.count}"
                    if d <= _LARGEST_COVARIANCE
                    else f"takes samples of at most {_LARGEST_COVARIANCE} numbers, these have {d}"
                )
            elif self.gaussian.eigenvalues[-n] <= 1e-12 * self.gaussian.eigenvalues[-1]:
                missing[name] = f"the samples vary in fewer than {n} directions"
            else:
                found[name] = Basis(self._components[:, :n], self.shape)
        return found, missing

    def distances(
        self, table: Mapping[str, Subspace], curves: Mapping[str, DivergenceCurve]
    ) -> dict[str, tuple[float, float]]:
        """RMSD about the origin and about the mean."""
        summed = {} if self._energies is None else dict(zip(self._names, self._energies.result(center=False)))
        found = {}
        for name, u in table.items():
            parts = curves[name].parts
            assert parts is not None
            energy, mean = parts.energy, float(np.sum(u.reject(self.gaussian.mean) ** 2))
            if name in summed:
                energy = float(summed[name])
            elif self._components is None and isinstance(u, PatchBasis):
                energy = self._outside_patches(u)
            # of data that lie in the subspace, rounding makes a little less than nothing
            found[name] = (math.sqrt(max(energy, 0) / parts.lost), math.sqrt(max(energy - mean, 0) / parts.lost))
        return found

    def _outside_patches(self, u: PatchBasis) -> float:
        """E‖P⊥x‖² of Patch-PCA, from the second moments of the patches."""
        patches = next(p for p in self._patches.values() if p.patch == u.patch)
        second, vectors = patches.result(center=False), u.arguments()["matrix"]
        places = math.prod(self.shape) // len(second)
        return places * float(np.trace(second) - np.sum(vectors * (second @ vectors)))
