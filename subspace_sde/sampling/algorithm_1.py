"""Algorithm 1: solve the reverse diffusion level by level, and climb by injecting noise into the complement."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ..arrays import Array, Score, is_floating, namespace, positive_integer
from ..backend import RNG, Noise, backend_of, seeds, started
from ..border import checked
from ..conditions import Condition, check_condition, each
from ..process import SubspaceSDE
from ..progress import Bar, place
from ..scores import denoiser
from ..sdes import IsotropicSDE, Spacing
from ..shown import Shown
from ..solvers import EulerMaruyama, Langevin, Solver
from .given_noise import GivenNoise
from .grids import stage_times
from .start import Start
from .watching import Checked, Guard, network_like, steps_of, warn_of_training

_MOST_NUMBERS = 2**36


@dataclass(frozen=True, eq=False, repr=False)
class Samples(Shown):
    """What `sample` returns.

    Attributes
    ----------
    x: (num, *ambient_shape), at t_min, or denoised from there; fewer where the callback stopped: the chunks that were
        finished.
    evaluations: calls of s_k that each sample went through, k = 0 … K (in its chunk; the most, should chunks differ).
    seconds: wall time spent on each level, the injection into it included.
    seeds: the integer of each sample's own stream: ``rng=[samples.seeds[i]]`` draws sample i again; None where `rng`
        was a generator.
    trajectory: (t, level, x) from T down to t_min, none of them denoised, if asked for.
    """

    x: Any
    evaluations: tuple[int, ...]
    seconds: tuple[float, ...]
    seeds: tuple[int, ...] | None = field(default=None, repr=False)
    trajectory: list[tuple[float, int, Any]] = field(default_factory=list, repr=False)


@dataclass(frozen=True, eq=False, repr=False)
class Step(Shown):
    """Where `sample` stands: what a callback is given.

    Attributes
    ----------
    level, t: of x.
    number, total: steps done and steps in all, of this chunk.
    first: the number of the chunk's first sample.
    x: (chunk, *shape(level)), the state.
    """

    level: int
    t: float
    number: int
    total: int
    first: int
    x: Any = field(repr=False)


@dataclass(frozen=True, repr=False)
class Stage(Shown):
    """A stage as Algorithm 1 runs it.

    Attributes
    ----------
    level: k; its evaluations and seconds count for this one.
    times: of the steps, decreasing.
    shape: of one sample.
    enter: x at times[0], from the x of the stage before (None at the start) and the noise of all samples.
    score: on this shape.
    solver: what gets x down to times[-1].
    """

    level: int
    times: Sequence[float]
    shape: tuple[int, ...]
    enter: Callable[[Any, Noise], Any]
    score: Score
    solver: Solver


@checked
def sample(
    process: SubspaceSDE,
    scores: Sequence[Score],
    num: int,
    solver: Solver | None = None,
    steps: int | Sequence[float] = 1000,
    rng: RNG = 0,
    like: Any = None,
    langevin: Langevin | None = None,
    trajectory: bool = False,
    *,
    spacing: Spacing | None = None,
    start: Start | None = None,
    noise: Array | None = None,
    denoise: bool = False,
    condition: Condition | None = None,
    chunk: int | None = None,
    callback: Callable[[Step], Any] | None = None,
    progress: bool = False,
) -> Samples:
    """Draw `num` samples by Algorithm 1.

    Parameters
    ----------
    process: the subspace diffusion; with K = 0 this is ordinary sampling in the full space.
    scores: s_0 … s_K, called with t a float.
    solver: `EulerMaruyama()` without it.
    steps: steps in all, shared among the levels, or the user's own times from T down to t_min (`stage_times`).
    rng: an integer, a sequence of `num` integers, or a backend's generator.
    like: an array whose library, device and dtype are used. Without it those of `noise`, else the device of a torch
        network behind the scores, in float32 (float64 for one of float64), else numpy's float64.
    langevin: steps after each injection, at (x_{k-1}, t_k) with s_{k-1}; none without it.
    trajectory: keep the state after every step.
    spacing: how the steps lie: `subspace_sde.sampling`. Without it the one that the solver states (`DPMSolver`: even in
        log-SNR), else the SDE's own.
    start: data to noise and to start from (`subspace_sde.sampling`): of the steps, those below its time are done.
    noise: x(T) itself, N(0, σ(T)² I) where the samples are to have their law: (num, *shape(K)); or of the full space,
        (num, *ambient_shape), and then the noise that is injected is its too, so that samples of several processes
        from one `noise` belong together. Not beside `start`.
    denoise: return E[x(0) | x(t_min)] instead of x(t_min), which still has noise: one evaluation of s_0 more.
    condition: class labels, say: an array with one entry a sample, (num, ...), or a tuple or mapping of such arrays;
        the scores are then called as ``score(x, t, condition)`` with the entries of the samples in x.
    chunk: samples at a time, where `num` do not fit in memory; with seeds the noise does not depend on it.
    callback: called with a `Step` after every step; it may raise StopIteration, and what was finished is returned.
    progress: show a progress bar (extra ``progress``).

    Raises
    ------
    ValueError: too few steps, scores missing, `noise` of another shape, library, device or dtype, a score of another
        shape or dtype than x, or one that makes the state NaN or infinite (with level, t, step and sample).

    >>> from subspace_sde import VE, Downsampling, NestedSubspaces
    >>> halves = NestedSubspaces([Downsampling((4,), 2, axes=(-1,))])
    >>> process = SubspaceSDE(VE(), halves, [0.5], [1.0])
    >>> exact = lambda x, t: -x / (1 + process.sde.sigma(t) ** 2)  # data N(0, I)
    >>> samples = sample(process, [exact, exact], num=8, steps=20)
    >>> samples.x.shape, samples.evaluations
    ((8, 4), (10, 10))
    """
    scores = process.check_scores(scores)
    for name, array in (("like", like), ("noise", noise)):
        if array is not None:
            namespace(array)
            if not is_floating(array):
                raise ValueError(f"{name} must be a floating-point array, got {array.dtype}")
    named = [array for array in (like, noise) if array is not None]
    like = named[0] if named else network_like(scores)
    assumed = like is None
    like = np.zeros(()) if assumed else like
    num, solver = checked_num(num, process), EulerMaruyama() if solver is None else solver
    grids: list[Sequence[float]] = [times.tolist() for times in stage_times(process, steps, spacing, solver)]
    top = process.K
    if start is not None:
        if noise is not None:
            raise ValueError("noise is x(T), where sampling starts without a `start`: give one of the two")
        top, grids = start.plan(process, grids, num, like)
    given = None if noise is None else GivenNoise(noise, process, num, like)

    def entering(k: int, rows: slice, score: Score) -> Callable[[Any, Noise], Any]:
        def enter(x: Any, random: Noise) -> Any:
            if x is None and start is not None:
                return start.draw(process, k, rows, random)
            if x is None and given is not None:
                return given.start(rows)
            if x is None:
                return process.sde.prior_std * random.normal(process.shape(k))
            x = process._inject(x, k + 1, random if given is None else given.injected(k, rows, random))
            if langevin is None:
                return x
            fresh = partial(random.normal, process.shape(k))
            return langevin.move(x, grids[k][0], score, fresh, process.subspaces.steps[k])

        return enter

    def stages(rows: slice, checked: Sequence[Checked]) -> list[Stage]:
        return [
            Stage(k, grids[k], process.shape(k), entering(k, rows, checked[k]), checked[k], solver)
            for k in reversed(range(top + 1))
        ]

    try:
        return run(process, scores, num, stages, rng, like, trajectory, condition, chunk, callback, progress, denoise)
    except (TypeError, AttributeError, RuntimeError) as error:
        if assumed:
            error.add_note("(the scores were given numpy arrays: for those of another library pass one as `like=`)")
        raise


def run(
    process: SubspaceSDE,
    scores: Sequence[Score],
    num: int,
    stages: Callable[[slice, Sequence[Checked]], Sequence[Stage]],
    rng: RNG,
    like: Any,
    trajectory: bool,
    condition: Any,
    chunk: int | None,
    callback: Callable[[Step], Any] | None,
    progress: bool,
    denoise: bool = False,
) -> Samples:
    """`sample`, given its stages: ``stages(rows, scores)`` returns those of the samples `rows`, chunk by chunk."""
    chunk = positive_integer("chunk", num if chunk is None else chunk)
    if condition is not None:
        check_condition(condition, (num,))
    warn_of_training(scores)
    rng = started(rng, like)
    streams = None if backend_of(like).is_generator(rng) else seeds(rng, num)
    starts = range(0, num, chunk)
    finished: list[Samples] = []
    done = 0
    with Bar(progress, "sample") as bar:

        def report(step: Step) -> bool:
            nonlocal done
            before, done = done, len(finished) * step.total + step.number
            bar.advance(done - before, place(step.level, step.t), step.total * len(starts))
            try:
                if callback is not None:
                    callback(step)
            except StopIteration:
                return True
            return False

        for start in starts:
            rows = slice(start, min(start + chunk, num))
            labels = None if condition is None else each(lambda c, rows=rows: c[rows, ...], condition)
            noise = Noise(rng if streams is None else streams[rows], (rows.stop - start,), like)
            checked = [Checked(score, k, labels, bar.within if progress else None) for k, score in enumerate(scores)]
            with backend_of(like).no_grad():
                part, stopped = _algorithm_1(
                    process.sde, stages(rows, checked), checked, noise, like, trajectory, start, report, denoise
                )
            if part is not None:
                finished.append(part)
            if stopped:
                break
    return _joined(finished, process, like, streams)


def _algorithm_1(
    sde: IsotropicSDE,
    stages: Sequence[Stage],
    scores: Sequence[Checked],
    noise: Noise,
    like: Any,
    trajectory: bool,
    first: int,
    report: Callable[[Step], bool],
    denoise: bool,
) -> tuple[Samples | None, bool]:
    """One chunk, whose first sample has the number `first`, if it was finished; and whether `report` says stop."""
    backend, total = backend_of(like), sum(len(stage.times) - 1 for stage in stages)
    seconds, done = [0.0] * len(scores), 0
    states: list[tuple[float, int, Any]] = []
    x: Any = None
    stop = False
    for stage in stages:
        backend.synchronize(like)
        started = time.perf_counter()
        k, times, guard = stage.level, stage.times, Guard(stage.level, first)
        x = stage.enter(x, noise)
        guard.watch(x, times[0], 0)
        if trajectory:
            states.append((times[0], k, x))
        fresh = partial(noise.normal, stage.shape)
        try:
            for number, s, reached in steps_of(stage.solver, x, times, stage.score, sde, fresh, guard):
                x = reached
                if trajectory:
                    states.append((s, k, x))
                stop = report(Step(k, s, done + number, total, first, x))
                if stop and done + number < total:
                    return None, True
        except FloatingPointError as error:  # of a solver that looks at every evaluation
            where = f" of the chunk that begins with sample {first}" if first else ""
            raise ValueError(f"on level {k} {error}{where}") from error
        backend.synchronize(x)
        seconds[k] = time.perf_counter() - started
        done += len(times) - 1
    if denoise:
        started, guard = time.perf_counter(), Guard(0, first)
        x = denoiser(scores[0], sde)(x, sde.t_min)
        guard.watch(x, sde.t_min, len(times))
        guard.read()
        backend.synchronize(x)
        seconds[0] += time.perf_counter() - started
    return Samples(x, tuple(score.calls for score in scores), tuple(seconds), None, states), stop


def _joined(parts: Sequence[Samples], process: SubspaceSDE, like: Any, streams: tuple[int, ...] | None) -> Samples:
    """The chunks as one."""
    if not parts:
        none, zero = np.zeros((0, *process.shape(0))), tuple(0 for _ in range(process.K + 1))
        return Samples(
            backend_of(like).from_numpy(none, like), zero, tuple(map(float, zero)), None if streams is None else ()
        )
    if len(parts) == 1:
        x, states = parts[0].x, parts[0].trajectory
    else:
        xp = namespace(like)
        x = xp.concat([part.x for part in parts])
        states = [
            (t, k, xp.concat(xs))
            for (t, k, _), xs in zip(parts[0].trajectory, zip(*([s[2] for s in part.trajectory] for part in parts)))
        ]
    return Samples(
        x,
        tuple(max(counts) for counts in zip(*(part.evaluations for part in parts))),
        tuple(sum(spent) for spent in zip(*(part.seconds for part in parts))),
        None if streams is None else streams[: x.shape[0]],
        states,
    )


def checked_num(num: int, process: SubspaceSDE) -> int:
    """`num` as an int, or a ValueError for fewer samples than one, or more than can be held."""
    found, each = positive_integer("num", num), process.subspaces[0].dim
    most = _MOST_NUMBERS // max(each, 64)  # a sample takes something beside its numbers
    if found > most:
        raise ValueError(
            f"num is more than can be held: draw at most {most:,} samples of {each} numbers in one call, got {found:,}"
        )
    return found
