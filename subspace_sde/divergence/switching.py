"""When may a subspace be used? The times t_k where D_F (eq. 14) meets a threshold, with evaluations spent only there.

A scan from T downwards brackets every crossing with a few samples a time. Then rounds of fresh samples narrow the one
that is known worst: most of them at the present estimate, the rest before and behind it for slope and curvature; and
every evaluation serves all subspaces. Near a crossing log E D = a + b x + ½ c x² in the SDE's grid parameter, and D, a
mean of squares, scatters in proportion to its mean: a gamma regression, whose root has a standard error by the delta
method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Score
from ..backend import RNG, Noise, backend_of, started
from ..border import checked
from ..progress import Bar
from ..sdes import IsotropicSDE
from ..shown import Shown
from ..subspaces import Subspace
from .estimate import Complements, DivergenceCurve, check_threshold, increasing_times, streams_of

_SCAN, _ENDS = 8, 32  # samples at a time of the scan; at its first and last time, where alone they may decide
_ROUND = 32  # samples in the smallest round; a fit rests on two of them at least
_WING = 8  # one in eight of a round lies before the estimate, one behind it
_SURE = 4.0  # standard errors by which D_F must miss the threshold at the first or last time to be believed

Numbers = np.ndarray[Any, Any]


@dataclass(frozen=True, repr=False)
class SwitchTime(Shown):
    """From which time on one subspace may be used.

    Attributes
    ----------
    t: the first time from which D_F stays at or below the threshold, as far as the scan could see.
    stderr: its standard error in units of t; 0 where t is the first time of the scan, and D_F clearly lower.
    reached: whether that meets what was asked for.
    evaluations: samples that the score was evaluated on, in the whole search, for all its subspaces.
    curve: D_F at every time that was visited, from the samples there: many near t, few elsewhere, so that single values
        scatter (`stderr`) and t is better than its `time_at`.
    threshold: of D_F, that t belongs to.
    """

    t: float
    stderr: float
    reached: bool
    evaluations: int
    curve: DivergenceCurve
    threshold: float

    def time_at(self, threshold: float) -> float:
        """`t`; a ValueError for another threshold than the one that was searched for."""
        if threshold != self.threshold:
            raise ValueError(
                f"t = {self.t:.3g} is the switch time for the threshold {self.threshold:g}, not for {threshold:g}: "
                "call `switch_times` with that"
            )
        return self.t

    def at(self, t: float) -> float:
        """D_F at a time: the threshold where the curve crosses it, else what `curve` says."""
        return self.threshold if t == self.t and self.stderr else self.curve.at(t)


@checked
def switch_times(
    score: Score,
    data: Any,
    sde: IsotropicSDE,
    subspaces: Sequence[Subspace],
    threshold: float,
    stderr: float = 0.002,
    times: Sequence[float] | None = None,
    rng: RNG = 0,
    within: Subspace | None = None,
    center: bool = False,
    max_evaluations: int = 100_000,
    *,
    progress: bool = False,
) -> list[SwitchTime]:
    """The time t_k of each subspace at which D_F meets the threshold, to a standard error, with few evaluations.

    Parameters
    ----------
    score, data, sde, subspaces, within, center: as `orthogonal_fisher_divergence` takes them. The data are read once
        for the variances; then sample after sample is used, in their order (so shuffle them first), and again from the
        start with fresh noise where they run out: the expectation is over the given data.
    threshold: of D_F, > 0.
    stderr: the standard error to be reached in the SDE's grid parameter: t itself, but t^(1/7) for EDM, where 0.002
        is 0.014 t^(6/7) in t.
    times: of the scan, increasing in [t_min, T], two at least; 17 times, even in the grid parameter, without it. A
        curve that rises above the threshold between two of them only is not seen.
    rng: an integer (the i-th sample used has its own stream), or a backend's generator.
    max_evaluations: at most so many samples go through the score; where that does not do, the standard error reached is
        reported (on a plateau of D_F no number may do).
    progress: show how many samples went through so far (extra ``progress``).

    Returns
    -------
    One `SwitchTime` a subspace. Its errors are over independent draws, the complement's variance taken as known.

    Raises ValueError for a threshold that is not met at the last time (the smallest value is named, and the subspace),
    or not positive and finite, and for a score as `orthogonal_fisher_divergence` does.

    >>> from subspace_sde import VE, LowPass
    >>> from subspace_sde.oracles import DCTGaussian
    >>> law = DCTGaussian(np.zeros(16), 1 / np.arange(1, 17) ** 2)
    >>> levels = [LowPass((16,), n, axes=(-1,)) for n in (8, 4)]
    >>> found = switch_times(
    ...     law.score(VE()),
    ...     law.sample(500, rng=1),
    ...     VE(),
    ...     levels,
    ...     threshold=3e-3,
    ...     stderr=0.005,
    ... )
    >>> [round(switch.t, 2) for switch in found]
    [0.35, 0.43]
    >>> all(switch.stderr <= 0.005 for switch in found)
    True
    """
    check_threshold(threshold)
    if not 0 < stderr < math.inf:
        raise ValueError(f"stderr must be positive and finite, got {stderr}")
    times = increasing_times(sde.grid(16)[::-1].tolist() if times is None else times, sde)
    if len(times) < 2:
        raise ValueError(f"the scan needs two times at least, got {times}")
    least = _SCAN * (len(times) - 2) + 2 * _ENDS
    if max_evaluations < least:
        raise ValueError(f"max_evaluations must be at least {least}, what the scan may take, got {max_evaluations}")
    if isinstance(rng, (Sequence, np.ndarray)):
        raise TypeError("rng must be one integer or a generator: how many samples will be used is not known beforehand")
    with Bar(progress, "switch times", "evaluation") as bar:
        evidence = _Evidence(score, Complements(data, sde, subspaces, within, center), sde, rng, bar)
        crossings = _scan(evidence, times, subspaces, threshold)
        while True:
            for k, crossing in crossings.items():
                crossing.fit(*evidence.rows(k))
                if crossing.never:
                    _refuse(evidence, k, subspaces, threshold)
            room = max_evaluations - evidence.count
            still = [c for c in crossings.values() if not c.reached(stderr)]
            if not still or room < _ROUND:
                break
            for u, n in max(still, key=lambda c: c.stderr).round(stderr, room):
                evidence.add(sde.from_grid_parameter(u), n)
    found = []
    for k, curve in enumerate(evidence.curves()):
        t, error, reached = times[0], 0.0, True
        if k in crossings and not crossings[k].always:
            t, error = crossings[k].time(sde)
            reached = crossings[k].reached(stderr)
        found.append(SwitchTime(t, error, reached, evidence.count, curve, float(threshold)))
    return found


def _scan(
    evidence: _Evidence, times: Sequence[float], subspaces: Sequence[Subspace], threshold: float
) -> dict[int, _Crossing]:
    """The last interval in which each subspace crosses the threshold; none where it lies below at all times."""
    last, waiting, unmet = len(times) - 1, set(range(len(subspaces))), set()
    found: dict[int, _Crossing] = {}
    u = [evidence.parameter(t) for t in times]
    for i in reversed(range(len(times))):
        evidence.add(times[i], _ENDS if i in (0, last) else _SCAN)
        values, errors = evidence.at(times[i])
        if i == last:
            unmet = {k for k in waiting if values[k] - _SURE * errors[k] > threshold}
        else:
            for k in waiting - unmet:
                if values[k] > threshold or (i == 0 and values[k] + _SURE * errors[k] > threshold):
                    pair = float(values[k]), float(evidence.at(times[i + 1])[0][k])
                    found[k] = _Crossing(threshold, (u[0], u[-1]), u[i : i + 2], pair)
            waiting -= found.keys()
        if not waiting:
            break
    if unmet:
        _refuse(evidence, min(unmet), subspaces, threshold)
    return found


def _refuse(evidence: _Evidence, k: int, subspaces: Sequence[Subspace], threshold: float) -> None:
    curve = evidence.curves()[k]
    raise ValueError(
        f"D_F of subspace {k} ({subspaces[k]!r}) does not stay below {threshold:g}: the smallest value reached is "
        f"{min(curve.values):.3g}, the last {curve.values[-1]:.3g} at t = {curve.times[-1]:g}"
    )


class _Evidence:
    """What the score has said so far, for all the subspaces."""

    def __init__(self, score: Score, complements: Complements, sde: IsotropicSDE, rng: RNG, bar: Bar) -> None:
        self._score, self._complements, self._sde, self._rng, self._bar = score, complements, sde, rng, bar
        self.count = 0
        self._u: list[Numbers] = []
        self._values: list[Numbers] = []
        self._totals: dict[float, tuple[int, Numbers]] = {}
        self._source = complements.batches()
        self._rest: Any = None

    def add(self, t: float, n: int) -> None:
        """Evaluate the next n samples of the data at t, in the pieces in which the data come."""
        t = min(max(float(t), self._sde.t_min), self._sde.T)  # rounding of the grid parameter at the ends
        while n:
            x0 = self._take(n)
            m, backend, samples = int(x0.shape[0]), backend_of(x0), self._complements.samples
            self._rng = started(self._rng, x0)
            noise = Noise(streams_of(self._rng, self.count, self.count + m), (m,), x0)
            with backend.no_grad():
                found = backend.to_numpy(self._complements.measure(self._score, x0, noise, t))
            which = [i % samples for i in range(self.count, self.count + m)]
            count, total = self._totals.get(t, (0, 0.0))
            self._totals[t] = (count + m, total + self._complements.totals(found[None], [t], which)[0])
            self._u.append(np.full(m, self._sde.grid_parameter(t)))
            self._values.append(found[:, 0].astype(np.float64))
            self._bar.advance(m, f"t = {t:.3g}")
            self.count += m
            n -= m

    def _take(self, n: int) -> Any:
        while self._rest is None or not self._rest.shape[0]:
            self._rest = next(self._source, None)
            if self._rest is None:
                self._source = self._complements.batches()
        n = min(n, self._rest.shape[0])
        x0, self._rest = self._rest[:n, ...], self._rest[n:, ...]
        return x0

    def at(self, t: float) -> tuple[Numbers, Numbers]:
        """D_F at a time that was visited, and its standard errors, one a subspace."""
        count, total = self._totals[t]
        mean = total / count
        return mean[:, 0], np.sqrt(np.maximum(mean[:, 3] - mean[:, 0] ** 2, 0) / max(count - 1, 1))

    def rows(self, k: int) -> tuple[Numbers, Numbers]:
        """The grid parameter and Σ⊥/n⊥ ‖P⊥s + x⊥/Σ⊥‖² of every sample that was used."""
        return np.concatenate(self._u), np.concatenate([v[k] for v in self._values])

    def curves(self) -> list[DivergenceCurve]:
        """All of it, as curves over the times visited."""
        times = sorted(self._totals)
        counts = np.asarray([self._totals[t][0] for t in times])
        means = np.stack([self._totals[t][1] for t in times]) / counts[:, None, None]
        return self._complements.curves(times, means, counts)

    def parameter(self, t: float) -> float:
        """The SDE's grid parameter."""
        return float(self._sde.grid_parameter(t))


