"""The probability-flow ODE (eq. 3) of a subspace diffusion, stage by stage and in both directions.

On the way up x_k(t_{k+1}) is split into the coordinates of the next level and a complement, which the model holds for
Gaussian and independent of them,

    x_k(t) = U_{k+1|k} x_{k+1}(t) + α(t) μ⊥ + √Σ⊥_{k+1|k}(t) c    (9), (10)

with c standard normal on the complement; and on the way down it is put together again. So c and x_K(T)/σ(T) are the
latent of x, and their densities with the volume that the flow takes up are its likelihood.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import copy
from math import prod, sqrt
from typing import Any

import array_api_compat

from ..arrays import Score, at_least_single, check_score, device, namespace
from ..backend import backend_of
from ..conditions import Condition, check_condition, each, flat, repeated
from ..derivatives import check_derivative, linearised
from ..process import SubspaceSDE
from ..progress import Bar, place
from ..sampling.grids import stage_times
from ..sampling.watching import Guard, steps_of, warn_of_training
from ..sdes import Spacing
from ..solvers import Heun, Solver


class Flow:
    """Solves the stages of one batch, and counts evaluations and seconds.

    Its states are in float32 where x is narrower, because the rounding of a thousand steps adds up; the scores are
    called with x of its own dtype.

    Parameters
    ----------
    process, scores: as for `sample`; K + 1 scores.
    x: (*batch, *ambient_shape), what is followed; only its batch and its kind are looked at.
    solver: one that draws no noise; `Heun()` without it.
    steps, spacing: those of `stage_times`.
    condition: (*batch, ...), or several such arrays, handed to the scores as a third argument; none without it.

    Attributes
    ----------
    scores: the scores, each with the product of its Jacobian.
    size: the number of samples.
    seconds: spent on every level so far.
    """

    def __init__(
        self,
        process: SubspaceSDE,
        scores: Sequence[Score],
        x: Any,
        solver: Solver | None = None,
        steps: int | Sequence[float] = 1000,
        spacing: Spacing | None = None,
        condition: Condition | None = None,
    ) -> None:
        self._solver: Solver = Heun() if solver is None else solver
        scores = process.check_scores(scores)
        process._check_whole(x)
        xp, batch = namespace(x), tuple(x.shape[: x.ndim - len(process.shape(0))])
        if backend_of(x).concrete(x) and not bool(xp.all(xp.isfinite(x))):
            raise ValueError("x holds NaN or infinity: the flow can only be followed from finite numbers")
        self.process, self.size, self._batch, self._dtype = process, prod(batch), batch, x.dtype
        if condition is not None:
            check_condition(condition, batch)
            condition = flat(condition, batch)
        warn_of_training(scores)
        self._given, self._bar = (scores, x, condition), Bar(False, "")
        self.scores, self.seconds = self._fresh(condition)
        self._down = [times.tolist() for times in stage_times(process, steps, spacing, self._solver)]
        # one step down at x = 0 and without a score: a solver of the SDE draws noise there, and some cannot go up
        still = at_least_single(xp.zeros((1, 1), dtype=x.dtype, device=device(x)))
        for _ in self._solver.stage(still, self._down[-1][:2], lambda y, t: 0 * y, process.sde, _no_noise):
            pass

    def _fresh(self, condition: Any) -> tuple[tuple[DifferentiableScore, ...], list[float]]:
        """The scores, not evaluated yet, and no seconds."""
        (scores, x, _), process = self._given, self.process
        firsts = [float(process.sde.sigma(process.ends(k)[0])) for k in range(len(scores))]
        found = [
            DifferentiableScore(s, k, self.size, x, condition, first)
            for k, (s, first) in enumerate(zip(scores, firsts))
        ]
        return tuple(found), [0.0] * len(scores)

    def part(self, rows: slice) -> Flow:
        """That of the samples `rows` of the flattened batch alone, with evaluations and seconds of its own."""
        part, condition = copy(self), self._given[2]
        part.size = len(range(self.size)[rows])
        part._batch = (part.size,)
        part.scores, part.seconds = part._fresh(None if condition is None else each(lambda c: c[rows, ...], condition))
        return part

    def showing(self, bar: Bar) -> Flow:
        """This flow, which tells `bar` of its steps from now on."""
        self._bar = bar
        return self

    @property
    def steps(self) -> int:
        """From one end to the other."""
        return sum(len(times) - 1 for times in self._down)

    @property
    def evaluations(self) -> tuple[int, ...]:
        """Evaluations of s_k that each sample went through."""
        return tuple(score.evaluations for score in self.scores)

    def flat(self, x: Any) -> Any:
        """(*batch, *ambient_shape) to (size, *ambient_shape), in float32 or wider."""
        return at_least_single(namespace(x).reshape(x, (self.size, *self.process.shape(0))))

    def unflat(self, x: Any) -> Any:
        """The inverse of `flat`, in the dtype of x."""
        xp = namespace(x)
        return xp.astype(xp.reshape(x, (*self._batch, *self.process.shape(0))), self._dtype, copy=False)

    def up(self, k: int, x: Any, score: Score) -> Any:
        """x at t_{k+1} from x at t_k, (size, ...), along dx/dt = f x − ½ g² score(x, t)."""
        return self._solve(k, x, self._down[k][::-1], score)

    def down(self, k: int, x: Any, score: Score) -> Any:
        """x at t_k from x at t_{k+1}; the inverse of `up` to the solver's tolerance."""
        return self._solve(k, x, self._down[k], score)

    def _solve(self, k: int, x: Any, times: list[float], score: Score) -> Any:
        backend, guard, bar, done = backend_of(x), Guard(k, 0), self._bar, 0
        backend.synchronize(x)
        started = time.perf_counter()

        def watched(y: Any, t: float) -> Any:
            bar.within(k, t)
            return score(y, t)

        try:
            for number, t, reached in steps_of(self._solver, x, times, watched, self.process.sde, _no_noise, guard):
                bar.advance(number - done, place(k, t))
                x, done = reached, number
        except FloatingPointError as error:  # of a solver that looks at every evaluation
            raise ValueError(f"on level {k} {error}") from error
        backend.synchronize(x)
        self.seconds[k] += time.perf_counter() - started
        return x


