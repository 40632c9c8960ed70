"""Algorithm 1, given what was observed: every stage by a method, every injection drawn given y."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import array_api_compat

from ..arrays import Score
from ..backend import RNG, Noise
from ..border import checked
from ..conditions import Condition
from ..process import SubspaceSDE
from ..sampling.algorithm_1 import Samples, Stage, Step, checked_num, run
from ..sampling.grids import stage_times
from ..sampling.start import Start
from ..sampling.watching import Checked
from ..scores import denoiser
from ..sdes import Spacing
from ..solvers import EulerMaruyama, Solver
from .method import Differentiable, Method, Prepared
from .observation import Observation
from .pigdm import PiGDM
from .view import View


@dataclass(frozen=True, eq=False, repr=False)
class PosteriorSamples(Samples):
    """What `sample_posterior` returns: `Samples`, and how each stage ran.

    Attributes
    ----------
    methods: the method of each stage, k = 0 … K; None for a stage that a start left out.
    full: whether the stages ran in full dimension.
    """

    methods: tuple[Method | None, ...] = ()
    full: bool = False


@checked
def sample_posterior(
    process: SubspaceSDE,
    scores: Sequence[Score],
    observation: Observation,
    num: int,
    method: Method | None = None,
    solver: Solver | None = None,
    steps: int | Sequence[float] = 1000,
    rng: RNG = 0,
    trajectory: bool = False,
    *,
    full: bool = False,
    spacing: Spacing | None = None,
    start: Start | None = None,
    condition: Condition | None = None,
    chunk: int | None = None,
    callback: Callable[[Step], Any] | None = None,
    progress: bool = False,
    largest: int = 4096,
) -> PosteriorSamples:
    """Draw `num` samples of x(0) given y = A x(0) + σ_y n.

    Staged, stage k runs in x_k and sees y as `subspace_sde.posterior.view` says; at t_k the complement is drawn given
    x_k and y, with one evaluation of s_k more. In full dimension (eq. 11) the stages have the same networks and times.

    Parameters
    ----------
    process, scores, num, steps, rng, trajectory, spacing, condition, chunk, callback, progress: as of `sample`.
    observation: A, y and σ_y; the samples are of the library, device and dtype of y.
    method: `PiGDM()` without it; `DPS()`, `Replacement()`, `RePaint()`.
    solver: `EulerMaruyama()` without it.
    full: stages in full dimension, by ``process.full_score(scores, level=k)``.
    start: data to noise and to start from.
    largest: levels of at most so many coordinates get what they need of A as a matrix of their own size, once, and
        then compute nothing of full size; larger ones apply A at every evaluation.

    With each evaluation of a guided score goes one product with its derivative, backwards through the network on torch;
    it is not counted, nor are three evaluations on every level of each chunk, by which the derivative is checked. With
    numpy arrays a score must have a method ``vjp(x, t, v)`` for guidance.

    Raises
    ------
    ValueError: as of `sample`; an observation that does not fit the process, or that the method refuses; guidance by a
        score whose derivative is not that of its values, because ``torch.no_grad()`` or ``.detach()`` cut it off.
    TypeError: an object of the wrong kind.

    >>> import numpy as np
    >>> from subspace_sde import VE, Downsampling, NestedSubspaces
    >>> from subspace_sde.measurements import Mask
    >>> from subspace_sde.posterior import Replacement
    >>> process = SubspaceSDE(
    ...     VE(), NestedSubspaces([Downsampling((4,), 2, axes=(-1,))]), [0.5], [1.0]
    ... )
    >>> exact = lambda x, t: -x / (1 + process.sde.sigma(t) ** 2)  # data N(0, I)
    >>> seen = Observation(Mask([1, 1, 0, 0], (4,)), np.asarray([0.5, 2.0]))
    >>> found = sample_posterior(process, [exact, exact], seen, 3, Replacement(), steps=50)
    >>> np.round(found.x[:, :2] - seen.y, 1).tolist() == [[0.0, 0.0]] * 3
    True
    """
    scores = process.check_scores(scores)
    _check(process, observation, num)
    method = PiGDM() if method is None else method
    if largest < 0:
        raise ValueError(f"largest is a number of coordinates, and not negative, got {largest}")
    method.check(observation)
    num, solver = checked_num(num, process), EulerMaruyama() if solver is None else solver
    grids: list[Sequence[float]] = [times.tolist() for times in stage_times(process, steps, spacing, solver)]
    top = process.K
    if start is not None:
        top, grids = start.plan(process, grids, num, observation.y)
    if not (full or observation.noise) and not all(process.complement_variances[:top]):
        raise ValueError(
            "a complement of variance 0 and a y without noise contradict each other in stages: give the noise of y, "
            "or full=True"
        )
    views = [View(process, observation, k, full, largest) for k in range(top + 1)]
    ways: dict[int, Method] = {}
    spent = [0.0] * (process.K + 1)

    def entering(k: int, rows: slice, scores: Sequence[Checked]) -> Callable[[Any, Noise], Any]:
        def enter(x: Any, noise: Noise) -> Any:
            if x is None:
                return _begin(process, k, grids[k][0], start, full, rows, noise)
            if full:
                return x
            t = grids[k][0]
            clean, variance = denoiser(scores[k + 1], process.sde)(x, t), ways[k + 1].variance(t, process.sde, k + 1)
            return views[k + 1].inject(x, clean, variance, noise, rows)

        return enter

    def stages(rows: slice, checked: Sequence[Checked]) -> list[Stage]:
        found = []
        for k in reversed(range(top + 1)):
            began = time.perf_counter()
            score: Differentiable = _Full(process, checked, k) if full else checked[k]
            ready: Prepared = method.prepare(views[k], score, solver, rows)
            ways[k], spent[k] = ready.method, spent[k] + time.perf_counter() - began
            enter = entering(k, rows, checked)
            found.append(Stage(k, grids[k], views[k].shape, enter, ready.score, ready.solver))
        return found

    samples = run(process, scores, num, stages, rng, observation.y, trajectory, condition, chunk, callback, progress)
    given = {f.name: getattr(samples, f.name) for f in fields(Samples)}
    given["seconds"] = tuple(a + b for a, b in zip(samples.seconds, spent))
    return PosteriorSamples(**given, methods=tuple(ways.get(k) for k in range(process.K + 1)), full=full)


def _begin(process: SubspaceSDE, k: int, t: float, start: Start | None, full: bool, rows: slice, noise: Noise) -> Any:
    """x at the time t at which the first stage, k, begins."""
    if full and start is not None:
        k = start.level  # what it says of the complements between its level and the stage's is known
    x = process.sde.prior_std * noise.normal(process.shape(k)) if start is None else start.draw(process, k, rows, noise)
    for j in range(k, 0, -1) if full else ():
        step, xp = process.subspaces.steps[j - 1], array_api_compat.array_namespace(x)
        fresh = step._reject(noise.normal(step.ambient_shape), xp)
        x = step._embed(x, xp) + math.sqrt(process.complement_variance(j, t)) * fresh
        if process._complement_means:
            x = x + float(process.sde.alpha(t)) * process._complement_means[j - 1].like(x)
    return x


class _Full:
    """Eq. 11 on stage k, with the derivative that follows from that of s_k: all else in it is linear."""

    def __init__(self, process: SubspaceSDE, scores: Sequence[Checked], k: int) -> None:
        self._whole, self._scores, self._k = process.full_score(scores, level=k), scores, k
        self._process = process
        self._restrict = process.subspaces[k].restrict
        self._linear = SubspaceSDE(process.sde, process.subspaces, process.times, process.complement_variances)

    def __call__(self, x: Any, t: Any) -> Any:
        return self._whole(x, t)

    def linearised(self, x: Any, t: float) -> tuple[Any, Callable[[Any], Any]]:
        s, pull_back = self._scores[self._k].linearised(self._restrict(x), t)
        whole = self._process.full_score([lambda z, t: s] * len(self._scores), level=self._k)
        back = self._linear.full_score([lambda u, t: pull_back(u)] * len(self._scores), level=self._k)
        return whole(x, t), lambda v: back(v, t)

    def check_derivative(self, x: Any, t: float, sigma: float) -> None:
        self._scores[self._k].check_derivative(self._restrict(x), t, sigma)


def _check(process: SubspaceSDE, observation: Observation, num: Any) -> None:
    measurement = observation.measurement
    if measurement.ambient_shape != process.shape(0):
        raise ValueError(
            f"the measurement is one of arrays of shape {measurement.ambient_shape}, the process has {process.shape(0)}"
        )
    if observation.each and observation.y.shape[0] != num:
        raise ValueError(
            f"y holds {observation.y.shape[0]} measurements for {num} samples: give one for all, or one for each"
        )
