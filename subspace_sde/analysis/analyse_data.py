"""Which subspace suits these data, from which noise level on, and what that saves: before any network is trained.

One pass over the data gives a Gaussian: that of their covariance or, where d × d numbers are too many or the samples
too few, that of the power of their DCT coefficients. With it comes D_F of every subspace in closed form
(`gaussian_divergence`), and from that the cheapest plan. Needs the extra ``images``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..array_data import ArrayData
from ..border import checked
from ..divergence.estimate import DivergenceCurve, check_threshold
from ..divergence.gaussian import gaussian_divergence
from ..images import Images
from ..planning.chains import Nesting, cheapest
from ..planning.plans import Plan
from ..sdes import VE, IsotropicSDE
from ..shown import Shown
from ..statistics.spread import ve_for
from ..subspaces import Subspace
from .candidates import candidate_subspaces, standard, subspace_named
from .moments import DataMoments

_Numbers = np.ndarray[Any, Any]


@dataclass(frozen=True, repr=False)
class Row(Shown):
    """What was found out about one subspace.

    Attributes
    ----------
    name: as on the command line, ``lowpass:20``; the number is the short edge of an array of as many numbers.
    subspace: the subspace, or None where the data cannot determine it (then `note` says why).
    rmsd: per dimension of the complement, about the origin (linear) and about the mean (affine).
    curve: D_F(U; t) of the Gaussian model, or None without a subspace.
    t: from which the curve stays at or below the threshold, or None.
    cost: of sampling with this level alone, in numbers, the full model's taken as 1.
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
    data, count, shape, axes: the data, how many samples of them were used, their shape, and which of its axes may be
        shortened.
    unit: what they are: ``"images"`` or ``"arrays"``, and of what: ``"pixels"`` or ``"numbers"``.
    scale: what the numbers were divided by.
    model: ``"covariance"`` or ``"power spectrum"``, the Gaussian that stands for the data.
    sde, threshold: the process, and the D_F at which a subspace may be used.
    rows: one for each subspace of the table, the largest first.
    candidates: the names of the subspaces that the plans choose from.
    plan: the cheapest plan whose coordinates are arrays again; `by_levels` those with at most 1, 2, … levels, for free.
    costs: relative cost against the threshold (`thresholds`), for each number of levels; NaN where none meets it.
    power: of each DCT coefficient, about the mean.
    samples: a few of the data, for the pictures.
    """

    data: str
    count: int
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    unit: tuple[str, str]
    scale: float
    model: str
    sde: IsotropicSDE
    threshold: float
    rows: tuple[Row, ...]
    candidates: tuple[str, ...]
    plan: Plan
    by_levels: tuple[Plan, ...]
    thresholds: tuple[float, ...]
    costs: dict[str, tuple[float, ...]]
    power: _Numbers
    samples: _Numbers

    def _shown(self) -> Iterable[tuple[str, Any]]:
        return [(name, getattr(self, name)) for name in ("data", "count", "shape", "model", "sde", "threshold")]

    def names(self, plan: Plan) -> tuple[str, ...]:
        """The names, in `rows`, of the levels of one of these plans, without the full one."""
        return tuple(self.candidates[i] for i in plan.chosen or ())

    def noise(self, t: float) -> float:
        """σ/α at t: the noise beside the data, pixels in [0, 1] say."""
        return float(self.sde.sigma(t) / self.sde.alpha(t))

    def summary(self) -> str:
        """The answer in one sentence."""
        if not self.plan.times:
            return "No further level pays: stay in the full space."
        levels = zip(self.names(self.plan), self.plan.times)
        uses = [f"{name} from t = {t:.3f} (noise {self.noise(t):.2g})" for name, t in levels]
        return f"Use {', then '.join(uses)}: {self.plan.cost:.0%} of the full model's {self.unit[1]}."


@checked
def analyse(
    data: Images | ArrayData,
    names: Sequence[str] = (),
    sde: IsotropicSDE | None = None,
    threshold: float = 3e-3,
    max_levels: int = 3,
    multiple_of: int = 4,
    price: float = 0.02,
) -> Analysis:
    """Compare the subspaces of these data and plan with them.

    Parameters
    ----------
    data: images, of which the training part is used, as floats in [0, 1]; or arrays of any shape, ``ArrayData(x)``. Of
        very many or very large ones as many are read as matter, evenly spread over all.
    names: further subspaces for the table, as `subspace_named` takes them.
    sde: without it VE(0.01, 50) for images, and for arrays the one that their spread suggests (`ve_for`).
    threshold: D_F(U_{k|0}; t_k) at which a level may be used.
    max_levels, multiple_of, price: of the plan, as in `subspace_sde.plan`.

    Raises ValueError for data that are all alike, hold NaN or infinity, a threshold that no subspace meets, a
    `multiple_of` that leaves no smaller size, and arguments out of range.

    >>> from subspace_sde.images import photos
    >>> found = analyse(photos(8, train=2000, held_out=10))
    >>> found.model, [row.name for row in found.rows[:2]], found.names(found.plan)
    ('covariance', ['pca:4', 'lowpass:4'], ('lowpass:4',))
    >>> steps = np.cumsum(np.random.default_rng(0).standard_normal((200, 64)), axis=1)
    >>> walks = analyse(ArrayData(steps))
    >>> walks.names(walks.plan)
    ('lowpass:20', 'lowpass:4')
    """
    check_threshold(threshold)
    for name, value, least in (("max_levels", max_levels, 0), ("multiple_of", multiple_of, 1), ("price", price, 0)):
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    unit = ("images", "pixels") if isinstance(data, Images) else ("arrays", "numbers")
    given = _of_images(data) if isinstance(data, Images) else data
    sizes = candidate_subspaces(given.shape, multiple_of, given.axes, apart=given is data)
    table = standard(given.shape, given.axes)
    max_levels = min(max_levels, len(sizes))
    table |= {name: subspace_named(name, given.shape, given.axes) for name in names if name != "full"}
    moments = DataMoments(given, sizes | table)
    if sde is None:
        sde = VE(0.01, 50.0) if unit[0] == "images" else ve_for(moments.spectrum)
    principal, missing = moments.principal()
    table |= principal
    every = sizes | table
    times = sde.grid(50)[-2:0:-1].tolist()  # log D_F bends little: more of them move t by less than 10⁻³
    curves = dict(zip(every, gaussian_divergence(moments.gaussian, sde, list(every.values()), times)))

    nests, of_sizes = Nesting(list(sizes.values())), [curves[k] for k in sizes]

    def cost(limit: float, levels: int) -> float:
        try:
            return cheapest(nests, of_sizes, limit, max_levels=levels).cost
        except ValueError:  # met by none
            return math.nan

    best = cheapest(nests, of_sizes, threshold, max_levels=max_levels, price=price)
    free = [cheapest(nests, of_sizes, threshold, max_levels=levels) for levels in range(1, max_levels + 1)]
    free = [p for k, p in enumerate(free) if not k or p.cost < free[k - 1].cost]  # a level more may be of no use
    used = {i for p in (best, *free) for i in p.chosen or ()}
    table |= {k: u for i, (k, u) in enumerate(sizes.items()) if i in used}
    distances = moments.distances(table, curves)
    rows = [_row(k, u, distances[k], curves[k], threshold) for k, u in table.items()]
    rows.sort(key=lambda row: (-row.subspace.dim, row.rmsd) if row.subspace and row.rmsd else (0, (0.0, 0.0)))
    thresholds = tuple(float(v) for v in np.geomspace(3e-4, 3e-2, 9))
    return Analysis(
        given.name,
        moments.count,
        given.shape,
        given.axes,
        unit,
        given.scale,
        moments.model,
        sde,
        threshold,
        (*rows, *(Row(name, None, note=note) for name, note in missing.items())),
        tuple(sizes),
        best,
        tuple(free),
        thresholds,
        {f"K = {k}": tuple(cost(v, k) for v in thresholds) for k in range(1, len(free) + 1)},
        moments.spectrum.result(),
        moments.samples,
    )


def _of_images(images: Images) -> ArrayData:
    """The training images as floats in [0, 1], both of whose edges may get shorter."""
    if len(images.train) < 2:
        raise ValueError(
            f"{images.name} leaves one image beside the one held out, which cannot vary: give at least three"
        )
    edges = [a for a in (-2, -1) if images.shape[a] > 1]
    if not edges:
        raise ValueError(f"the images of {images.name} have one pixel each: there is no smaller size")
    return ArrayData(images.train, 255, edges, images.name)


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