def split(process: SubspaceSDE, k: int, x: Any, t: float) -> tuple[Any, Any]:
    """x_{k-1}(t) as x_k(t) and c, its complement in units of what the model expects.

    Parameters
    ----------
    k: the level that is entered, 1 … K.
    x: (*batch, *shape(k − 1)).

    Returns
    -------
    x_k, (*batch, *shape(k)), and c = (x⊥_{k|k-1} − α μ⊥_k)/√Σ⊥_{k|k-1}(t), (*batch, *shape(k − 1)).

    >>> import numpy as np
    >>> from subspace_sde import VE, Downsampling, NestedSubspaces
    >>> process = SubspaceSDE(
    ...     VE(), NestedSubspaces([Downsampling((2,), 2, axes=(-1,))]), [0.5], [2.0]
    ... )
    >>> inner, c = split(process, 1, np.asarray([3.0, 1.0]), 0.5)  # Σ⊥ = 2 + σ²(0.5) = 2.5
    >>> inner.round(3), c.round(3)
    (array([2.828]), array([ 0.632, -0.632]))
    """
    step, xp = process.subspaces.steps[k - 1], array_api_compat.array_namespace(x)
    inner = step._restrict(x, xp)
    off = x - step._embed(inner, xp) - _complement_mean(process, k, x, t)
    return inner, off / sqrt(process.complement_variance(k, t))


def join(process: SubspaceSDE, k: int, inner: Any, c: Any, t: float) -> Any:
    """x_{k-1}(t) from x_k(t) and c, the inverse of `split`; what of c lies in level k does not matter."""
    step, xp = process.subspaces.steps[k - 1], array_api_compat.array_namespace(inner)
    off = sqrt(process.complement_variance(k, t)) * step._reject(c, xp)
    return step._embed(inner, xp) + off + _complement_mean(process, k, c, t)


