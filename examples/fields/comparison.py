"""Plan, train, measure, sample, compare: subspace diffusion of vectors whose subspaces are principal components."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any, TypeAlias

import numpy as np
import torch

from subspace_sde import (
    EDM,
    DivergenceCurve,
    NestedSubspaces,
    Plan,
    Subspace,
    SubspaceSDE,
    gaussian_divergence,
    orthogonal_fisher_divergence,
    pca,
    plan,
    sample,
)
from subspace_sde.arrays import Score
from subspace_sde.planning import flops
from subspace_sde.sampling import OwnSpacing
from subspace_sde.solvers import DPMSolver, Heun, Solver
from subspace_sde.statistics import Covariance, accumulate

from .networks import network_of, score_of, train
from .quality import Judge
from .water import simulate

Matrix: TypeAlias = np.ndarray[Any, Any]

SDE = EDM(sigma_min=1e-3, sigma_max=3.0)  # the fields' numbers have a standard deviation of about 0.03
SOLVERS: dict[str, Solver] = {"DPM-Solver++ 2M": DPMSolver(order=2), "Heun": Heun()}


@dataclass(frozen=True)
class Row:
    """What one way of drawing fields costs a sample, and how far its fields are from simulated ones (`Judge`)."""

    way: str
    solver: str
    coordinates: int | None  # that networks were evaluated on
    operations: float | None  # floating-point, of the networks
    seconds: float | None
    quality: dict[str, float]


@dataclass(frozen=True)
class Comparison:
    """All that `compare` finds.

    Attributes
    ----------
    first, plan: from the data's covariance, and from the D_F of the trained network.
    predicted, measured: the curves of both, for the levels of the first plan, by dimension.
    rows: full, and staged by either plan, for each solver; and draws of the Gaussian with the data's covariance.
    floor: further simulated fields, as many as there are samples, in place of samples; one entry a set.
    fields: (num, 2 · cells) each: "simulated", the ways of `rows` by the first solver, and "Gaussian".
    """

    first: Plan
    plan: Plan
    predicted: dict[int, DivergenceCurve]
    measured: dict[int, DivergenceCurve]
    rows: list[Row]
    floor: list[dict[str, float]]
    fields: dict[str, Matrix]


def compare(
    fields: int = 6000,
    num: int = 1000,
    train_steps: int = 1200,
    steps: int = 32,
    threshold: float = 3e-4,
    levels: int = 2,
    seed: int = 0,
    progress: bool = False,
) -> Comparison:
    """Everything from the simulation to the table; the same seeds, steps and solvers for both ways.

    Parameters
    ----------
    fields: that are simulated to learn from; `num` more are held out.
    num: samples of each way.
    train_steps: of each network.
    steps: of the solver, from T to t_min, over all levels.
    threshold: the D_F at which a subspace may be used.
    levels: proper subspaces in the plan, at most.

    Raises ValueError for settings that cannot be used, or a threshold that no network meets.
    """
    if fields < max(num, 500):
        raise ValueError(f"learn from at least 500 fields, and from as many as are drawn ({num}), got {fields}")
    if min(num, train_steps, levels) < 1 or not threshold > 0:
        raise ValueError("samples, training steps, levels and the threshold must be positive")
    if steps <= levels:
        raise ValueError(f"{levels + 1} levels need at least as many steps, got {steps}")
    data = simulate(fields + num, seed, progress=progress)
    known, held_out = data[:fields], data[fields:]

    covariance = accumulate(Covariance, known)
    ranks = np.unique(np.geomspace(2, data.shape[1] // 2, 30).astype(int)).tolist()
    candidates: list[Subspace] = [pca(covariance, n) for n in ranks]
    like, law = torch.zeros(()), covariance.gaussian()
    cost = flops(lambda u: score_of(network_of(u.dim), SDE, 1.0), like, SDE.t_min)
    curves = gaussian_divergence(law, SDE, candidates, center=True)
    first = plan(candidates, curves, threshold, cost, max_levels=levels)

    scores: dict[int, Score] = {}
    tensors = torch.from_numpy(known.astype(np.float32))
    for u in first.subspaces:
        scores[u.dim] = train(u.restrict(tensors), SDE, train_steps, seed, progress)
    whole, chain = scores[data.shape[1]], list(first.subspaces)[1:]
    times = SDE.grid(40)[-2:0:-1].tolist()
    found = orthogonal_fisher_divergence(whole, tensors[:512], SDE, chain, times, seed, center=True)
    second = plan(chain, found, threshold, cost)  # at the network's times; a level that does not pay is left out

    judge = Judge(_at_the_end(held_out, seed, 1), known, seed)
    processes = {
        "full": SubspaceSDE(SDE, NestedSubspaces([], ambient_shape=data.shape[1:]), [], []),
        "staged (network)": SubspaceSDE.fit(SDE, second.subspaces, second.times, known, center=True),
        "staged (covariance)": SubspaceSDE.fit(SDE, first.subspaces, first.times, known, center=True),
    }
    rows, shown = [], {"simulated": judge.reference}
    for solver_name, solver in SOLVERS.items():
        for way, process in processes.items():
            used = [scores[u.dim] for u in process.subspaces]
            own = OwnSpacing()  # the steps that the plans priced
            runs = [
                sample(process, used, num, solver, steps, seed + 1, like, spacing=own, progress=progress)
                for _ in range(3)
            ]
            x, calls = runs[0].x.numpy(), runs[0].evaluations
            shown.setdefault(way, x)
            rows.append(
                Row(
                    way,
                    solver_name,
                    sum(n * u.dim for n, u in zip(calls, process.subspaces)),
                    sum(n * cost(u) for n, u in zip(calls, process.subspaces)),
                    median(sum(run.seconds) for run in runs) / num,
                    judge(x),
                )
            )
    shown["Gaussian"] = _at_the_end(law.sample(num, rng=seed + 2), seed, 2)
    rows.append(Row("Gaussian", "-", None, None, None, judge(shown["Gaussian"])))
    sets = [known[i : i + num] for i in range(0, fields - num + 1, num)]
    floor = [judge(_at_the_end(x, seed, 3 + i)) for i, x in enumerate(sets)]
    dims = [u.dim for u in chain]
    predicted = dict(zip(dims, (curves[ranks.index(n)] for n in dims)))
    return Comparison(first, second, predicted, dict(zip(dims, found)), rows, floor, shown)


def _at_the_end(fields: Matrix, seed: int, stream: int) -> Matrix:
    """Fields with the last trace of noise that samples have too, x(t_min)."""
    noise = np.random.default_rng((seed, stream)).standard_normal(fields.shape)
    found: Matrix = fields + SDE.sigma(SDE.t_min) * noise
    return found
