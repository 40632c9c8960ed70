"""The subspace diffusion: eqs. 4-6 forwards, eq. 9 at the jumps, eqs. 10-11 as one full-dimensional score.

On t_k < t ≤ t_{k+1} the process lives in V_k:

    dx = f(t) x dt + Σ_k δ(t − t_k) (U_k U_kᵀ − I) x dt + g(t) U_k U_kᵀ dw        (5), (6)

and its reverse models x_k = U_kᵀx with a score network, and every orthogonal component x⊥_{j+1|j}, j < k, as a
Gaussian of variance Σ⊥_{j+1|j}(t) (9), so that

    ∇ log p(x, t) ≈ U_k s_k(U_kᵀx, t) − Σ_{j<k} (P_j − P_{j+1}) x / Σ⊥_{j+1|j}(t)   (11)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import array_api_compat
import numpy as np

from .arrays import Array, Score, Time, device, namespace, over
from .backend import RNG, Constant, Noise, backend_of, host
from .border import checked
from .conditions import check_condition, flat, taken
from .files import reading_content, write_content
from .sdes import IsotropicSDE
from .sdes.base import check_inside, checked_time
from .shown import few
from .specification import Specified, build, register, specify
from .statistics.complement import ComplementMoments, combined_variance, complement_moments
from .subspaces import NestedSubspaces, Subspace

_VERSION = 1  # of the format of files


@checked
@register
class SubspaceSDE(Specified):
    """An isotropic SDE that is projected onto smaller and smaller subspaces as time goes on.

    Parameters
    ----------
    sde: the process on every level (eq. 8).
    subspaces: V_0 ⊃ V_1 ⊃ … ⊃ V_K.
    times: t_1 < … < t_K, inside (t_min, T).
    complement_variances: E‖x⊥_{k|k-1}(0)‖²/(n_{k-1} − n_k) for k = 1 … K; see `fit`.
    mean: the data's mean μ, an array of the full space; then x⊥ − α(t) μ⊥_k stands for x⊥, and the variances are
        those about the mean.

    Raises ValueError where numbers of subspaces, times and variances differ, or times are out of order.

    >>> from subspace_sde import VE, Downsampling, NestedSubspaces
    >>> halves = NestedSubspaces([Downsampling((3, 32, 32), 2)])
    >>> process = SubspaceSDE(VE(), halves, [0.5], [0.075**2])
    >>> process.level(0.5), process.level(0.51), process.shape(1)
    (0, 1, (3, 16, 16))
    """

    def __init__(
        self,
        sde: IsotropicSDE,
        subspaces: NestedSubspaces,
        times: Sequence[float],
        complement_variances: Sequence[float],
        mean: Any = None,
    ) -> None:
        self.sde, self.subspaces = sde, subspaces
        self.K = len(subspaces) - 1
        self.times = tuple(float(t) for t in times)
        self.complement_variances = tuple(float(v) for v in complement_variances)
        if not len(self.times) == len(self.complement_variances) == self.K:
            raise ValueError(
                f"{self.K} proper subspaces need as many times and complement variances, "
                f"got {len(self.times)} and {len(self.complement_variances)}"
            )
        ends = (sde.t_min, *self.times, sde.T)
        if not all(a < b for a, b in zip(ends, ends[1:])):
            raise ValueError(
                f"times must increase strictly inside ({sde.t_min:g}, {sde.T:g}), the smallest subspace last, "
                f"got {self.times}"
            )
        if not all(math.isfinite(v) and v >= 0 for v in self.complement_variances):
            raise ValueError(f"complement variances must be finite and not negative, got {self.complement_variances}")
        self.mean = None if mean is None else host(mean)
        self._complement_means: tuple[Constant, ...] = ()
        if self.mean is not None:
            if self.mean.shape != subspaces.ambient_shape:
                raise ValueError(f"the mean has shape {self.mean.shape}, the full space {subspaces.ambient_shape}")
            if not np.all(np.isfinite(self.mean)):
                raise ValueError("the mean holds NaN or infinity")
            self._complement_means = tuple(
                Constant(step.reject(level.restrict(self.mean))) for level, step in zip(subspaces, subspaces.steps)
            )

    @classmethod
    @checked
    def fit(
        cls,
        sde: IsotropicSDE,
        subspaces: NestedSubspaces,
        times: Sequence[float],
        data: Any,
        center: bool = False,
    ) -> SubspaceSDE:
        """The process whose complement variances (and mean, with `center`) are those of `data`.

        `data` is an array (N, *ambient_shape), any iterable of batches (read once), or `ComplementMoments` of them, for
        subspaces that are built alike; a ValueError for those of others.
        """
        moments = data if isinstance(data, ComplementMoments) else complement_moments(subspaces, data)
        if moments.subspaces != subspaces:
            raise ValueError(f"these are the moments of {moments.subspaces!r}, and not of {subspaces!r}")
        return cls(sde, subspaces, times, moments.variances(center), moments.mean if center else None)

    @checked
    def save(self, path: str | Path) -> None:
        """Write the process as JSON, whole or not at all: all that belongs to trained scores but their weights.

        Raises TypeError for an SDE or subspace whose class is not registered, OSError where the file cannot be written.
        """
        write_content(path, "process", _VERSION, specify(self))

    @classmethod
    @checked
    def load(cls, path: str | Path) -> SubspaceSDE:
        """The process in a file that `save` wrote; a ValueError for any other file, or another version of it.

        A class of your own is registered before (`subspace_sde.specification.register`).
        """
        with reading_content(path, "process", _VERSION) as content:
            process = build(content)
            if not isinstance(process, cls):
                raise ValueError(f"it describes a {type(process).__name__}")
            return process

    def arguments(self) -> dict[str, Any]:
        found = {name: getattr(self, name) for name in ("sde", "subspaces", "times", "complement_variances")}
        return found | ({} if self.mean is None else {"mean": self.mean})

    # -- forwards -------------------------------------------------------------------------------------------------

    @checked
    def level(self, t: Time) -> Any:
        """k for t_k < t ≤ t_{k+1}, and 0 at and below t_1; an int for a float, an array of ints for an array."""
        t = checked_time(t, self.sde)
        if isinstance(t, (int, float)):
            return sum(float(t) > t_k for t_k in self.times)
        xp = namespace(t)
        levels = xp.zeros(t.shape, dtype=xp.int32, device=device(t))
        for t_k in self.times:
            levels = levels + xp.astype(t > t_k, xp.int32)
        return levels

    @checked
    def shape(self, k: int) -> tuple[int, ...]:
        """The shape of x_k."""
        self.ends(k)  # checks
        return self.subspaces[k].shape

    @checked
    def ends(self, k: int) -> tuple[float, float]:
        """(t_k, t_{k+1}), the stage on which level k is used; t_0 = t_min and t_{K+1} = T."""
        if not 0 <= k <= self.K:
            raise ValueError(f"a level is one of 0 to {self.K}, got {k}")
        bounds = (self.sde.t_min, *self.times, self.sde.T)
        return bounds[k], bounds[k + 1]

    @property
    def jumps(self) -> tuple[tuple[float, Subspace], ...]:
        """(t_k, U_k): the Dirac terms of eq. 6 as data; ``U_k.project`` applies one."""
        return tuple(zip(self.times, self.subspaces[1:]))

    @checked
    def drift(self, x: Array, t: Time) -> Any:
        """f(t) x, eq. 6 between the jumps; x of shape (*batch, *ambient_shape)."""
        self._check_whole(x)
        t = checked_time(t, self.sde)
        return over(self.sde.f(t), x, self._trailing) * x

    @checked
    def diffusion(self, noise: Array, t: Time) -> Any:
        """g(t) U_k U_kᵀ noise, eq. 5; `noise` of shape (*batch, *ambient_shape)."""
        self._check_whole(noise)
        t = checked_time(t, self.sde)
        return over(self.sde.g(t), noise, self._trailing) * self._project_at(noise, t)

    @checked
    def perturb(self, x0: Array, t: Time, rng: RNG) -> Any:
        """A draw of x(t) from the forward marginal: P_k (α x(0) + σ ε), with k = level(t)."""
        self._check_whole(x0)
        t = checked_time(t, self.sde)
        noise = Noise(rng, self._batch(x0, 0), x0).normal(self.shape(0))
        clean = over(self.sde.alpha(t), x0, self._trailing) * x0
        return self._project_at(clean + over(self.sde.sigma(t), x0, self._trailing) * noise, t)

    @checked
    def path(self, x0: Array, times: Sequence[float], rng: RNG) -> Any:
        """One path of the forward process through the jumps, at increasing `times`: (len(times), *batch, *ambient)."""
        self._check_whole(x0)
        xp, noise = namespace(x0), Noise(rng, self._batch(x0, 0), x0)
        if not len(times) or not all(s <= t for s, t in zip(times, times[1:])):
            raise ValueError("a path needs at least one time, and times that do not decrease")
        if not (self.sde.t_min <= times[0] and times[-1] <= self.sde.T):
            raise ValueError(f"the times of a path lie in [{self.sde.t_min:g}, {self.sde.T:g}], got {tuple(times)}")
        x, scale, variance, states = x0, 1.0, 0.0, []
        for t in times:
            alpha, now = float(self.sde.alpha(t)), float(self.sde.sigma(t)) ** 2
            ratio = alpha / scale
            # from s to t the mean shrinks by α(t)/α(s), and the rest of σ²(t) is fresh noise
            fresh = math.sqrt(max(now - ratio * ratio * variance, 0.0))
            x = self.subspaces[self.level(float(t))]._project(ratio * x + fresh * noise.normal(self.shape(0)), xp)
            states.append(x)
            scale, variance = alpha, now
        return xp.stack(states)

    # -- the Gaussian model of the complements ------------------------------------------------------------------------

    @checked
    def complement_variance(self, k: int, t: Time, base: int | None = None) -> Any:
        """Σ⊥_{k|base}(t) = α²(t) E‖x⊥_{k|base}(0)‖²/(n_base − n_k) + σ²(t), eq. 9; `base` is k − 1 without it."""
        base = k - 1 if base is None else base
        if not 0 <= base < k <= self.K:
            raise ValueError(
                f"the complement of level k in level base needs 0 <= base < k <= {self.K}, got {k}, {base}"
            )
        t = checked_time(t, self.sde)
        initial = combined_variance(self.complement_variances, self.subspaces, base, k)
        return self.sde.alpha(t) ** 2 * initial + self.sde.sigma(t) ** 2

    @checked
    def inject(self, x: Array, k: int, rng: RNG) -> Any:
        """x_k(t_k) to x_{k-1}(t_k) (Algorithm 1): U_{k|k-1} x_k plus projected white noise of variance Σ⊥_{k|k-1}(t_k).

        Parameters
        ----------
        x: (*batch, *shape(k)).
        k: the level that is left, 1 … K.
        rng: draws are made in the full shape of level k − 1 and projected; the covariance is never factored.
        """
        if not 1 <= k <= self.K:
            raise ValueError(f"injection leaves one of the levels 1 to {self.K}, got {k}")
        self.subspaces.steps[k - 1].embed(x)
        return self._inject(x, k, Noise(rng, self._batch(x, k), x))

    def _inject(self, x: Any, k: int, noise: Noise) -> Any:
        step, t, xp = self.subspaces.steps[k - 1], self.times[k - 1], array_api_compat.array_namespace(x)
        fresh = step._reject(noise.normal(step.ambient_shape), xp)
        injected = step._embed(x, xp) + math.sqrt(self.complement_variance(k, t)) * fresh
        if self._complement_means:
            injected = injected + float(self.sde.alpha(t)) * self._complement_means[k - 1].like(x)
        return injected

    # -- eq. 11 -------------------------------------------------------------------------------------------------------

    @checked
    def full_score(self, scores: Sequence[Score], level: int | None = None) -> Score:
        """Eq. 11: the K + 1 scores and the Gaussian complements as one score of the full space.

        Parameters
        ----------
        scores: s_0 … s_K, each on its own level's coordinates.
        level: k gives stage k's function on the *closed* interval [t_k, t_{k+1}], for solvers that integrate stage by
            stage: at t_k the function of time alone belongs to the stage below.

        Returns
        -------
        ``score(x, t)``, x of shape (*batch, *ambient_shape); with an array t the elements are grouped by level. Under
        jit and its like t cannot be read, and every level is evaluated on all elements: `level` spares that. A
        condition behind t is handed on: (*batch, ...), or a tuple or mapping of such arrays.
        """
        scores = self.check_scores(scores)
        if level is not None and not 0 <= level <= self.K:
            raise ValueError(f"level must lie in 0 ... {self.K}, got {level}")

        def score(x: Any, t: Any, *condition: Any) -> Any:
            self._check_whole(x)
            for given in condition:
                check_condition(given, self._batch(x, 0))
            if level is None:
                return self._by_level(x, t, lambda k, *given: self._stage_score(scores[k], k, *given), *condition)
            low, high = self.ends(level)
            if isinstance(t, (int, float)) and not low <= t <= high:
                raise ValueError(f"stage {level} reaches from t = {low:g} to {high:g}, got t = {t:g}")
            return self._stage_score(scores[level], level, x, checked_time(t, self.sde, low, high), *condition)

        return score

    def _stage_score(self, score: Score, k: int, x: Any, t: Any, *condition: Any) -> Any:
        xp = array_api_compat.array_namespace(x)
        gaussian = []
        for j, step in enumerate(self.subspaces.steps[:k], start=1):
            inner = step._restrict(x, xp)
            complement = x - step._embed(inner, xp)
            if self._complement_means:
                mean = self._complement_means[j - 1].like(x)
                complement = complement - over(self.sde.alpha(t), x, len(step.ambient_shape)) * mean
            gaussian.append(complement / over(self.complement_variance(j, t), x, len(step.ambient_shape)))
            x = inner
        s = score(x, t, *condition)
        for step, part in zip(reversed(self.subspaces.steps[:k]), reversed(gaussian)):
            s = step._embed(s, xp) - part
        return s

    # -- shapes and levels --------------------------------------------------------------------------------------------

    def check_scores(self, scores: Sequence[Score]) -> tuple[Score, ...]:
        """`scores` as a tuple of the K + 1 that this process needs, or a ValueError."""
        found = tuple(scores)
        if len(found) != self.K + 1:
            raise ValueError(
                f"this process has levels 0 to {self.K} and needs {self.K + 1} scores, the full space's first, "
                f"got {len(found)}"
            )
        return found

    def _check_whole(self, x: Any) -> None:
        """Refuses what is not an array of the full space, and says so where it holds the coordinates of a level."""
        namespace(x)
        whole, *levels = self.subspaces
        for k, level in enumerate(levels if tuple(x.shape[-self._trailing :]) != whole.shape else (), start=1):
            if tuple(x.shape[-len(level.shape) :]) == level.shape:
                raise ValueError(
                    f"this takes arrays of the full space, trailing shape {whole.shape}, got {level.shape}, "
                    f"the coordinates of level {k}: bring them there with subspaces[{k}].embed"
                )
        whole.restrict(x)

    @property
    def _trailing(self) -> int:
        return len(self.subspaces.ambient_shape)

    def _batch(self, x: Any, k: int) -> tuple[int, ...]:
        return tuple(x.shape[: x.ndim - len(self.shape(k))])

    def _project_at(self, x: Any, t: Any) -> Any:
        xp = array_api_compat.array_namespace(x)
        return self._by_level(x, t, lambda k, y, _: self.subspaces[k]._project(y, xp))

    def _by_level(self, x: Any, t: Any, function: Callable[..., Any], *condition: Any) -> Any:
        """function(k, x, t, *condition) on the elements of each level k, put together again in their order.

        A gradient of a level that was not chosen is 0, unless it is not finite: then it is NaN.
        """
        if isinstance(t, (int, float)):
            t = checked_time(t, self.sde)
            return function(self.level(t), x, t, *condition)
        xp, batch = array_api_compat.array_namespace(x), self._batch(x, 0)
        over(t, x, self._trailing)  # checks
        if not backend_of(t).concrete(t):  # nobody knows the levels yet: all of them on all elements, and a choice
            found, levels = function(0, x, t, *condition), self.level(t)
            for k in range(1, self.K + 1):
                here = xp.reshape(levels == k, (*t.shape, *(1,) * self._trailing))
                found = xp.where(here, function(k, x, t, *condition), found)
            return found
        times = backend_of(t).to_numpy(t)
        check_inside("t", times, self.sde.t_min, self.sde.T)
        levels = np.broadcast_to(self.level(times), batch).reshape(-1)
        if not levels.size:
            return function(0, x, t, *condition)
        if (levels == levels[0]).all():
            return function(int(levels[0]), x, t, *condition)
        flat_x, flat_t = xp.reshape(x, (prod(batch), *x.shape[len(batch) :])), xp.reshape(t, (-1,))
        flat_c = [flat(given, batch) for given in condition]
        groups = [np.flatnonzero(levels == k) for k in range(self.K + 1)]
        parts = []
        for k, group in enumerate(groups):
            if group.size:
                index = xp.asarray(group, device=device(x))
                rest = [taken(given, group) for given in flat_c]
                parts.append(function(k, xp.take(flat_x, index, axis=0), xp.take(flat_t, index, axis=0), *rest))
        back = xp.asarray(np.argsort(np.concatenate(groups)), device=device(x))
        return xp.reshape(xp.take(xp.concat(parts, axis=0), back, axis=0), x.shape)

    def __repr__(self) -> str:
        jumps = few([f"t_{k} = {t:.3f}" for k, t in enumerate(self.times, start=1)])
        plan = ", ".join(jumps) or "the full space alone"
        return f"SubspaceSDE({self.sde!r}, {self.subspaces!r}, {plan})"