def _complement_mean(process: SubspaceSDE, k: int, x: Any, t: float) -> Any:
    """α(t) μ⊥_k."""
    if process.mean is None:
        return 0.0
    return float(process.sde.alpha(t)) * process._complement_means[k - 1].like(x)


class DifferentiableScore:
    """A score that counts its evaluations, is given the condition, and comes with the product of its Jacobian.

    A method ``vjp(x, t, v)`` of the score itself, v times the Jacobian in the shape of x, is used wherever there is
    one; else the backend differentiates, backwards where it can. The first product is compared with differences
    (`subspace_sde.derivatives`), by two evaluations that are not counted.

    Parameters
    ----------
    level: k, for messages.
    size: the number of samples; x may hold them several times over.
    like: an array of the kind that the score takes; x may be wider, and the score and its products come back as wide.
    condition: (size, ...), or several such arrays, or none.
    sigma: σ where the first product will be taken.
    """

    def __init__(
        self, score: Score, level: int, size: int, like: Any, condition: Any = None, sigma: float = 1.0
    ) -> None:
        self._score, self._whose, self._size = score, f"the score of level {level}", size
        self._condition, self._dtype, self._sigma = condition, like.dtype, sigma
        self.evaluations = 0
        self._backend, self._own = backend_of(like), getattr(score, "vjp", None)
        self._backwards = _differentiates_backwards(like)
        self._unchecked = True

    def __call__(self, x: Any, t: float) -> Any:
        self.evaluations += x.shape[0] // self._size if self._size else 1
        return self._value(x, t)

    def products(self, x: Any, t: float, vectors: Sequence[Any]) -> tuple[Any, list[Any]]:
        """s(x, t), and for each v a w with ⟨v, w⟩ = vᵀ J v, J the Jacobian of s at x: Jᵀv, or Jv."""
        if self._own is None and not self._backwards:
            both = [self._backend.jvp(lambda y: self(y, t), x, v) for v in vectors]
            return both[0][0], [w for _, w in both]
        if self._own is None:
            s, pull_back = linearised(lambda y: self(y, t), x, self._whose)
        else:
            s, pull_back = self(x, t), lambda v: self._own_product(x, t, v)
        if self._unchecked:
            eps = float(namespace(x).finfo(self._dtype).eps)
            check_derivative(lambda y: self._value(y, t), x, self._sigma, s, pull_back, self._whose, eps)
            self._unchecked = False
        return s, [pull_back(v) for v in vectors]

    def _value(self, x: Any, t: float) -> Any:
        given = self._narrow(x)
        s = self._score(given, t, *self._more(x))
        check_score(s, given, self._whose)
        return self._wide(s, x)

    def _own_product(self, x: Any, t: float, v: Any) -> Any:
        given = self._narrow(x)
        w = self._own(given, t, self._narrow(v), *self._more(x))  # type: ignore[misc]  # there is one
        check_score(w, given, f"the method vjp of {self._whose}")
        return self._wide(w, x)

    def _narrow(self, x: Any) -> Any:
        return array_api_compat.array_namespace(x).astype(x, self._dtype, copy=False)

    def _wide(self, s: Any, x: Any) -> Any:
        return array_api_compat.array_namespace(x).astype(s, x.dtype, copy=False)

    def _more(self, x: Any) -> tuple[Any, ...]:
        if self._condition is None:
            return ()
        times = x.shape[0] // self._size if self._size else 1
        return (self._condition if times == 1 else repeated(self._condition, times),)


def _differentiates_backwards(like: Any) -> bool:
    one = namespace(like).ones((1,), dtype=like.dtype, device=device(like))
    try:
        backend_of(like).vjp(lambda y: y, one)
    except ValueError:  # numpy's, which says so
        return False
    return True


def _no_noise() -> Any:
    raise ValueError(
        "a likelihood or a latent follows the probability-flow ODE, but this solver draws noise: "
        "take Heun(), DPMSolver() or DormandPrince()"
    )
