"""The orthogonal Fisher divergence, eq. 14: from which time on may a subspace be used?

D_F(U_{k|j}; t) = Σ⊥_{k|j}(t)/(n_j − n_k) · E ‖ P⊥_{k|j} U_jᵀ s_0(x, t) + x⊥_{k|j}/Σ⊥_{k|j}(t) ‖²
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .arrays import Score, batches, check_score, namespace
from .backend import RNG, Constant, Noise, backend_of, streams
from .complement import complement_moments
from .sdes import IsotropicSDE
from .subspaces import Identity, NestedSubspaces, Subspace


@dataclass(frozen=True)
class DivergenceCurve:
    """D_F of one subspace over time.

    Attributes
    ----------
    times: increasing.
    values: D_F at those times.
    stderr: standard errors of the values, where they were estimated.
    sde: whose grid parameter `time_at` interpolates in; t itself without it.

    >>> DivergenceCurve((0.1, 0.2, 0.3), (1e-1, 1e-2, 1e-3)).time_at(1e-2).__round__(6)
    0.2
    """

    times: tuple[float, ...]
    values: tuple[float, ...]
    stderr: tuple[float, ...] | None = None
    sde: IsotropicSDE | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("times", "values", "stderr"):
            given = getattr(self, name)
            if given is not None:
                object.__setattr__(self, name, tuple(float(v) for v in given))
        if len(self.times) != len(self.values) or (self.stderr is not None and len(self.stderr) != len(self.times)):
            raise ValueError("times, values and stderr must have the same length")
        if not self.times or not all(a < b for a, b in zip(self.times, self.times[1:])):
            raise ValueError("a curve needs times that increase strictly")
        if not all(math.isfinite(v) and v >= 0 for v in self.values):
            raise ValueError("the values of a divergence are finite and not negative")

    def time_at(self, threshold: float) -> float:
        """The first time from which the curve stays at or below `threshold`; log D_F is interpolated linearly.

        Raises ValueError for a threshold that the curve does not meet (and names the smallest value), or ≤ 0.
        """
        if not threshold > 0:
            raise ValueError(f"the threshold must be positive, got {threshold}")
        above = [i for i, v in enumerate(self.values) if v > threshold]
        if not above:
            return self.times[0]
        i = above[-1]
        if i == len(self.times) - 1:
            raise ValueError(
                f"the divergence never stays below {threshold:g}: the smallest value is {min(self.values):.3g}, "
                f"the last {self.values[-1]:.3g} at t = {self.times[-1]:g}"
            )
        high, low = math.log(self.values[i]), math.log(max(self.values[i + 1], 1e-300))
        part = (high - math.log(threshold)) / (high - low) if high > low else 1.0
        if self.sde is None:
            return self.times[i] + part * (self.times[i + 1] - self.times[i])
        u = [self.sde.grid_parameter(t) for t in self.times[i : i + 2]]
        return float(self.sde.from_grid_parameter(u[0] + part * (u[1] - u[0])))


def orthogonal_fisher_divergence(
    score: Score,
    data: Any,
    sde: IsotropicSDE,
    subspaces: Sequence[Subspace],
    times: Sequence[float],
    rng: RNG = 0,
    within: Subspace | None = None,
    center: bool = False,
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

    Returns
    -------
    One `DivergenceCurve` a subspace, with standard errors over the samples (the complement's variance taken as known).

    Raises ValueError for a score of another shape or dtype than x, or one that is not finite (with t and sample).

    >>> from subspace_sde import VE, Downsampling
    >>> x = np.random.default_rng(0).standard_normal((64, 4))
    >>> sde, half = VE(), Downsampling((4,), 2, axes=(-1,))
    >>> exact = lambda x, t: -x / (1 + sde.sigma(t) ** 2)  # of N(0, I), whose complement is exactly Gaussian
    >>> curve = orthogonal_fisher_divergence(exact, x, sde, [half], [0.2, 0.8])[0]
    >>> bool(max(curve.values) < 0.05)
    True
    """
    if not subspaces:
        raise ValueError("give at least one subspace")
    times = tuple(float(t) for t in times)
    increasing = all(a < b for a, b in zip(times, times[1:]))
    if not (times and increasing and sde.t_min <= times[0] and times[-1] <= sde.T):
        raise ValueError(f"times must increase strictly in [{sde.t_min:g}, {sde.T:g}], got {times}")
    base = Identity(subspaces[0].ambient_shape) if within is None else within
    relative = [u.within(base) for u in subspaces]
    parts = list(batches(data)) if not hasattr(data, "shape") else data
    models = []
    for u in relative:
        moments = complement_moments(NestedSubspaces([u]), (base.restrict(b) for b in batches(parts)))
        mean = Constant(u.reject(moments.mean)) if center else None
        models.append((u, moments.variances(center)[0], mean))
    sums = np.zeros((2, len(relative), len(times)))
    count = 0
    for x0 in batches(parts):
        xp, backend = namespace(x0), backend_of(x0)
        flat = xp.reshape(x0, (-1, *base.ambient_shape))
        n = int(flat.shape[0])
        noise = Noise(_part(rng, count, count + n), (n,), flat)
        found = []
        with backend.no_grad():
            for t in times:
                x = sde.alpha(t) * flat + sde.sigma(t) * noise.normal(base.ambient_shape)
                s = score(x, t)
                check_score(s, x, "the score")
                y, s = base._restrict(x, xp), base._restrict(s, xp)
                for u, variance, mean in models:
                    sigma = sde.alpha(t) ** 2 * variance + sde.sigma(t) ** 2
                    off = u._reject(s + y / sigma, xp)
                    if mean is not None:
                        off = off - mean.like(x) * (sde.alpha(t) / sigma)
                    squares = xp.sum(xp.reshape(off * off, (n, -1)), axis=-1) * (sigma / (u.ambient_dim - u.dim))
                    found.append(squares)
            values = backend.to_numpy(xp.stack(found)).astype(np.float64).reshape(len(times), len(relative), n)
        bad = np.argwhere(~np.isfinite(values))
        if bad.size:
            i, _, row = bad[0]
            raise ValueError(f"the score is not finite at t = {times[i]:g}, for sample {count + row} of the data")
        sums += np.stack([values.sum(-1).T, (values**2).sum(-1).T])
        count += n
    average = sums[0] / count
    spread = np.sqrt(np.maximum(sums[1] / count - average**2, 0) / max(count - 1, 1))
    return [DivergenceCurve(times, tuple(a), tuple(e), sde) for a, e in zip(average, spread)]


def _part(rng: RNG, start: int, stop: int) -> RNG:
    """The streams of the samples start … stop − 1."""
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        return streams(int(rng), start, stop)
    return rng[start:stop] if isinstance(rng, (Sequence, np.ndarray)) else rng
