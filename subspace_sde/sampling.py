"""Algorithm 1: solve the reverse diffusion level by level, and climb by injecting noise into the complement."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import array_api_compat
import numpy as np

from .arrays import Score, check_score, is_floating, namespace, on_host
from .backend import RNG, Noise, backend_of
from .process import SubspaceSDE
from .solvers import EulerMaruyama, Langevin, Solver


@dataclass(frozen=True)
class Samples:
    """What `sample` returns.

    Attributes
    ----------
    x: (num, *ambient_shape), at t_min.
    evaluations: calls of s_k for k = 0 … K, each on the whole batch.
    seconds: wall time spent on each level, the injection into it included.
    trajectory: (t, level, x) from T down to t_min, if asked for.
    """

    x: Any
    evaluations: tuple[int, ...]
    seconds: tuple[float, ...]
    trajectory: list[tuple[float, int, Any]] = field(default_factory=list, repr=False)


def stage_times(process: SubspaceSDE, steps: int) -> list[np.ndarray[Any, Any]]:
    """The times of every level, k = 0 … K, from t_{k+1} down to t_k, both exactly: `steps` steps in all.

    The steps are shared out by the lengths of the stages in the SDE's own grid parameter (largest remainder, at
    least one each), and lie evenly in it.

    >>> from subspace_sde import VE, NestedSubspaces, LowPass
    >>> nested = NestedSubspaces([LowPass((32, 32), 20), LowPass((20, 20), 8)])
    >>> process = SubspaceSDE(VE(), nested, [0.3, 0.45], [0.0, 0.0])
    >>> [(len(t) - 1, float(t[0]), float(t[-1])) for t in stage_times(process, 100)]
    [(30, 0.3, 0.0), (15, 0.45, 0.3), (55, 1.0, 0.45)]
    """
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)):
        raise TypeError(f"steps must be an integer, got {type(steps).__name__}")
    if steps < process.K + 1:
        raise ValueError(f"{process.K + 1} levels need at least as many steps, got {steps}")
    sde = process.sde
    ends = [process.ends(k) for k in range(process.K + 1)]
    lengths = np.asarray([abs(sde.grid_parameter(b) - sde.grid_parameter(a)) for a, b in ends])
    share = lengths / lengths.sum() * steps
    counts = np.maximum(np.floor(share + 1e-9).astype(int), 1)
    while counts.sum() < steps:
        counts[np.argmax(share - counts)] += 1
    while counts.sum() > steps:
        counts[np.argmax(np.where(counts > 1, counts - share, -np.inf))] -= 1
    return [sde.grid_between(b, a, int(n)) for (a, b), n in zip(ends, counts)]


def sample(
    process: SubspaceSDE,
    scores: Sequence[Score],
    num: int,
    solver: Solver | None = None,
    steps: int = 1000,
    rng: RNG = 0,
    like: Any = None,
    langevin: Langevin | None = None,
    trajectory: bool = False,
) -> Samples:
    """Draw `num` samples by Algorithm 1.

    Parameters
    ----------
    process: the subspace diffusion; with K = 0 this is ordinary sampling in the full space.
    scores: s_0 … s_K, called with t a float.
    solver: `EulerMaruyama()` without it.
    steps: steps in all, shared among the levels (`stage_times`).
    rng: an integer, a sequence of `num` integers, or a backend's generator.
    like: an array whose library, device and dtype are used; numpy float64 without it.
    langevin: steps after each injection, at (x_{k-1}, t_k) with s_{k-1}; none without it.
    trajectory: keep the state after every step.

    Raises
    ------
    ValueError: too few steps, scores missing, a score of another shape or dtype than x, or one that makes the state
        NaN or infinite (with level, t, step and sample).

    >>> from subspace_sde import VE, Downsampling, NestedSubspaces
    >>> halves = NestedSubspaces([Downsampling((4,), 2, axes=(-1,))])
    >>> process = SubspaceSDE(VE(), halves, [0.5], [1.0])
    >>> exact = lambda x, t: -x / (1 + process.sde.sigma(t) ** 2)  # data N(0, I)
    >>> samples = sample(process, [exact, exact], num=8, steps=20)
    >>> samples.x.shape, samples.evaluations
    ((8, 4), (10, 10))
    """
    scores = process.check_scores(scores)
    if isinstance(num, bool) or not isinstance(num, (int, np.integer)) or num < 1:
        raise ValueError(f"num must be an integer >= 1, got {num!r}")
    grids = stage_times(process, steps)
    solver = EulerMaruyama() if solver is None else solver
    like = np.zeros(()) if like is None else like
    namespace(like)
    if not is_floating(like):
        raise ValueError(f"like must be a floating-point array, got {like.dtype}")
    backend, noise = backend_of(like), Noise(rng, (int(num),), like)
    evaluations, seconds = [0] * (process.K + 1), [0.0] * (process.K + 1)
    states: list[tuple[float, int, Any]] = []
    x: Any = None
    with backend.no_grad():
        for k in reversed(range(process.K + 1)):
            backend.synchronize(like)
            started = time.perf_counter()
            score = _Checked(scores[k], k)
            fresh = partial(noise.normal, process.shape(k))
            guard = _Guard(k)
            if x is None:
                x = process.sde.prior_std * fresh()
            else:
                x = process._inject(x, k + 1, noise)
                if langevin is not None:
                    t = process.times[k]
                    x = langevin.move(x, t, score, fresh, process.subspaces.steps[k])
                    guard.watch(x, t, 0)
            if trajectory:
                states.append((float(grids[k][0]), k, x))
            for i, (t, s) in enumerate(zip(grids[k].tolist(), grids[k].tolist()[1:]), start=1):
                x = solver.step(x, t, s, score, process.sde, fresh)
                guard.watch(x, s, i)
                if trajectory:
                    states.append((s, k, x))
            guard.read()
            backend.synchronize(x)
            seconds[k], evaluations[k] = time.perf_counter() - started, score.calls
    return Samples(x, tuple(evaluations), tuple(seconds), states)


class _Checked:
    """A score that counts its calls and refuses what is not a score of x."""

    def __init__(self, score: Score, level: int) -> None:
        self._score, self._level, self.calls = score, level, 0

    def __call__(self, x: Any, t: Any) -> Any:
        self.calls += 1
        s = self._score(x, t)
        check_score(s, x, f"the score of level {self._level}")
        return s


class _Guard:
    """Names the first step at which a sample is not finite: read at once on the host, every 50 steps on a device."""

    def __init__(self, level: int) -> None:
        self._level = level
        self._flags: list[Any] = []
        self._where: list[tuple[float, int]] = []

    def watch(self, x: Any, t: float, step: int) -> None:
        xp = array_api_compat.array_namespace(x)
        self._flags.append(xp.all(xp.isfinite(xp.reshape(x, (x.shape[0], math.prod(x.shape[1:])))), axis=-1))
        self._where.append((t, step))
        if on_host(x) or len(self._flags) == 50:
            self.read()

    def read(self) -> None:
        if not self._flags:
            return
        xp = array_api_compat.array_namespace(self._flags[0])
        flags = xp.stack(self._flags)
        if not bool(xp.all(flags)):
            bad = np.argwhere(~backend_of(flags).to_numpy(flags))[0]
            t, step = self._where[bad[0]]
            raise ValueError(
                f"the state is not finite on level {self._level} at t = {t:.6g} (step {step} of that level), "
                f"sample {bad[1]}: the score returned NaN or infinity, or the steps are too large"
            )
        self._flags, self._where = [], []
