"""The laws of a solver: that it goes where it is sent, sample by sample, and with the order that it claims."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..arrays import Array
from ..border import checked
from ..oracles import Gaussian
from ..process import SubspaceSDE
from ..sampling import OwnSpacing, law_of_samples, sampled_law
from ..sdes import EDM
from ..solvers import Solver
from ..subspaces import NestedSubspaces
from .kit import Case, Failures, Law, Named, listed, run

_SHAPE = (3,)
_ROOT = np.asarray([[1.0, 0.4, 0.1], [0.0, 0.5, -0.3], [0.0, 0.0, 0.2]])

_law = Named()


class _Case(Case):
    """Gaussian data under EDM, whose score is known."""

    def __init__(self, solver: Solver, like: Any, order: float | None, eta: float) -> None:
        super().__init__(repr(solver), like)
        self.solver, self.order, self.eta = solver, order, eta
        self.sde = EDM()
        self.times = [float(t) for t in self.sde.grid(9)[:8]]
        self.law.input = (
            f"one stage of the EDM process on Gaussian data, t from {self.times[0]:g} to {self.times[-1]:g}"
        )
        self.law.input += f" in 7 steps, {self.kind}"
        self.data = Gaussian(np.asarray([0.5, -1.0, 0.2]), _ROOT @ _ROOT.T)
        self.score = self.data.score(self.sde)

    def start(self, num: int = 3) -> Any:
        return self.law.array(self.sde.prior_std * np.random.default_rng(0).standard_normal((num, *_SHAPE)))

    def noise(self, rows: slice = slice(None)) -> Callable[[], Any]:
        """Draws for a batch of 3, of which `rows` are taken."""
        draw = np.random.default_rng(1)
        return lambda: self.law.array(draw.standard_normal((3, *_SHAPE)))[rows, ...]

    def stage(self, x: Any, rows: slice = slice(None), score: Any = None) -> list[tuple[float, Any]]:
        run = self.solver.stage(x, self.times, self.score if score is None else score, self.sde, self.noise(rows))
        return list(self.law.works("a stage", lambda: list(run)))


@_law("it ends where it is sent, by times of its stage")
def _times(case: _Case) -> None:
    reached = [t for t, _ in case.stage(case.start())]
    case.law.holds("it ends at the last time", reached[-1:] == case.times[-1:], f"got {reached}")
    inside = all(t in case.times[1:] for t in reached) and reached == sorted(reached, reverse=True)
    case.law.holds("it gives times of its stage, each later one lower", inside, f"got {reached}")


@_law("the score is called with t a float, within the stage")
def _calls(case: _Case) -> None:
    seen: list[Any] = []

    def score(x: Any, t: Any) -> Any:
        seen.append(t)
        return case.score(x, t)

    case.stage(case.start(), score=score)
    slack = 1e-12 * case.times[0]
    good = all(type(t) is float and case.times[-1] - slack <= t <= case.times[0] + slack for t in seen)
    case.law.holds("the score is called with t a float, within the stage", good and bool(seen), f"got {seen}")


@_law("shape, library, dtype and device")
def _kinds(case: _Case) -> None:
    x = case.start()
    for t, found in case.stage(x):
        case.law.kind(f"x({t:g})", found, x)


@_law("float32 stays float32")
def _single(case: _Case) -> None:
    x, noise = case.single(case.start()), case.noise()
    run = case.solver.stage(x, case.times, case.score, case.sde, lambda: case.single(noise()))
    for t, found in case.law.works("a stage in float32", lambda: list(run)):
        case.law.kind(f"x({t:g}) of float32", found, x)


@_law("the samples do not see each other")
def _alike(case: _Case) -> None:
    x = case.start()
    whole = case.stage(x)[-1][1]
    for i in range(3):
        rows = slice(i, i + 1)
        alone = case.stage(x[rows, ...], rows)[-1][1]
        case.law.equal(f"sample {i} alone, with its own noise", alone, whole[rows, ...])


@_law("the same noise, the same samples, and the input is left as it was")
def _repeated(case: _Case) -> None:
    x = case.start()
    before = case.law.host(x)
    first, again = (case.stage(x)[-1][1] for _ in range(2))
    case.law.equal("the same noise, the same samples", again, first, tolerance=0.0)
    case.law.equal("the input is left as it was", x, before, tolerance=0.0)
    for what, laid in case.layouts(x).items():
        case.law.equal(f"x {what}", case.stage(laid)[-1][1], first)


@_law("its order")
def _order(case: _Case) -> None:
    """The law of its samples against a perfect solver's, at 64 and 128 steps: no Monte Carlo."""
    if case.order is None:
        return
    process = SubspaceSDE(EDM(), NestedSubspaces([], ambient_shape=_SHAPE), [], [])
    exact = law_of_samples(process, case.data, case.eta).dense()
    errors = []
    for steps in (64, 128):
        found = case.law.works("its order", sampled_law, process, [case.score], case.solver, steps, OwnSpacing())
        off = np.linalg.norm(found.covariance - exact.covariance) + np.linalg.norm(found.mean - exact.mean)
        errors.append(float(off))
    order = math.log2(errors[0] / errors[1]) if min(errors) > 0 else math.inf
    case.law.input = "Gaussian data under EDM, 64 and 128 steps"
    case.law.holds(
        f"its order is {case.order:g}",
        order > case.order - 0.3 and errors[1] < 0.3,
        f"measured {order:.2f}, with errors {errors[0]:.1e} and {errors[1]:.1e}",
    )


def solver_laws(
    solver: Solver,
    like: Any = None,
    order: float | None = None,
    eta: float = 0.0,
    expected_failures: Failures = None,
) -> list[Law]:
    """See `check_solver`."""
    if not 0 <= eta <= 1:
        raise ValueError(f"eta lies between 0, the ODE, and 1, the reverse SDE, got {eta}")
    if order is not None and not 0 < order < math.inf:
        raise ValueError(f"an order is positive, got {order}")
    make = partial(_Case, solver, like, order, eta)
    return listed(_law.table, make().law.subject, make, expected_failures)


@checked
def check_solver(
    solver: Solver,
    order: float | None = None,
    eta: float = 0.0,
    like: Array | None = None,
    expected_failures: Failures = None,
) -> None:
    """That a solver goes where it is sent, sample by sample, keeps the kind of x, and has the order that it claims.

    Parameters
    ----------
    solver: the one to be checked.
    order: to which its samples of Gaussian data converge in law, measured at 64 and 128 steps; not measured without
        it, as for an adaptive solver or for one whose step depends on x.
    eta: of what it solves: 0 for the probability-flow ODE, 1 for the reverse SDE, or a share of its noise.
    like: an array whose library, device and dtype are used; numpy float64 without it.
    expected_failures: see `laws`.

    Raises
    ------
    AssertionError: a law does not hold; which, on what input and by how much.

    >>> from subspace_sde.solvers import Heun
    >>> check_solver(Heun(), order=2)
    """
    run(solver_laws(solver, like, order, eta, expected_failures))