class _Crossing:
    """Where one subspace's curve meets the threshold: a fit in a window of the grid parameter, and where to look next.

    Parameters
    ----------
    threshold: of D_F.
    ends: the first and the last time of the scan, in the grid parameter like all that follows.
    bracket, values: two neighbouring times of it, and D_F there.

    Attributes
    ----------
    u, stderr: the crossing, and its standard error; infinite where the slope is not clearly negative.
    always, never: whether D_F is clearly below the threshold at the first time, or above it at the last.
    """

    def __init__(
        self, threshold: float, ends: tuple[float, float], bracket: Sequence[float], values: Sequence[float]
    ) -> None:
        self._goal, self._ends = math.log(threshold), ends
        self._spacing = bracket[1] - bracket[0]
        high, low = (math.log(max(v, 1e-300)) for v in values)
        self._slope = min(low - high, -1.0) / self._spacing
        self.u = min(max(bracket[0] + (self._goal - high) / self._slope, bracket[0]), bracket[1])
        self.stderr, self.always, self.never = math.inf, False, False
        self._rounds = self._count = 0
        self._look()

    def _look(self) -> None:
        """Lay the window about the crossing, so wide that D_F changes by a factor e to either side, or less.

        What a parabola misses grows with the cube of the width, which is kept in proportion to the error of log D_F.
        """
        (first, last), slope = self._ends, max(abs(self._slope), 1e-12)
        width = min(1.0, (16 * slope * self.stderr) ** (1 / 3)) / slope
        self._half = min(width, self._spacing, (last - first) / 2)
        self._centre = min(max(self.u, first + self._half), last - self._half)

    def round(self, target: float, room: float) -> list[tuple[float, int]]:
        """Where the next samples are to be taken, and how many; most of them nearest to the crossing."""
        need = self._count * ((self.stderr / target) ** 2 - 1) if self.stderr < math.inf else math.inf
        n = int(min(max(_ROUND, min(need, self._count)), room))
        self._rounds += 1
        self._look()
        places = (self._centre - self._half, self._centre, self._centre + self._half)
        nearest = min(places, key=lambda u: abs(u - self.u))
        return [(u, n - 2 * (n // _WING) if u == nearest else n // _WING) for u in places]

    def fit(self, u: Numbers, values: Numbers) -> None:
        """Find the crossing from those of all the samples that lie in the window."""
        if not self._rounds:
            return
        reach = 1.25 * self._half
        near = np.abs(u - self._centre) <= reach
        x, values = u[near] - self._centre, values[near]
        self._count = len(x)
        fit = GammaRegression(x, values)
        low, high = max(-reach, self._ends[0] - self._centre), min(reach, self._ends[1] - self._centre)
        first, last = (abs(end) <= self._half * (1 + 1e-9) for end in (low, high))  # then samples lie there
        if self._count >= 2 * _ROUND:
            self.always = first and fit.at(low).clears(self._goal, -1)
            self.never = last and fit.at(high).clears(self._goal, 1)
        root = fit.root(self._goal, low, high)
        here = fit.at(root)
        self.u, self._slope = self._centre + root, here.slope
        met = abs(here.level - self._goal) < 1e-6 or (first and root == low) or (last and root == high)
        falls = here.slope + 2 * here.slope_error < 0
        self.stderr = here.level_error / -here.slope if met and falls else math.inf

    def reached(self, target: float) -> bool:
        """Whether it is known as well as was asked for, from enough samples."""
        return self.always or (self.stderr <= target and self._count >= 2 * _ROUND)

    def time(self, sde: IsotropicSDE) -> tuple[float, float]:
        """The crossing and its standard error in units of t."""
        step = 1e-5 * self._spacing
        rate = (sde.from_grid_parameter(self.u + step) - sde.from_grid_parameter(self.u - step)) / (2 * step)
        return float(sde.from_grid_parameter(self.u)), float(rate) * self.stderr


class _Fitted(NamedTuple):
    level: float
    level_error: float
    slope: float
    slope_error: float

    def clears(self, goal: float, side: int) -> bool:
        """Whether the level lies above the goal (side 1) or below it (−1), by so much that it cannot be chance."""
        return side * (self.level - goal) > _SURE * self.level_error


class GammaRegression(Shown):
    """log E y = a + b x + ½ c x², for y whose deviation is proportional to its mean, by quasi-likelihood.

    Solves Σ (y/μ − 1)(1, x, ½ x²) = 0; the weights max(y/μ, 1) of the steps keep them from overshooting.
    """

    def __init__(self, x: Numbers, y: Numbers) -> None:
        self._scale = float(np.max(np.abs(x)))
        design = self._design(x)
        beta = np.asarray([math.log(max(float(y.mean()), 1e-100)), 0.0, 0.0])
        for _ in range(200):
            ratio = y * np.exp(-(beta @ design))
            step = np.linalg.solve((design * np.maximum(ratio, 1)) @ design.T, design @ (ratio - 1))
            beta = beta + step
            if np.max(np.abs(step)) < 1e-10:
                break
        squares = (ratio - 1) ** 2 * (len(x) / max(len(x) - 3, 1))
        # and one standard error of it: a search that stops where errors are small stops where the scatter seems small
        scatter = float(np.mean(squares) + np.std(squares) / math.sqrt(len(x)))
        self._beta, self._covariance = beta, scatter * np.linalg.inv(design @ design.T)

    def _design(self, x: Any) -> Numbers:
        x = x / self._scale
        return np.stack([np.ones_like(x), x, 0.5 * x * x])

    def at(self, x: float) -> _Fitted:
        """log E y and its slope at x, with standard errors."""
        level, slope = self._design(x), np.asarray([0.0, 1.0, x / self._scale]) / self._scale
        errors = (math.sqrt(g @ self._covariance @ g) for g in (level, slope))
        values = (float(self._beta @ g) for g in (level, slope))
        (a, da), (b, db) = zip(values, errors)
        return _Fitted(a, da, b, db)

    def root(self, goal: float, low: float, high: float) -> float:
        """Where log E y falls through `goal`; the end of [low, high] next to it where that is not inside."""
        c, b, a = 0.5 * self._beta[2], self._beta[1], self._beta[0] - goal
        discriminant = b * b - 4 * c * a
        rate = math.sqrt(max(discriminant, 0.0)) - b
        if discriminant < 0 or rate == 0:  # above everywhere, or below
            return low if a < 0 else high
        return min(max(float(2 * a / rate) * self._scale, low), high)
