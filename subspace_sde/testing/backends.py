"""The laws of a backend: repeatable normals that are normal, the way to numpy and back, derivatives, an integrator."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ..arrays import Array
from ..backend import Backend, library, streams
from ..border import checked
from .kit import Case, Failures, Law, Named, listed, run

_MANY = 10**6

_law = Named()


class _Case(Case):
    def __init__(self, backend: Backend, like: Any) -> None:
        super().__init__(f"the backend {getattr(backend, 'name', type(backend).__name__)}", like, backend=backend)
        self.law.input = self.kind

    def draw(self, seed: int, shape: tuple[int, ...]) -> Any:
        return self.backend.normal(self.backend.generator(seed, self.like), shape, self.like)

    def numbers(self, seed: int, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        found: np.ndarray[Any, Any] = self.law.host(self.draw(seed, shape)).astype(np.float64)
        return found

    def uncorrelated(self, law: str, rows: np.ndarray[Any, Any]) -> None:
        """That no two rows of many numbers each go together."""
        with np.errstate(all="ignore"):
            errors = np.abs(np.corrcoef(rows) - np.eye(len(rows))) * math.sqrt(rows.shape[1])
        worst = float(np.max(np.where(np.isfinite(errors), errors, np.inf)))
        i, j = np.unravel_index(int(np.argmax(errors)), errors.shape)
        limit = 5 + math.log10(errors.size)  # of so many pairs
        self.law.holds(law, worst < limit, f"numbers {i} and {j} are correlated by {worst:.1f} standard errors")


@_law("it is found by the name of its library, and has all that a backend supplies")
def _name(case: _Case) -> None:
    name = getattr(case.backend, "name", None)
    case.law.holds("its name is that of the library", name == library(case.like), f"{name!r}, {library(case.like)!r}")
    needed = [member for member in vars(Backend) if not member.startswith("_")]
    missing = [member for member in needed if not callable(getattr(case.backend, member, None))]
    case.law.holds("it has all that a backend supplies", not missing, f"lacks {', '.join(missing)}")


@_law("normals have the shape asked for, and the kind of `like`")
def _kinds(case: _Case) -> None:
    for shape in ((3, 5), (), (0, 3), (1,)):
        found = case.law.works(f"normals of shape {shape}", case.draw, 0, shape)
        case.law.kind(f"normals of shape {shape}", found, case.law.array(np.zeros(shape)))


@_law("one seed, the same numbers")
def _repeated(case: _Case) -> None:
    for seed in (0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1):
        one, other = (case.draw(seed, (3, 5)) for _ in range(2))
        case.law.equal(f"one seed, the same numbers (seed {seed})", one, other, tolerance=0.0)


@_law("a generator goes on")
def _goes_on(case: _Case) -> None:
    generator = case.backend.generator(0, case.like)
    first, second = (case.law.host(case.backend.normal(generator, (3, 5), case.like)) for _ in range(2))
    case.law.equal("a generator begins as its seed says", first, case.draw(0, (3, 5)), tolerance=0.0)
    case.law.holds("a generator goes on", not np.array_equal(first, second), "it gave the same numbers twice")
    rows = np.stack([case.law.host(case.backend.normal(generator, (5000,), case.like)) for _ in range(8)])
    case.uncorrelated("draws of one generator are independent", rows.astype(np.float64))


@_law("normals are the next draw of each generator")
def _several(case: _Case) -> None:
    ways: list[list[np.ndarray[Any, Any]]] = [[], []]
    generators = [[case.backend.generator(seed, case.like) for seed in (3, 4)] for _ in ways]
    for _ in range(2):  # and the one after
        both = case.law.works("normals", case.backend.normals, generators[0], (2, 5), case.like)
        case.law.kind("normals", both, case.law.array(np.zeros((2, 2, 5))))
        ways[0].append(case.law.host(both))
        ways[1].append(np.stack([case.law.host(case.backend.normal(g, (2, 5), case.like)) for g in generators[1]]))
    case.law.equal("normals are the next draw of each generator", np.stack(ways[0]), np.stack(ways[1]))


@_law("is_generator knows its own, and nothing else")
def _known(case: _Case) -> None:
    generator = case.backend.generator(0, case.like)
    case.law.holds("is_generator knows its own", case.backend.is_generator(generator), f"got False for {generator!r}")
    for what, other in (("an integer", 0), ("a list", [0, 1]), ("None", None), ("an array", np.arange(3))):
        case.law.holds(f"is_generator knows {what}", not case.backend.is_generator(other), f"got True for {other!r}")


@_law("normals are normal")
def _normal(case: _Case) -> None:
    many = case.numbers(3, (_MANY,))
    for what, value, deviation in (
        ("mean 0", many.mean(), 1.0),
        ("variance 1", (many**2).mean() - 1, math.sqrt(2)),
        ("skewness 0", (many**3).mean(), math.sqrt(15)),
        ("kurtosis 3", (many**4).mean() - 3, math.sqrt(96)),
        ("neighbours that are independent", (many[1:] * many[:-1]).mean(), 1.0),
    ):
        error = abs(float(value)) / (deviation / math.sqrt(_MANY))
        case.law.holds(f"{_MANY:,} normals have {what}", error < 5, f"off by {error:.1f} standard errors")


@_law("adjacent seeds are uncorrelated")
def _adjacent(case: _Case) -> None:
    seeds = (*range(12), *streams(7, 0, 12))
    case.uncorrelated("adjacent seeds are uncorrelated", np.stack([case.numbers(seed, (5000,)) for seed in seeds]))


@_law("the rows of a draw are uncorrelated")
def _rows(case: _Case) -> None:
    case.uncorrelated("the rows of a draw are uncorrelated", case.numbers(5, (12, 5000)))
    case.uncorrelated("the columns of a draw are uncorrelated", case.numbers(5, (5000, 12)).T)


@_law("to numpy and back")
def _bridge(case: _Case) -> None:
    values = np.arange(6.0).reshape(2, 3)
    given = values.copy()
    x = case.law.works("from_numpy", case.backend.from_numpy, given, case.like)
    case.law.kind(
        "from_numpy gives the kind of `like`",
        x,
        case.backend.normal(case.backend.generator(0, case.like), (2, 3), case.like),
    )
    copy = case.law.works("to_numpy", case.backend.to_numpy, x)
    case.law.equal("to_numpy(from_numpy(x)) = x", copy, values, tolerance=0.0)
    copy[...] = 7.0
    case.law.equal("to_numpy gives a copy", x, values, tolerance=0.0)
    given[...] = 7.0
    case.law.equal("from_numpy gives a copy", x, values, tolerance=0.0)
    single = case.backend.from_numpy(np.asarray(2.5), case.like)
    case.law.equal("a number without axes", case.backend.to_numpy(single), np.asarray(2.5), tolerance=0.0)
    for what, other in (("integers", values.astype(np.int64)), ("float32", values.astype(np.float32))):
        found = case.law.works(f"from_numpy of {what}", case.backend.from_numpy, other, case.like)
        case.law.kind(f"from_numpy of {what} gives the kind of `like`", found, x)
    positive = case.law.works("to_numpy of booleans", case.backend.to_numpy, x > 2)
    good = np.array_equal(np.asarray(positive), values > 2)
    case.law.holds("to_numpy of booleans", good, f"got {positive!r}")
    case.law.holds(
        "concrete says that these values can be read", case.backend.concrete(x) is True, case.backend.concrete(x)
    )


def _cubic(case: _Case) -> tuple[Any, Any]:
    """y = xA + x³ on (2, 3), and A, which is not symmetric: J v = vA + 3x²v."""
    a = case.law.array(np.asarray([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0], [0.5, 0.0, 1.0]]))
    return (lambda y: case.xp.matmul(y, a) + y * y * y), a


@_law("jvp")
def _forwards(case: _Case) -> None:
    (function, a), x, v = _cubic(case), case.normal(0, (2, 3)), case.normal(1, (2, 3))
    for direction in (v, 0 * v, 1000 * v):
        try:
            value, product = case.law.works("jvp", case.backend.jvp, function, x, direction, or_refuses=True)
        except ValueError:
            return
        case.law.equal("jvp gives the value", value, function(x))
        expected = case.xp.matmul(direction, a) + 3 * x * x * direction
        case.law.equal("jvp gives the derivative product, Jv", product, expected, tolerance=case.law.eps**0.5)


@_law("vjp")
def _backwards(case: _Case) -> None:
    (function, a), x, v = _cubic(case), case.normal(0, (2, 3)), case.normal(1, (2, 3))
    try:
        value, pull_back = case.law.works("vjp", case.backend.vjp, function, x, or_refuses=True)
    except ValueError:
        return
    case.law.equal("vjp gives the value", value, function(x))
    for w in (v, 0 * v, -2 * v, v):
        expected = case.xp.matmul(w, case.xp.matrix_transpose(a)) + 3 * x * x * w
        found = case.law.works("vjp's products may be asked for again", pull_back, w)
        case.law.equal("vjp gives the derivative product, Jᵀv", found, expected)


@_law("what is recorded can be read, and what no_grad cuts off is known")
def _recorded(case: _Case) -> None:
    x, seen = case.normal(0, (2, 3)), []

    def function(y: Any) -> Any:
        if case.backend.concrete(y):
            seen.append(case.law.works("to_numpy of what is recorded", case.backend.to_numpy, y))
        with case.backend.no_grad():
            constant, cut = case.law.array(np.ones((2, 3))), y * y
        if case.backend.cut_off(constant, y):
            known = case.backend.cut_off(cut, y)
            case.law.holds("what no_grad cuts off is known", known, "it was recorded")
        case.law.holds("what is recorded is not cut off", not case.backend.cut_off(y * y, y), "cut_off says that it is")
        return y * y

    try:
        case.law.works("vjp", case.backend.vjp, function, x, or_refuses=True)
    except ValueError:
        return
    for found in seen:
        case.law.equal("to_numpy of what is recorded", found, x)


@_law("integrate")
def _integrate(case: _Case) -> None:
    law, x = case.law, case.normal(0, (2, 3))
    law.input = f"dx/dt = -x/t from t = 2 down to 0.5, then up again, {case.kind}"
    times: list[Any] = []

    def slope(y: Any, t: float) -> Any:
        times.append(t)
        return -y / t

    fine = 1e-9 if law.eps < 1e-12 else 1e-5
    calls = []
    for tolerance, allowed in ((1e-3, 1e-1), (fine, 100 * fine)):
        before = len(times)
        end = law.works("integrate", case.backend.integrate, slope, x, 2.0, 0.5, tolerance, tolerance)
        law.kind("integrate gives x, like x", end, x)
        law.equal(f"integrate solves the equation to {tolerance:g}", end, 4 * x, tolerance=allowed)
        again = case.backend.integrate(slope, end, 0.5, 2.0, tolerance, tolerance)
        law.equal(f"integrate goes forwards too, to {tolerance:g}", again, x, tolerance=allowed)
        calls.append(len(times) - before)
    law.holds("a smaller tolerance takes more evaluations", calls[1] > calls[0], f"got {calls[0]} and {calls[1]}")
    inside = all(type(t) is float and 0.5 <= t <= 2.0 for t in times)
    law.holds("integrate calls with t a float, and never beyond the ends", inside, f"got {min(times)} to {max(times)}")
    law.equal("no time, no change", case.backend.integrate(slope, x, 0.5, 0.5, fine, fine), x, tolerance=0.0)
    empty = law.array(np.zeros((0, 3)))
    law.kind("integrate takes an empty batch", case.backend.integrate(slope, empty, 2.0, 0.5, fine, fine), empty)


@_law("integrate says where its steps vanish")
def _vanishing(case: _Case) -> None:
    case.law.input = f"dx/dt = x² from x(0) = 1, which is infinite at t = 1, {case.kind}"
    x = case.law.array(np.ones((1, 1)))
    law = "a FloatingPointError where the steps vanish"
    try:
        with np.errstate(all="ignore"):
            found = case.backend.integrate(lambda y, t: y * y, x, 0.0, 2.0, 1e-6, 1e-6)
    except FloatingPointError:
        return
    except Exception as error:
        found = f"a {type(error).__name__}: {error}"
    case.law.holds(law, False, f"got {found}")


@_law("contexts")
def _contexts(case: _Case) -> None:
    x = case.normal(0, (2,))
    with case.law.works("no_grad", case.backend.no_grad):
        case.law.works("synchronize", case.backend.synchronize, x)


def backend_laws(backend: Backend, like: Any, expected_failures: Failures = None) -> list[Law]:
    """See `check_backend`."""
    make = partial(_Case, backend, like)
    return listed(_law.table, make().law.subject, make, expected_failures)


@checked
def check_backend(backend: Backend, like: Array, expected_failures: Failures = None) -> None:
    """What the rest of the package relies on: repeatable normals, the way to numpy and back, derivatives, integration.

    Normals have mean 0, variance 1, skewness 0 and kurtosis 3 to five standard errors over 10⁶ of them, and
    neighbouring streams are uncorrelated. Derivatives are those of a function whose Jacobian is not symmetric; they may
    be refused by a ValueError.

    Parameters
    ----------
    backend: the one to be checked.
    like: an array of its library; its device and dtype are used.
    expected_failures: see `laws`.

    Raises
    ------
    AssertionError: something does not hold; what and by how much.

    >>> from subspace_sde.backend import backend_of
    >>> check_backend(backend_of(np.zeros(())), np.zeros(()))
    """
    run(backend_laws(backend, like, expected_failures))
