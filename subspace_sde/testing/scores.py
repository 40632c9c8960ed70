"""The laws of a score: what samplers, likelihoods and losses take for granted of ``score(x, t)``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..arrays import Array, Score, sizes
from ..border import checked
from ..derivatives import check_derivative, linearised
from ..sdes import IsotropicSDE
from .kit import Case, Failures, Law, Named, listed, run

_law = Named()


class _Case(Case):
    def __init__(
        self, score: Score, like: Any, sde: IsotropicSDE, shape: tuple[int, ...], tolerance: float | None
    ) -> None:
        super().__init__(getattr(score, "__name__", None) or repr(score), like, tolerance)
        self.score, self.sde, self.shape = score, sde, shape

    def at(self, t: float, batch: tuple[int, ...] = (3,), seed: int = 0) -> Any:
        """x(t) = α x(0) + σ ε with x(0) and ε standard normal."""
        shape = (*batch, *self.shape)
        self.law.input = f"x(t) = α x(0) + σ ε of shape {shape}, x(0) and ε standard normal from numpy's "
        self.law.input += f"default_rng({seed}), t = {t:g}, {self.kind}"
        draw = np.random.default_rng(seed).standard_normal
        return self.law.array(float(self.sde.alpha(t)) * draw(shape) + float(self.sde.sigma(t)) * draw(shape))

    def times(self) -> list[float]:
        return [float(t) for t in self.sde.grid(6)]

    def of(self, t: Any, x: Any) -> Any:
        return self.score(x, t)

    def both(self) -> Iterator[tuple[Any, float]]:
        for t in self.times()[1:-1:2]:
            yield self.at(t), t

    def same(self, law: str, found: Any, expected: Any) -> None:
        size = float(np.max(np.abs(self.law.host(expected)), initial=1e-300))
        self.law.equal(law, found, expected, scale=size)


@_law("one leading axis: shape, library, dtype and device")
def _one_axis(case: _Case) -> None:
    for x, t in case.both():
        case.law.gives("a score has the shape of x", x, partial(case.of, t), x)


@_law("several leading axes, and none")
def _any_axes(case: _Case) -> None:
    t = case.times()[3]
    for batch in ((), (2, 1, 2)):
        x = case.at(t, batch)
        found = case.law.gives("a score has the shape of x", x, lambda y: case.score(y, t), x)
        flat = case.xp.reshape(x, (-1, *case.shape))
        case.same("leading axes are a batch", case.xp.reshape(found, flat.shape), case.score(flat, t))


@_law("an empty batch")
def _empty(case: _Case) -> None:
    t = case.times()[3]
    x = case.at(t, (0,))
    case.law.gives("a score has the shape of x", x, lambda y: case.score(y, t), x)


@_law("t as a float and as an array over the batch")
def _time(case: _Case) -> None:
    for x, t in case.both():
        array = case.law.array(np.full(3, t))
        found = case.law.gives("a score takes an array of times", x, partial(case.of, array), x)
        case.same("t as an array is t as a float", found, case.score(x, t))
    t, s = case.times()[2:4]
    x = case.xp.concat([case.at(t, (1,)), case.at(s, (1,), seed=1)])
    found = case.score(x, case.law.array(np.asarray([t, s])))
    case.same("each element of the batch has its own t", found[:1, ...], case.score(x[:1, ...], t))
    case.same("each element of the batch has its own t", found[1:, ...], case.score(x[1:, ...], s))


@_law("the elements of a batch do not see each other")
def _alike(case: _Case) -> None:
    for x, t in case.both():
        whole = case.score(x, t)
        for i in range(3):
            one = case.law.works("a batch of one", case.score, x[i : i + 1, ...], t)
            case.same(f"element {i} of a batch alone", one, whole[i : i + 1, ...])


@_law("the same x and t, the same score")
def _repeated(case: _Case) -> None:
    for x, t in case.both():
        case.same("the same x and t, the same score", case.score(x, t), case.score(x, t))


@_law("finite on [t_min, T]")
def _finite(case: _Case) -> None:
    for t in case.times():
        x = case.at(t)
        found = case.law.host(case.law.works("finite on [t_min, T]", case.score, x, t))
        good = bool(np.all(np.isfinite(found)))
        case.law.holds("finite on [t_min, T]", good, good or f"{np.sum(~np.isfinite(found))} of {found.size} are not")


@_law("any layout in memory, and the input is left as it was")
def _layouts(case: _Case) -> None:
    for x, t in case.both():
        before = case.law.host(x)
        expected = case.score(x, t)
        for what, laid in case.layouts(x).items():
            case.same(f"x {what}", case.law.works(f"x {what}", case.score, laid, t), expected)
        case.law.equal("the input is left as it was", x, before, tolerance=0.0)


@_law("its derivative is that of its values")
def _derivatives(case: _Case) -> None:
    """By its method vjp where it has one, else by the library, where that has derivatives."""
    own = getattr(case.score, "vjp", None)
    if own is None and not case.differentiates():
        return
    law = "its derivative is that of its values"
    for x, t in case.both():
        function = partial(case.of, t)
        try:
            if own is None:
                value, pull_back = linearised(function, x, "the score")
            else:
                value, pull_back = function(x), partial(own, x, t)
            check_derivative(function, x, float(case.sde.sigma(t)), value, pull_back, "the score")
        except ValueError as error:
            case.law.holds(law, False, error)


def score_laws(
    score: Score,
    like: Any = None,
    sde: IsotropicSDE | None = None,
    shape: Sequence[int] | None = None,
    tolerance: float | None = None,
    expected_failures: Failures = None,
) -> list[Law]:
    """See `check_score`."""
    if sde is None or shape is None:
        raise TypeError(
            "the laws of a score need the SDE that it belongs to and the shape of one x: give sde and shape"
        )
    trailing = sizes("shape", shape)
    make = partial(_Case, score, like, sde, trailing, tolerance)
    return listed(_law.table, make().law.subject, make, expected_failures)


@checked
def check_score(
    score: Score,
    sde: IsotropicSDE,
    shape: Sequence[int],
    like: Array | None = None,
    tolerance: float | None = None,
    expected_failures: Failures = None,
) -> None:
    """What samplers, likelihoods and losses take for granted of a score.

    It keeps shape, library, dtype and device, on any leading axes and an empty batch; t may be a float or an array over
    the batch; the elements of a batch do not see each other; it is finite on [t_min, T], gives the same twice, takes
    read-only and non-contiguous x and leaves it as it was; and its derivative, by a method ``vjp(x, t, v)`` or by the
    library, is that of its values. That it is right, no law can tell.

    Parameters
    ----------
    score: ``score(x, t)``; a network in evaluation mode.
    sde: the one that it belongs to.
    shape: of one x, without the batch.
    like: an array whose library, device and dtype are used; numpy float64 without it.
    tolerance: the largest error allowed, relative to the largest number of the score; without it ε^(2/3), of the
        dtype's machine epsilon.
    expected_failures: see `laws`; a network that takes one leading axis alone has one.

    Raises
    ------
    AssertionError: a law does not hold; which, on what input and by how much.

    >>> from subspace_sde import VE
    >>> from subspace_sde.oracles import Gaussian
    >>> check_score(Gaussian(np.zeros(3), np.eye(3)).score(VE()), VE(), (3,))
    """
    run(score_laws(score, like, sde, shape, tolerance, expected_failures))
