"""How far few evaluations come, each solver on its own steps: ``python -m benchmarks.solver_accuracy``.

It prints the tables of docs/solvers.md, line by line, for the deterministic solvers. The data are N(0.5, v) in one
dimension (K = 0), or two such numbers with correlation 0.9 and one subspace, their mean, used where σ/α is above 3√v
(K = 1). On Gaussian data a solver is affine, so that the law of its samples is known (`sampled_law`), and so is its
distance W₂ from that of x(t_min) (K = 0), or from that of a perfect solver (K = 1: the model itself is off there).
Distances are in units of the data's standard deviation √v; orders are those at which W₂ from the law of a perfect
solver falls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from subspace_sde import EDM, VE, VP, Downsampling, IsotropicSDE, NestedSubspaces, RectifiedFlow, SubspaceSDE, SubVP
from subspace_sde.oracles import Gaussian
from subspace_sde.sampling import law_of_samples, sampled_law
from subspace_sde.solvers import DDIM, DPMSolver, Heun, Solver

SDES: tuple[IsotropicSDE, ...] = (VE(), VP(), SubVP(), EDM(), RectifiedFlow())
VARIANCES = (1e-4, 1e-2, 0.25, 1.0, 4.0)
EVALUATIONS = (5, 10, 20, 50, 200)
SOLVERS: dict[str, tuple[Solver, int]] = {  # with their order
    "DDIM": (DDIM(), 1),
    "Heun": (Heun(), 2),
    "2M": (DPMSolver(2), 2),
    "3M": (DPMSolver(3), 3),
}
CORRELATION = 0.9


@dataclass(frozen=True)
class Problem:
    """Data N(0.5, v) under an SDE, with K subspaces."""

    sde: IsotropicSDE
    variance: float
    K: int

    @property
    def data(self) -> Gaussian:
        mixed = np.asarray([[1.0, CORRELATION], [CORRELATION, 1.0]])[: self.K + 1, : self.K + 1]
        return Gaussian(np.full(self.K + 1, 0.5), self.variance * mixed)

    @property
    def process(self) -> SubspaceSDE:
        steps = [Downsampling((2,), 2, axes=(-1,))] * self.K
        times = [float(self.sde.time_at_log_snr(-math.log(9 * self.variance)))] * self.K
        lost = [self.variance * (1 - CORRELATION)] * self.K
        return SubspaceSDE(self.sde, NestedSubspaces(steps, ambient_shape=(self.K + 1,)), times, lost)

    def steps(self, solver: Solver, evaluations: int) -> int:
        """The most that take no more evaluations: 3M takes one more in every stage, Heun two for each step."""
        if isinstance(solver, Heun):
            return evaluations // 2
        again = isinstance(solver, DPMSolver) and solver.order == 3
        return evaluations - (self.K + 1 if again else 0)

    def found(self, solver: Solver, evaluations: int) -> Gaussian:
        """The law of what `sample` returns."""
        return _found(self, solver, evaluations)

    @property
    def exact(self) -> Gaussian:
        """The law of x(t_min)."""
        alpha, sigma = float(self.sde.alpha(self.sde.t_min)), float(self.sde.sigma(self.sde.t_min))
        data = self.data
        return Gaussian(alpha * data.mean, alpha**2 * data.covariance + sigma**2 * np.eye(data.mean.size))

    @property
    def perfect(self) -> Gaussian:
        """The law of the samples of a perfect solver."""
        law = law_of_samples(self.process, self.data)
        return law if isinstance(law, Gaussian) else law.dense()

    def errors(self, solver: Solver, evaluations: Sequence[int] = EVALUATIONS) -> list[float]:
        """W₂/√v, from the law of x(t_min) for K = 0, of a perfect solver for K = 1."""
        target = self.perfect if self.K else self.exact
        return [distance(self.found(solver, n), target) / math.sqrt(self.variance) for n in evaluations]

    def order(self, solver: Solver) -> float:
        """Between 50 and 200 evaluations, of W₂ from the law of a perfect solver."""
        few, many = (distance(self.found(solver, n), self.perfect) for n in EVALUATIONS[-2:])
        return math.log(few / many) / math.log(self.steps(solver, 200) / self.steps(solver, 50))


@cache
def _found(problem: Problem, solver: Solver, evaluations: int) -> Gaussian:
    process = problem.process
    scores = [problem.data.restrict(level).score(problem.sde) for level in process.subspaces]
    return sampled_law(process, scores, solver, problem.steps(solver, evaluations))


def distance(one: Gaussian, other: Gaussian) -> float:
    """W₂ of two Gaussians whose covariances have the axes (1, 1)/√2 and (1, −1)/√2 in two dimensions."""
    axes = np.asarray([[1.0, 1.0], [1.0, -1.0]]) / math.sqrt(2) if one.mean.size == 2 else np.eye(1)
    spreads = [np.sqrt(np.diag(axes @ law.covariance @ axes)) for law in (one, other)]
    return math.hypot(*(one.mean - other.mean), *(spreads[0] - spreads[1]))


def problems(k: int) -> Iterator[Problem]:
    return (Problem(sde, v, k) for sde, v in product(SDES, VARIANCES))


def table(k: int) -> list[str]:
    """The lines of a table: a row for each problem, the solvers side by side in every cell."""
    lines = [
        f"| K = {k} | v | " + " | ".join(str(n) for n in EVALUATIONS) + " | order |",
        "|---|---|" + "---|" * (len(EVALUATIONS) + 1),
    ]
    for problem in problems(k):
        found = [problem.errors(solver) for solver, _ in SOLVERS.values()]
        orders = [f"{problem.order(solver):.1f}" for solver, _ in SOLVERS.values()]
        cells = [" · ".join(shown(e) for e in column) for column in zip(*found)]
        head = f"{type(problem.sde).__name__} | {problem.variance:g}"
        lines.append(f"| {head} | {' | '.join(cells)} | {' · '.join(orders)} |")
    return lines


def shown(error: float) -> str:
    """Two digits, short: .0123 as .012; one below a thousandth."""
    if error < 0.000995:
        return f"{error:.0e}".replace("e-0", "e-")
    return f"{error:.0f}" if error >= 9.95 else f"{error:.1f}" if error >= 0.995 else f"{error:.2g}".lstrip("0")


def main() -> None:
    for k in (0, 1):
        print("\n".join(table(k)), end="\n\n" if k == 0 else "\n")


if __name__ == "__main__":
    main()
