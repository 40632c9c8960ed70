"""What D_F cannot see: the error that a level makes where the network of the full space stands in for its own.

D_F (eq. 14) looks at the complement, P⊥s_0. This looks at the rest, Uᵀs_0, which the borrowed s_k replaces: with
x = α x(0) + σ ε, both networks predict the coordinates Uᵀε of the same noise, the full one from all of x and the
borrowed one from Uᵀx alone,

    e_k(t) = E[ ‖σ s_k(Uᵀx, t) + Uᵀε‖² − ‖Uᵀ(σ s_0(x, t) + ε)‖² ] / n_k .
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import Score, batches, check_score, check_trailing
from ..backend import RNG, Noise, backend_of, check_concrete, started
from ..border import checked
from ..progress import Bar
from ..scores import at_level
from ..scores.process_change import times_of_level
from ..sdes import IsotropicSDE
from ..shown import Shown
from ..subspaces import Subspace
from .estimate import check_threshold, increasing_times, streams_of, time_below


@checked
@dataclass(frozen=True, repr=False)
class LevelError(Shown):
    """The borrowed network's error on one level over time, in excess of the full network's.

    Attributes
    ----------
    times: increasing; those at which the network can serve the level.
    excess: e_k(t), of the mean squared error of the predicted noise, per coordinate of the level. It has no unit, and
        is that of D_F; α²/σ² times the excess of the denoiser's error E‖D − z‖²/n_k. Below 0 the borrowed network errs
        less.
    stderr: standard errors of `excess`.
    ratio: of the two errors, the same for noise and denoiser: 1.05 is an error 5 % larger.
    ratio_stderr: standard errors of `ratio`.
    sde: whose grid parameter `time_at` interpolates in; t itself without it.

    >>> values, none = (1e-1, 1e-2, 1e-3), (0, 0, 0)
    >>> found = LevelError((0.1, 0.2, 0.3), values, none, (1, 1, 1), none)
    >>> found.time_at(1e-2).__round__(6)
    0.2
    """

    times: tuple[float, ...]
    excess: tuple[float, ...]
    stderr: tuple[float, ...]
    ratio: tuple[float, ...]
    ratio_stderr: tuple[float, ...]
    sde: IsotropicSDE | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("times", "excess", "stderr", "ratio", "ratio_stderr"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))
            if len(getattr(self, name)) != len(self.times):
                raise ValueError(f"{name} must have one number for each of the {len(self.times)} times")
        if not self.times or not all(a < b for a, b in zip(self.times, self.times[1:])):
            raise ValueError("the errors of a level need times that increase strictly")
        if not all(math.isfinite(v) for v in self.excess):
            raise ValueError("the errors of a level are finite")

    @checked
    def time_at(self, tolerance: float) -> float:
        """The first time from which the excess stays at or below `tolerance`, its logarithm interpolated linearly.

        Where the excess falls from above the tolerance to 0 or less, it is interpolated itself.

        Raises ValueError for a tolerance that is never met (the smallest excess is named), or not positive and finite.
        """
        check_threshold(tolerance)
        t = time_below(self.times, self.excess, tolerance, self.sde)
        if t is None:
            raise ValueError(
                f"the excess error never stays below {tolerance:g}: the smallest is {min(self.excess):.3g}, "
                f"the last {self.excess[-1]:.3g} at t = {self.times[-1]:g}"
            )
        return t


@checked
def level_error(
    score: Score,
    sde: IsotropicSDE,
    subspaces: Sequence[Subspace],
    data: Any,
    times: Sequence[float],
    rng: RNG = 0,
    *,
    progress: bool = False,
) -> list[LevelError]:
    """e_k(t): which levels may the network of the full space serve (`subspace_sde.scores.at_level`), and from when on?

    The comparison is with the full network on the same data and noise, and not with the best network of the level,
    which nobody has before one is trained. So it counts all that is lost when the level takes over from the full
    network at t: what the network does not know of smaller arrays, and what the noisy complement would still tell of
    the coordinates. For exact scores the second is all: e_k = σ² E‖Uᵀs_0(x) − s_k(Uᵀx)‖²/n_k ≥ 0, a part of the model's
    error as D_F is, in the same unit, so that the threshold on D_F is a tolerance for it. As the noise is shared,
    the difference is known far better than either error.

    Parameters
    ----------
    score: of the full space, for arrays of any size; called with t a float.
    sde: the process under which it was trained.
    subspaces: candidates of one space, each with a `coordinate_scale`; they need not be nested.
    data: (N, *ambient_shape), or an iterable of batches, read once; not the network's training data.
    times: increasing, in [t_min, T]; a level is left out at those before the first at which the network can serve it.
    rng: an integer (sample i of the data has its own stream), a sequence of them, or a backend's generator.
    progress: show a progress bar (extra ``progress``).

    Returns
    -------
    One `LevelError` a subspace, with standard errors over the samples. At each time the network is called once on x
    and once for each level.

    Raises ValueError for a subspace without a `coordinate_scale`, a level that none of the times suits, and a score of
    another shape or dtype than x, or one that is not finite.

    >>> from subspace_sde import VE, LowPass
    >>> def any_size(x, t):  # the score of independent N(0, 1) pixels
    ...     return -x / (1 + VE().sigma(t) ** 2)
    >>> x = np.random.default_rng(0).standard_normal((200, 32))
    >>> level = LowPass((32,), 8, axes=(-1,))
    >>> (found,) = level_error(any_size, VE(), [level], x, [0.4, 0.8])
    >>> # coordinates of variance 1, where the network expects 32/8
    >>> [round(r, 2) for r in found.ratio]
    [1.07, 1.11]
    """
    times = increasing_times(times, sde)
    if not subspaces or len(spaces := {u.ambient_shape for u in subspaces}) > 1:
        shown = f"arrays of shapes {sorted(spaces)}" if subspaces else "none"
        raise ValueError(f"give at least one subspace, all of one space, got {shown}")
    whole, levels = subspaces[0].ambient_shape, [at_level(score, sde, u) for u in subspaces]
    served = [
        np.asarray([first <= t <= last for t in times]) for first, last in (times_of_level(sde, u) for u in subspaces)
    ]
    for u, serves in zip(subspaces, served):
        if not serves.any():
            first, last = times_of_level(sde, u)
            raise ValueError(f"the network can serve {u!r} in [{first:g}, {last:g}], where none of the times lies")

    def errors(x0: Any, noise: Noise, t: float) -> Any:
        """‖·‖²/n_k of both networks' predictions of the noise, of each level: (levels, 2, n)."""
        xp, n, sigma = check_trailing("level_error", x0, whole), int(x0.shape[0]), float(sde.sigma(t))
        drawn = noise.normal(whole)
        x = float(sde.alpha(t)) * x0 + sigma * drawn
        s = score(x, t)
        check_score(s, x, "the score")
        own, found = sigma * s + drawn, []
        for u, level, serves in zip(subspaces, levels, served):
            full = u._restrict(own, xp)
            if serves[times.index(t)]:
                borrowed = sigma * level(u._restrict(x, xp), t) + u._restrict(drawn, xp)
            else:
                borrowed = full
            found.append(xp.stack([xp.sum(xp.reshape(e * e, (n, -1)), axis=-1) / u.dim for e in (borrowed, full)]))
        return xp.stack(found)

    sums, count = np.zeros((len(times), len(subspaces), 5)), 0
    samples = (getattr(data, "shape", None) or (math.nan,))[0]  # NaN in Dask, too, where it is not known
    total = None if math.isnan(samples) else int(samples) * len(times)
    with Bar(progress, "level error", "evaluation", total) as bar:
        for x0 in batches(data):
            backend, n = backend_of(x0), int(x0.shape[0])
            check_concrete("data", x0, "call level_error outside of it")
            rng = started(rng, x0)
            noise = Noise(streams_of(rng, count, count + n), (n,), x0)
            for i, t in enumerate(times):
                with backend.no_grad():
                    found = backend.to_numpy(errors(x0, noise, t)).astype(np.float64)
                bar.advance(n, f"t = {t:.3g}")
                bad = np.argwhere(~np.isfinite(found))
                if bad.size:
                    raise ValueError(
                        f"the score is not finite at t = {t:g}, for sample {count + bad[0][2]} of the data"
                    )
                gap, full = found[:, 0] - found[:, 1], found[:, 1]  # the difference is the smaller: its digits are kept
                sums[i] += np.stack([gap, full, gap * gap, gap * full, full * full], axis=-1).sum(axis=1)
            count += n
    if not count:
        raise ValueError("the data hold no samples")
    return [_error(sums[serves, k] / count, count, np.asarray(times)[serves], sde) for k, serves in enumerate(served)]


def _error(means: np.ndarray[Any, Any], count: int, times: np.ndarray[Any, Any], sde: IsotropicSDE) -> LevelError:
    """From the means of d, b, d², db and b²; b is the full network's error, and d the other's less b."""
    d, b, dd, db, bb = means.T
    more = d / b
    # the variances of d, and, by the delta method, of d/b
    variances = dd - d * d, (dd - 2 * more * db + more * more * bb) / (b * b)
    stderr, of_ratio = (np.sqrt(np.maximum(v, 0) / max(count - 1, 1)) for v in variances)
    excess, ratio = tuple(d.tolist()), tuple((1 + more).tolist())
    return LevelError(tuple(times.tolist()), excess, tuple(stderr.tolist()), ratio, tuple(of_ratio.tolist()), sde)
