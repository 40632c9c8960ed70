"""The orthogonal Fisher divergence, eq. 14: from which time on may a subspace be used?

D_F(U_{k|j}; t) = Σ⊥_{k|j}(t)/(n_j − n_k) · E ‖ P⊥_{k|j} U_jᵀ s_0(x, t) + x⊥_{k|j}/Σ⊥_{k|j}(t) ‖²
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import Score, batches, check_score, namespace
from ..backend import RNG, Constant, Noise, backend_of, started, streams
from ..border import checked
from ..progress import Bar
from ..sdes import IsotropicSDE
from ..shown import Shown
from ..statistics.complement import ComplementEnergies
from ..statistics.moments import accumulate
from ..subspaces import Identity, Subspace


@dataclass(frozen=True, repr=False)
class ComplementParts(Shown):
    """What eq. 14 is made of, and adds up over nested complements: P⊥_{k|0} splits into P⊥_{j|0} and P⊥_{k|j}.

    Attributes
    ----------
    lost: n_0 − n_k, the dimensions of the complement.
    energy: E‖x⊥(0)‖² of the data, about their mean where the curve is.
    squares: E‖P⊥s‖², E⟨P⊥s, x⊥⟩ and E‖x⊥‖², each at the times of the curve; x⊥ = P⊥(x(t) − α(t)μ) with a mean.
    """

    lost: int
    energy: float
    squares: tuple[tuple[float, ...], ...]


@checked
@dataclass(frozen=True, repr=False)
class DivergenceCurve(Shown):
    """D_F of one subspace over time.

    Attributes
    ----------
    times: increasing.
    values: D_F at those times.
    stderr: standard errors of the values, where they were estimated.
    sde: whose grid parameter `time_at` and `at` interpolate in; t itself without it.
    parts: what `within` needs, where the curve was measured by `orthogonal_fisher_divergence`.

    >>> DivergenceCurve((0.1, 0.2, 0.3), (1e-1, 1e-2, 1e-3)).time_at(1e-2).__round__(6)
    0.2
    """

    times: tuple[float, ...]
    values: tuple[float, ...]
    stderr: tuple[float, ...] | None = None
    sde: IsotropicSDE | None = field(default=None, compare=False)
    parts: ComplementParts | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("times", "values", "stderr"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, tuple(float(v) for v in given))
        if len(self.times) != len(self.values) or (self.stderr is not None and len(self.stderr) != len(self.times)):
            raise ValueError("times, values and stderr must have the same length")
        increasing = all(a < b for a, b in zip(self.times, self.times[1:]))
        if not self.times or not increasing or not all(map(math.isfinite, self.times)):
            raise ValueError("a curve needs finite times that increase strictly")
        if not all(math.isfinite(v) and v >= 0 for v in (*self.values, *(self.stderr or ()))):
            raise ValueError("the values of a divergence, and their standard errors, are finite and not negative")

    @checked
    def time_at(self, threshold: float) -> float:
        """The first time from which the curve stays at or below `threshold`; log D_F is interpolated linearly.

        Raises ValueError for a threshold that the curve does not meet (and names the smallest value), or that is not
        positive and finite.
        """
        check_threshold(threshold)
        t = time_below(self.times, [max(v, 1e-300) for v in self.values], threshold, self.sde)
        if t is None:
            raise ValueError(
                f"the divergence never stays below {threshold:g}: the smallest value is {min(self.values):.3g}, "
                f"the last {self.values[-1]:.3g} at t = {self.times[-1]:g}"
            )
        return t

    @checked
    def at(self, t: float) -> float:
        """D_F at t, log D_F interpolated linearly as in `time_at`; a ValueError outside the times.

        >>> DivergenceCurve((0.1, 0.2, 0.3), (1e-1, 1e-2, 1e-3)).at(0.25).__round__(6)
        0.003162
        """
        if not self.times[0] <= t <= self.times[-1]:
            raise ValueError(f"the curve is known for t in [{self.times[0]:g}, {self.times[-1]:g}], got {t}")
        if t in self.times:
            return self.values[self.times.index(t)]
        u = [self._parameter(s) for s in self.times]
        return math.exp(float(np.interp(self._parameter(t), u, [math.log(max(v, 1e-300)) for v in self.values])))

    def _parameter(self, t: float) -> float:
        return parameter(t, self.sde)

    @checked
    def within(self, outer: DivergenceCurve) -> DivergenceCurve:
        """D_F(U_{k|j}; t) from this curve, of U_k, and the curve of a U_j that contains U_k: no further evaluations.

        Both must come from one call of `orthogonal_fisher_divergence`, whose `within` is their common space. The result
        is what that call with ``within=U_j`` would estimate from the same draws, but for rounding; it has no standard
        errors. Whether U_k lies in U_j the curves cannot tell.

        Raises ValueError for curves that hold no `parts`, or of other times, or where `outer` is the smaller subspace.

        >>> from subspace_sde import VE, Downsampling
        >>> x = np.random.default_rng(0).standard_normal((64, 8)) * [1, 1, 1, 1, 2, 2, 2, 2]
        >>> half, quarter = (Downsampling((8,), n, axes=(-1,)) for n in (2, 4))
        >>> score = lambda x, t: -x / (1 + VE().sigma(t) ** 2)
        >>> outer, inner = orthogonal_fisher_divergence(
        ...     score, x, VE(), [half, quarter], [0.4, 0.6]
        ... )
        >>> direct = orthogonal_fisher_divergence(
        ...     score, x, VE(), [quarter], [0.4, 0.6], within=half
        ... )[0]
        >>> bool(np.allclose(inner.within(outer).values, direct.values, rtol=1e-9))
        True
        """
        if self.parts is None or outer.parts is None or self.sde is None:
            raise ValueError("a curve holds no parts: `within` needs curves from `orthogonal_fisher_divergence`")
        if self.times != outer.times:
            raise ValueError("the two curves have different times: measure both subspaces in one call")
        lost, energy = self.parts.lost - outer.parts.lost, self.parts.energy - outer.parts.energy
        if lost <= 0:
            raise ValueError(
                f"the outer subspace loses {outer.parts.lost} dimensions, the inner one {self.parts.lost}: "
                "call `within` on the curve of the smaller subspace"
            )
        squares = np.asarray(self.parts.squares) - np.asarray(outer.parts.squares)
        sigma = np.asarray(
            [self.sde.alpha(t) ** 2 * max(energy, 0) / lost + self.sde.sigma(t) ** 2 for t in self.times]
        )
        weights = np.stack([sigma, np.full_like(sigma, 2), 1 / sigma]) / lost
        values, size = np.sum(weights * squares, axis=0), np.sum(weights * np.abs(self.parts.squares), axis=0)
        if np.any(values < -1e-5 * size):  # far more than rounding, in float32 too
            raise ValueError("a divergence below 0: the subspaces are not nested, or the samples not the same")
        parts = ComplementParts(lost, max(energy, 0.0), tuple(map(tuple, squares.tolist())))
        return DivergenceCurve(self.times, tuple(np.maximum(values, 0).tolist()), None, self.sde, parts)


@checked
def orthogonal_fisher_divergence(
    score: Score,
    data: Any,
    sde: IsotropicSDE,
    subspaces: Sequence[Subspace],
    times: Sequence[float],
    rng: RNG = 0,
    within: Subspace | None = None,
    center: bool = False,
    *,
    progress: bool = False,
) -> list[DivergenceCurve]:
    """Eq. 14 for all the given subspaces from the *same* evaluations of the full-dimensional score.

    Parameters
    ----------
    score: s_0(x, t) of the full space; called with t a float.
    data: (N, *ambient_shape), or a list of batches (it is read once for the variances and once for the expectation).
    sde: the process under which the score was trained.
    subspaces: U_1, U_2, … of the full space; they need not be nested in each other.
    times: increasing, in [t_min, T].
    rng: an integer (sample i of the data has its own stream), a sequence of them, or a backend's generator.
    within: U_j, for D_F(U_{k|j}; t); the full space without it.
    center: model the complement about the data's mean.
    progress: show a progress bar (extra ``progress``).

    Returns
    -------
    One `DivergenceCurve` a subspace, with standard errors over the samples (the complement's variance taken as known).

    Raises ValueError for a score of another shape or dtype than x, or one that is not finite (with t and sample).

    >>> from subspace_sde import VE, Downsampling
    >>> x = np.random.default_rng(0).standard_normal((64, 4))
    >>> sde, half = VE(), Downsampling((4,), 2, axes=(-1,))
    >>> # of N(0, I), whose complement is exactly Gaussian
    >>> exact = lambda x, t: -x / (1 + sde.sigma(t) ** 2)
    >>> curve = orthogonal_fisher_divergence(exact, x, sde, [half], [0.2, 0.8])[0]
    >>> bool(max(curve.values) < 0.05)
    True
    """
    times = increasing_times(times, sde)
    complements = Complements(data, sde, subspaces, within, center)
    totals, count = np.zeros((len(times), len(subspaces), 4)), 0
    with Bar(progress, "divergence", "evaluation", complements.samples * len(times)) as bar:
        for x0 in complements.batches():
            xp, backend, found = namespace(x0), backend_of(x0), []
            n, rng = int(x0.shape[0]), started(rng, x0)
            noise = Noise(streams_of(rng, count, count + n), (n,), x0)
            with backend.no_grad():
                for t in times:
                    found.append(complements.measure(score, x0, noise, t))
                    bar.advance(n, f"t = {t:.3g}")
            totals += complements.totals(backend.to_numpy(xp.stack(found)), times, range(count, count + n))
            count += n
    return complements.curves(times, totals / count, np.full(len(times), count))


class Complements:
    """The complements of several subspaces of one space, and what eq. 14 averages over them, sample by sample.

    Parameters
    ----------
    data, sde, subspaces, within, center: those of `orthogonal_fisher_divergence`; the data are read once, for Σ⊥.

    Attributes
    ----------
    samples: in the data.
    """

    def __init__(
        self, data: Any, sde: IsotropicSDE, subspaces: Sequence[Subspace], within: Subspace | None, center: bool
    ) -> None:
        if not subspaces:
            raise ValueError("give at least one subspace")
        self._sde, self._base = sde, Identity(subspaces[0].ambient_shape) if within is None else within
        relative = [u.within(self._base) for u in subspaces]
        for u in relative:
            if u.dim >= u.ambient_dim:
                raise ValueError(f"a subspace must lose dimensions, but one keeps all {u.dim}: leave it out")
        self._data = data if hasattr(data, "shape") else list(batches(data))
        coordinates = (self._base.restrict(b) for b in batches(self._data))
        energies = accumulate(lambda _: ComplementEnergies(relative), coordinates)
        self.samples = energies.samples
        means = [Constant(u.reject(energies.mean)) if center else None for u in relative]
        self._models = [(u, float(e), mean) for u, e, mean in zip(relative, energies.result(center), means)]

    def batches(self) -> Iterator[Any]:
        """The data again, (n, *ambient_shape) at a time."""
        for x0 in batches(self._data):
            yield namespace(x0).reshape(x0, (-1, *self._base.ambient_shape))

    def measure(self, score: Score, x0: Any, noise: Noise, t: float) -> Any:
        """Σ⊥/n⊥ ‖g‖², ⟨g, x⊥⟩ and ‖x⊥‖², with g = P⊥s + x⊥/Σ⊥, of x(t) = αx(0) + σε: (subspaces, 3, n).

        Those of g instead of s, because at late times s and −x⊥/Σ⊥ agree to more digits than float32 has.
        """
        xp, n, alpha = namespace(x0), int(x0.shape[0]), float(self._sde.alpha(t))
        x = alpha * x0 + float(self._sde.sigma(t)) * noise.normal(self._base.ambient_shape)
        s = score(x, t)
        check_score(s, x, "the score")
        y, s = self._base._restrict(x, xp), self._base._restrict(s, xp)
        found = []
        for u, energy, mean in self._models:
            lost = u.ambient_dim - u.dim
            sigma = self._variance(energy, lost, t)
            off, gap = u._reject(y, xp), u._reject(s + y / sigma, xp)
            if mean is not None:
                off, gap = off - mean.like(x) * alpha, gap - mean.like(x) * (alpha / sigma)
            sums = [xp.sum(xp.reshape(p, (n, -1)), axis=-1) for p in (gap * gap, gap * off, off * off)]
            found.append(xp.stack([sums[0] * (sigma / lost), *sums[1:]]))
        return xp.stack(found)

    def totals(
        self, found: np.ndarray[Any, Any], times: Sequence[float], samples: Sequence[int]
    ) -> np.ndarray[Any, Any]:
        """What `measure` found at each of the times, summed over the samples, and the squares of D_F: (…, 4).

        Raises ValueError where D_F is not finite, with the time and the number of the sample.
        """
        found = found.astype(np.float64)
        bad = np.argwhere(~np.isfinite(found[:, :, 0]))
        if bad.size:
            i, _, row = bad[0]
            raise ValueError(f"the score is not finite at t = {times[i]:g}, for sample {samples[row]} of the data")
        sums: np.ndarray[Any, Any] = np.concatenate([found, found[:, :, :1] ** 2], axis=2).sum(-1)
        return sums

    def curves(
        self, times: Sequence[float], means: np.ndarray[Any, Any], counts: np.ndarray[Any, Any]
    ) -> list[DivergenceCurve]:
        """One curve a subspace from the `totals` of each time, divided by its number of samples."""
        curves = []
        for k, (u, energy, _) in enumerate(self._models):
            lost = u.ambient_dim - u.dim
            value, product, square, second = means[:, k].T
            stderr = np.sqrt(np.maximum(second - value**2, 0) / np.maximum(counts - 1, 1))
            sigma = np.asarray([self._variance(energy, lost, t) for t in times])
            product = product - square / sigma  # in float64 nothing is lost: of g to of s
            score = value * lost / sigma - 2 * product / sigma - square / sigma**2
            parts = ComplementParts(lost, energy, tuple(tuple(p.tolist()) for p in (score, product, square)))
            curves.append(DivergenceCurve(tuple(times), tuple(value), tuple(stderr), self._sde, parts))
        return curves

    def _variance(self, energy: float, lost: int, t: float) -> float:
        return float(self._sde.alpha(t) ** 2 * (energy / lost) + self._sde.sigma(t) ** 2)


def parameter(t: float, sde: IsotropicSDE | None) -> float:
    """The variable in which curves are interpolated: the SDE's grid parameter, or t itself."""
    return t if sde is None else float(sde.grid_parameter(t))


def time_below(
    times: Sequence[float], values: Sequence[float], threshold: float, sde: IsotropicSDE | None
) -> float | None:
    """The first time from which the values stay at or below `threshold`, None where they do not.

    Logarithms are interpolated linearly, the values themselves where one is not positive.
    """
    above = [i for i, v in enumerate(values) if v > threshold]
    if not above:
        return times[0]
    i = above[-1]
    if i == len(times) - 1:
        return None
    high, low, level = values[i], values[i + 1], threshold
    if low > 0:
        high, low, level = math.log(high), math.log(low), math.log(level)
    start, end = (parameter(t, sde) for t in times[i : i + 2])
    u = start + ((high - level) / (high - low) if high > low else 1.0) * (end - start)
    t = u if sde is None else float(sde.from_grid_parameter(u))
    return min(max(t, times[i]), times[i + 1])


def check_threshold(threshold: float) -> None:
    """A ValueError unless it is positive and finite."""
    if not 0 < threshold < math.inf:
        raise ValueError(f"the threshold must be positive, got {threshold}: give a finite number, 3e-3 say")


def increasing_times(times: Sequence[float], sde: IsotropicSDE) -> tuple[float, ...]:
    """`times` as floats; a ValueError unless they increase strictly in [t_min, T]."""
    times = tuple(float(t) for t in times)
    increasing = all(a < b for a, b in zip(times, times[1:]))
    if not (times and increasing and sde.t_min <= times[0] and times[-1] <= sde.T):
        raise ValueError(f"times must increase strictly in [{sde.t_min:g}, {sde.T:g}], got {times}")
    return times


def streams_of(rng: RNG, start: int, stop: int) -> RNG:
    """The streams of the samples start … stop − 1."""
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        return streams(int(rng), start, stop)
    return rng[start:stop] if isinstance(rng, (Sequence, np.ndarray)) else rng
