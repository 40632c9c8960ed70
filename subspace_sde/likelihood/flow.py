"""The probability-flow ODE (eq. 3) of a subspace diffusion, stage by stage and in both directions.

On the way up x_k(t_{k+1}) is split into the coordinates of the next level and a complement, which the model holds for
Gaussian and independent of them,

    x_k(t) = U_{k+1|k} x_{k+1}(t) + α(t) μ⊥ + √Σ⊥_{k+1|k}(t) c,   c standard normal on the complement   (9), (10)

and on the way down it is put together again. So c and x_K(T)/σ(T) are the latent of x, and their densities with the
volume that the flow takes up are its likelihood.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import prod, sqrt
from typing import Any

import array_api_compat

from ..arrays import Score, check_score, device, namespace
from ..backend import backend_of
from ..process import SubspaceSDE
from ..sampling.grids import stage_times
from ..sampling.watching import Guard, warn_of_training
from ..sdes import Spacing
from ..solvers import Heun, Solver


class Flow:
    """Solves the stages of one batch, and counts evaluations and seconds.

    Parameters
    ----------
    process, scores: as for `sample`; K + 1 scores.
    x: (*batch, *ambient_shape), what is followed; only its batch and its kind are looked at.
    solver: one that draws no noise; `Heun()` without it.
    steps, spacing: those of `stage_times`.
    condition: (*batch, ...), handed to the scores as a third argument; none without it.

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
        condition: Any = None,
    ) -> None:
        scores = process.check_scores(scores)
        process._check_whole(x)
        xp, batch = namespace(x), tuple(x.shape[: x.ndim - len(process.shape(0))])
        if not bool(xp.all(xp.isfinite(x))):
            raise ValueError("x holds NaN or infinity: the flow can only be followed from finite numbers")
        self.process, self.size, self._batch = process, prod(batch), batch
        if condition is not None:
            if tuple(getattr(condition, "shape", ()))[: len(batch)] != batch:
                got = tuple(getattr(condition, "shape", ())) or type(condition).__name__
                raise ValueError(f"condition takes one entry for each element of the batch {batch}, got {got}")
            condition = namespace(condition).reshape(condition, (self.size, *condition.shape[len(batch) :]))
        warn_of_training(scores)
        self.scores = tuple(DifferentiableScore(s, k, self.size, x, condition) for k, s in enumerate(scores))
        self.seconds = [0.0] * len(scores)
        self._solver = Heun() if solver is None else solver
        self._down = [times.tolist() for times in stage_times(process, steps, spacing, self._solver)]
        # one step down at x = 0 and without a score: a solver of the SDE draws noise there, and some cannot go up
        still = xp.zeros((1, 1), dtype=x.dtype, device=device(x))
        for _ in self._solver.stage(still, self._down[-1][:2], lambda y, t: 0 * y, process.sde, _no_noise):
            pass

    @property
    def evaluations(self) -> tuple[int, ...]:
        """Evaluations of s_k that each sample went through."""
        return tuple(score.evaluations for score in self.scores)

    def flat(self, x: Any) -> Any:
        """(*batch, *ambient_shape) to (size, *ambient_shape)."""
        return namespace(x).reshape(x, (self.size, *self.process.shape(0)))

    def unflat(self, x: Any) -> Any:
        """The inverse of `flat`."""
        return namespace(x).reshape(x, (*self._batch, *self.process.shape(0)))

    def up(self, k: int, x: Any, score: Score) -> Any:
        """x at t_{k+1} from x at t_k, (size, ...), along dx/dt = f x − ½ g² score(x, t)."""
        return self._solve(k, x, self._down[k][::-1], score)

    def down(self, k: int, x: Any, score: Score) -> Any:
        """x at t_k from x at t_{k+1}; the inverse of `up` to the solver's tolerance."""
        return self._solve(k, x, self._down[k], score)

    def _solve(self, k: int, x: Any, times: list[float], score: Score) -> Any:
        backend, guard = backend_of(x), Guard(k, 0)
        backend.synchronize(x)
        started = time.perf_counter()
        numbers = {t: i for i, t in enumerate(times)}
        try:
            stage = self._solver.stage(x, times, score, self.process.sde, _no_noise)
            for s, x in stage:
                guard.watch(x, s, numbers[s])
        except FloatingPointError as error:  # of a solver that looks at every evaluation
            raise ValueError(f"on level {k} {error}") from error
        guard.read()
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
    >>> process = SubspaceSDE(VE(), NestedSubspaces([Downsampling((2,), 2, axes=(-1,))]), [0.5], [2.0])
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
    one; else the backend differentiates, backwards where it can.

    Parameters
    ----------
    level: k, for messages.
    size: the number of samples; x may hold them several times over.
    like: an array of the kind of x.
    condition: (size, ...), or none.
    """

    def __init__(self, score: Score, level: int, size: int, like: Any, condition: Any = None) -> None:
        self._score, self._level, self._size, self._condition = score, level, size, condition
        self.evaluations = 0
        self._backend, self._own = backend_of(like), getattr(score, "vjp", None)
        self._backwards = _differentiates_backwards(like)

    def __call__(self, x: Any, t: float) -> Any:
        self.evaluations += x.shape[0] // self._size if self._size else 1
        s = self._score(x, t, *self._more(x))
        check_score(s, x, f"the score of level {self._level}")
        return s

    def products(self, x: Any, t: float, vectors: Sequence[Any]) -> tuple[Any, list[Any]]:
        """s(x, t), and for each v a w with ⟨v, w⟩ = vᵀ J v, J the Jacobian of s at x: Jᵀv, or Jv."""
        if self._own is not None:
            s, found = self(x, t), [self._own(x, t, v, *self._more(x)) for v in vectors]
            for w in found:
                check_score(w, x, f"the method vjp of the score of level {self._level}")
            return s, found
        if self._backwards:
            s, pull_back = self._backend.vjp(lambda y: self(y, t), x)
            return s, [pull_back(v) for v in vectors]
        both = [self._backend.jvp(lambda y: self(y, t), x, v) for v in vectors]
        return both[0][0], [w for _, w in both]

    def _more(self, x: Any) -> tuple[Any, ...]:
        if self._condition is None:
            return ()
        times = x.shape[0] // self._size if self._size else 1
        xp = array_api_compat.array_namespace(self._condition)
        return (self._condition if times == 1 else xp.concat([self._condition] * times),)


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
