"""Which subspace suits these images, from which noise level on, and what that saves: before any network is trained.

One pass over the images gives a Gaussian: that of their covariance or, where d × d numbers are too many or the images
too few, that of the power of their DCT coefficients. With it comes D_F of every subspace in closed form
(`gaussian_divergence`), and from that the cheapest plan. Needs the extra ``images``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from ..border import checked
from ..divergence.estimate import DivergenceCurve, check_threshold
from ..divergence.gaussian import gaussian_divergence
from ..images import Images, unit_batches
from ..oracles import DCTGaussian, Gaussian
from ..planning.chains import Plan, plan
from ..sdes import VE, IsotropicSDE
from ..shown import Shown
from ..statistics.complement import ComplementEnergies
from ..statistics.moments import Covariance, PatchCovariance, PowerSpectrum
from ..statistics.principal import patch_pca
from ..subspaces import Basis, LowPass, Subspace
from .candidates import candidate_subspaces, factors, standard, subspace_named

_LARGEST_COVARIANCE = 4096  # dimensions: 134 MB, and seconds for the eigenvectors
_NUMBERS = {"covariance": 2**28, "power spectrum": 2**26}  # that are read of the images: half a minute, on one core

_Pixels = np.ndarray[Any, Any]


@dataclass(frozen=True, repr=False)
class Row(Shown):
    """What was found out about one subspace.

    Attributes
    ----------
    name: as on the command line, ``lowpass:20``; the number is the short edge of an image of as many pixels.
    subspace: the subspace, or None where the images cannot determine it (then `note` says why).
    rmsd: per dimension of the complement, about the origin (linear) and about the mean (affine).
    curve: D_F(U; t) of the Gaussian model, or None without a subspace.
    t: from which the curve stays at or below the threshold, or None.
    cost: of sampling with this level alone, in pixels, the full model's taken as 1.
    """

    name: str
    subspace: Subspace | None
    rmsd: tuple[float, float] | None = None
    curve: DivergenceCurve | None = None
    t: float | None = None
    cost: float | None = None
    note: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class Analysis(Shown):
    """What `analyse` found.

    Attributes
    ----------
    data, count, shape: the images, how many of them were used, and (3, H, W).
    model: ``"covariance"`` or ``"power spectrum"``, the Gaussian that stands for the images.
    sde, threshold: the process, and the D_F at which a subspace may be used.
    rows: one for each subspace of the table, the largest first.
    candidates: the names of the subspaces that the plans choose from.
    plan: the cheapest plan with image-shaped coordinates; `by_levels` those with at most 1, 2, … levels, for free.
    costs: relative cost against the threshold (`thresholds`), for each number of levels; NaN where none meets it.
    power: of each DCT coefficient, about the mean.
    """

    data: str
    count: int
    shape: tuple[int, int, int]
    model: str
    sde: IsotropicSDE
    threshold: float
    rows: tuple[Row, ...]
    candidates: tuple[str, ...]
    plan: Plan
    by_levels: tuple[Plan, ...]
    thresholds: tuple[float, ...]
    costs: dict[str, tuple[float, ...]]
    power: _Pixels

    def _shown(self) -> Iterable[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in ("data", "count", "shape", "model", "sde", "threshold")]

    def names(self, plan: Plan) -> tuple[str, ...]:
        """The names, in `rows`, of the levels of one of these plans, without the full one."""
        return tuple(self.candidates[i] for i in plan.chosen or ())

    def noise(self, t: float) -> float:
        """σ/α at t: the noise beside pixels in [0, 1]."""
        return float(self.sde.sigma(t) / self.sde.alpha(t))

    def summary(self) -> str:
        """The answer in one sentence."""
        if not self.plan.times:
            return "No further level pays: stay in the full space."
        levels = zip(self.names(self.plan), self.plan.times)
        uses = [f"{name} from t = {t:.3f} (noise {self.noise(t):.2g})" for name, t in levels]
        return f"Use {', then '.join(uses)}: {self.plan.cost:.0%} of the full model's pixels."


@checked
def analyse(
    images: Images,
    names: Sequence[str] = (),
    sde: IsotropicSDE | None = None,
    threshold: float = 3e-3,
    max_levels: int = 3,
    multiple_of: int = 4,
    price: float = 0.02,
) -> Analysis:
    """Compare the subspaces of these images and plan with them.

    Parameters
    ----------
    images: their training part is used, as floats in [0, 1]; of very many or very large ones as many as matter.
    names: further subspaces for the table, as `subspace_named` takes them.
    sde: VE(0.01, 50) without it.
    threshold: D_F(U_{k|0}; t_k) at which a level may be used.
    max_levels, multiple_of, price: of the plan, as in `subspace_sde.plan`.

    Raises ValueError for images that are all alike, a threshold that no subspace meets, a `multiple_of` that leaves
    no smaller image, and arguments out of range.

    >>> from subspace_sde.images import photos
    >>> found = analyse(photos(8, train=2000, held_out=10))
    >>> found.model, [row.name for row in found.rows[:2]], found.names(found.plan)
    ('covariance', ['pca:4', 'lowpass:4'], ('lowpass:4',))
    """
    sde = VE(0.01, 50.0) if sde is None else sde
    _check(images, threshold, max_levels, multiple_of, price)
    sizes, table = candidate_subspaces(images.shape, multiple_of), standard(images.shape)
    max_levels = min(max_levels, len(sizes))
    table |= {name: subspace_named(name, images.shape) for name in names if name != "full"}
    statistics = _Statistics(images)
    principal, missing = statistics.principal()
    table |= principal
    every = sizes | table
    times = sde.grid(50)[-2:0:-1].tolist()  # log D_F bends little: more of them move t by less than 10⁻³
    curves = dict(zip(every, gaussian_divergence(statistics.gaussian, sde, list(every.values()), times)))

    def cheapest(limit: float, levels: int, each: float = 0.0) -> Plan:
        chosen = [curves[k] for k in sizes]
        return plan(list(sizes.values()), chosen, limit, max_levels=levels, multiple_of=multiple_of, price=each)

    def cost(limit: float, levels: int) -> float:
        try:
            return cheapest(limit, levels).cost
        except ValueError:  # met by none
            return math.nan

    best = cheapest(threshold, max_levels, price)
    free = [cheapest(threshold, levels) for levels in range(1, max_levels + 1)]
    free = [p for k, p in enumerate(free) if not k or p.cost < free[k - 1].cost]  # a level more may be of no use
    used = {i for p in (best, *free) for i in p.chosen or ()}
    table |= {k: u for i, (k, u) in enumerate(sizes.items()) if i in used}
    distances = statistics.distances(table, curves)
    rows = [_row(k, u, distances[k], curves[k], threshold) for k, u in table.items()]
    rows.sort(key=lambda row: (-row.subspace.dim, row.rmsd) if row.subspace and row.rmsd else (0, (0.0, 0.0)))
    thresholds = tuple(float(v) for v in np.geomspace(3e-4, 3e-2, 9))
    return Analysis(
        images.name,
        len(statistics.pixels),
        images.shape,
        statistics.model,
        sde,
        threshold,
        (*rows, *(Row(name, None, note=note) for name, note in missing.items())),
        tuple(sizes),
        best,
        tuple(free),
        thresholds,
        {f"K = {k}": tuple(cost(v, k) for v in thresholds) for k in range(1, len(free) + 1)},
        statistics.spectrum.result(),
    )


def _check(images: Images, threshold: float, max_levels: int, multiple_of: int, price: float) -> None:
    check_threshold(threshold)
    for name, value, least in (("max_levels", max_levels, 0), ("multiple_of", multiple_of, 1), ("price", price, 0)):
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if len(images.train) < 2:
        raise ValueError(
            f"{images.name} leaves one image beside the one held out, which cannot vary: give at least three"
        )
    if not np.ptp(images.train, axis=0).any():
        raise ValueError(f"the {len(images.train)} training images of {images.name} are all alike: nothing varies")


class _Statistics:
    """What one pass over the images leaves of them: the Gaussian that stands for them, their spectrum, their patches.

    With the covariance the images are read but once: all else is taken from points that have the same covariance.
    """

    def __init__(self, images: Images) -> None:
        self.shape, d = images.shape, math.prod(images.shape)
        # of fewer images a covariance holds more noise than knowledge
        dense = d <= _LARGEST_COVARIANCE and len(images.train) >= 2 * d
        self.model = "covariance" if dense else "power spectrum"
        self.pixels = images.train[: max(2, _NUMBERS[self.model] // d)]
        self.spectrum = PowerSpectrum(self.shape)
        self._patches = {f: PatchCovariance(self.shape, f) for f in factors(self.shape)}
        self._components: _Pixels | None = None  # (d, d), the leading one first
        if dense:
            covariance = Covariance(self.shape)
            for batch in self._batches("covariance"):
                covariance.update(batch)
            gaussian = covariance.gaussian()
            vectors = gaussian.axes.matrix()[:, ::-1]
            largest = np.take_along_axis(vectors, np.argmax(np.abs(vectors), axis=0)[None], axis=0)
            self._components = vectors * np.sign(largest)  # so that no sign is left to chance
            self.gaussian: Gaussian | DCTGaussian = gaussian
        for batch in self._stand_ins() if dense else self._batches("power spectrum"):
            for moments in (self.spectrum, *self._patches.values()):
                moments.update(batch)
        if not dense:
            self.gaussian = self.spectrum.gaussian()

    def _batches(self, what: str) -> Iterator[_Pixels]:
        size = max(1, min(4096, _NUMBERS[self.model] // (16 * math.prod(self.shape))))
        total = -(-len(self.pixels) // size)
        return iter(tqdm(unit_batches(self.pixels, size), desc=what, total=total, leave=False, disable=None))

    def _stand_ins(self) -> Iterator[_Pixels]:
        """μ ± √(d λ_j) v_j for all j: 2d points that have the images' mean and covariance exactly."""
        assert self._components is not None
        spread = np.sqrt(len(self._components) * self.gaussian.eigenvalues[::-1]) * self._components
        for start in range(0, len(spread), 1024):
            some = spread[:, start : start + 1024].T.reshape(-1, *self.shape)
            yield np.concatenate([self.gaussian.mean + some, self.gaussian.mean - some])

    def principal(self) -> tuple[dict[str, Subspace], dict[str, str]]:
        """The subspaces that the images themselves determine, and why others are missing."""
        found: dict[str, Subspace] = {}
        missing: dict[str, str] = {}
        edge, d = min(self.shape[1:]), math.prod(self.shape)
        for f, patches in self._patches.items():
            try:
                found[f"patch-pca:{edge // f}"] = patch_pca(patches, f, self.shape[0])
            except ValueError as error:
                missing[f"patch-pca:{edge // f}"] = str(error)
        for f in self._patches:
            n, name = d // f**2, f"pca:{edge // f}"
            if self._components is None:
                missing[name] = (
                    f"needs at least {2 * d} images, here are {len(self.pixels)}"
                    if d <= _LARGEST_COVARIANCE
                    else f"takes images of at most {_LARGEST_COVARIANCE} numbers, these have {d}"
                )
            elif self.gaussian.eigenvalues[-n] <= 1e-12 * self.gaussian.eigenvalues[-1]:
                missing[name] = f"the images vary in fewer than {n} directions"
            else:
                found[name] = Basis(self._components[:, :n], self.shape)
        return found, missing

    def distances(
        self, table: dict[str, Subspace], curves: dict[str, DivergenceCurve]
    ) -> dict[str, tuple[float, float]]:
        """RMSD about the origin and about the mean: from what the curves hold where it is exact, or by another pass."""
        found, left = {}, {}
        for name, u in table.items():
            if self._components is None and not isinstance(u, LowPass):  # more than the power of the DCT matters to it
                left[name] = u
                continue
            parts = curves[name].parts
            assert parts is not None
            mean = float(np.sum(u.reject(self.gaussian.mean) ** 2))
            found[name] = (math.sqrt(parts.energy / parts.lost), math.sqrt(max(parts.energy - mean, 0) / parts.lost))
        if left:
            energies = ComplementEnergies(list(left.values()))
            for batch in self._batches("distances"):
                energies.update(batch)
            found |= dict(zip(left, zip(energies.rmsd(center=False), energies.rmsd(center=True))))
        return found


def _row(name: str, subspace: Subspace, rmsd: tuple[float, float], curve: DivergenceCurve, threshold: float) -> Row:
    if (t := _time(curve, threshold)) is None:
        return Row(name, subspace, rmsd, curve, note=f"D_F stays above {min(curve.values):.1g}")
    assert curve.sde is not None
    low, here, high = (curve.sde.grid_parameter(s) for s in (curve.sde.t_min, t, curve.sde.T))
    below = (here - low) / (high - low)  # the share of the steps in the full space
    return Row(name, subspace, rmsd, curve, t, below + (1 - below) * subspace.dim / subspace.ambient_dim)


def _time(curve: DivergenceCurve, threshold: float) -> float | None:
    try:
        return curve.time_at(threshold)
    except ValueError:
        return None
