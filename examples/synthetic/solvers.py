"""What each solver's accuracy costs, in the full space and in stages: ``python -m examples.synthetic.solvers --help``.

The data are smooth signals, a Gaussian process, so that the law of the samples is known exactly after every number of
steps (`subspace_sde.sampling`): no samples are drawn, and no network is trained.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from tqdm import tqdm

from subspace_sde import VE, LowPass, NestedSubspaces, SubspaceSDE, gaussian_divergence, sample
from subspace_sde.oracles import Gaussian
from subspace_sde.sampling import law_of_samples, sampled_law
from subspace_sde.solvers import DDIM, Ancestral, DPMSolver, EulerMaruyama, Heun, ReverseDiffusion, Solver

from .comparison import kl_divergence

SOLVERS: dict[str, tuple[Solver, float]] = {  # and the η of the SDE that it solves
    "Euler-Maruyama": (EulerMaruyama(), 1.0),
    "reverse diffusion": (ReverseDiffusion(), 1.0),
    "ancestral": (Ancestral(), 1.0),
    "DPM-Solver++ 2M, SDE": (DPMSolver(2, eta=1.0), 1.0),
    "DDIM": (DDIM(), 0.0),
    "Heun": (Heun(), 0.0),
    "DPM-Solver++ 2M": (DPMSolver(2), 0.0),
    "DPM-Solver++ 3M": (DPMSolver(3), 0.0),
}
STEPS = (8, 12, 16, 24, 32, 48, 64, 96, 128)
LEVELS = (16, 8, 4)  # numbers that each level keeps

app = typer.Typer(add_completion=False)


def signals(dim: int = 32, length: float = 3.0) -> Gaussian:
    """Samples of a Gaussian process of that correlation length, with some white noise."""
    i = np.arange(dim)
    return Gaussian(np.zeros(dim), np.exp(-np.abs(i[:, None] - i) / length) + 0.001 * np.eye(dim))


def processes(data: Gaussian, sde: VE, threshold: float) -> list[SubspaceSDE]:
    """K = 0 … 3: level k may be used from the time on at which D_F(U_{k|0}; t) has fallen to the threshold."""
    shape, found = data.shape, []
    for k in range(len(LEVELS) + 1):
        levels = [LowPass(shape, n, axes=(-1,)) for n in LEVELS[:k]]
        nested = NestedSubspaces.from_subspaces(levels) if levels else NestedSubspaces([], ambient_shape=shape)
        times = [curve.time_at(threshold) for curve in gaussian_divergence(data, sde, levels)] if levels else []
        laws = [data.restrict(level).covariance for level in nested]
        lost = [np.trace(a) - np.trace(b) for a, b in zip(laws, laws[1:])]
        dims = [u.dim for u in nested]
        found.append(SubspaceSDE(sde, nested, times, [v / (a - b) for v, a, b in zip(lost, dims, dims[1:])]))
    return found


@dataclass(frozen=True)
class Point:
    """One run of `sample`, if it were made: KL in nats of its output's law from the data's, and its cost.

    `cost` counts the numbers on which scores are evaluated, in units of the full space's; `floor` is the KL of a
    perfect solver.
    """

    solver: str
    levels: int
    steps: int
    cost: float
    kl: float
    floor: float


def measure(
    threshold: float = 1e-3,
    steps: Sequence[int] = STEPS,
    solvers: Iterable[str] = tuple(SOLVERS),
    progress: Any = iter,
) -> list[Point]:
    """Every solver on every number of levels, with every number of steps."""
    data, sde = signals(), VE()
    target = data.covariance + sde.sigma(sde.t_min) ** 2 * np.eye(data.mean.size)
    found = []
    chains = processes(data, sde, threshold)
    for name, process in progress(list(product(solvers, chains))):
        solver, eta = SOLVERS[name]
        scores = [data.restrict(u).score(sde) for u in process.subspaces]
        floor = kl_divergence(law_of_samples(process, data, eta).dense().covariance, target)
        for n in steps:
            if n <= process.K:
                continue
            law, evaluations = (
                sampled_law(process, scores, solver, n),
                sample(process, scores, 1, solver, n).evaluations,
            )
            cost = sum(e * u.dim for e, u in zip(evaluations, process.subspaces)) / data.mean.size
            found.append(Point(name, process.K, n, cost, kl_divergence(law.covariance, target), floor))
    return found


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Folder for the results.", file_okay=False)] = Path("runs/synthetic"),
    threshold: Annotated[float, typer.Option(help="The D_F at which a level may be used.")] = 1e-3,
) -> None:
    """Error against cost: eight solvers, in the full space and on one, two and three levels more.

    The data are smooth signals of 32 numbers; levels keep their 16, 8 and 4 lowest frequencies, each from the time on
    at which D_F has fallen to the threshold. For Gaussian data a solver's output has a law that is known exactly: its
    KL divergence from the data is computed, for 8 to 128 steps. It takes half a minute.

    Prints a table, and writes OUT/solvers.png and OUT/solvers.json.
    """
    started = time.perf_counter()
    try:
        points = measure(threshold, STEPS, SOLVERS, _bar)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    out.mkdir(parents=True, exist_ok=True)
    draw(points, threshold, out / "solvers.png")
    content = {"threshold": threshold, "points": [asdict(p) for p in points]}
    (out / "solvers.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    typer.echo(table(points))
    typer.echo(f"{time.perf_counter() - started:.1f} s in all; see {out / 'solvers.png'} and {out / 'solvers.json'}")


def _bar(runs: Sequence[Any]) -> Iterator[Any]:
    yield from tqdm(runs, desc="solvers", unit="run", leave=False)


def least_cost(points: Sequence[Point], solver: str, levels: int, goal: float) -> float:
    """The least cost at which a solver's KL is at most `goal`; NaN where it never is."""
    costs = [p.cost for p in points if (p.solver, p.levels) == (solver, levels) and p.kl <= goal]
    return min(costs, default=float("nan"))


def table(points: Sequence[Point], goals: Sequence[float] = (1.0, 0.1)) -> str:
    """What a KL of at most that many nats costs, in evaluations of the full space."""
    levels, names = sorted({p.levels for p in points}), dict.fromkeys(p.solver for p in points)
    lines = []
    for goal in goals:
        lines += [f"cost of a KL of at most {goal:g} nats", " " * 20 + "".join(f"{f'K = {k}':>9}" for k in levels)]
        for name in names:
            costs = [least_cost(points, name, k, goal) for k in levels]
            lines.append(f"{name:20}" + "".join(f"{'-':>9}" if np.isnan(c) else f"{c:9.1f}" for c in costs))
    return "\n".join(lines)


def draw(points: Sequence[Point], threshold: float, path: Path) -> None:
    """Write the picture as a PNG: a panel a solver, a line a number of levels."""
    import matplotlib.pyplot as plt

    from .figure import STYLE

    colours = ("#000000", "#0072B2", "#009E73", "#D55E00")
    names = list(dict.fromkeys(p.solver for p in points))
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(2, 4, figsize=(14.4, 7.2), layout="constrained", sharex=True, sharey=True)
        for axes, name in zip(grid.flat, names):
            for k in sorted({p.levels for p in points}):
                line = [p for p in points if (p.solver, p.levels) == (name, k)]
                style: dict[str, Any] = {"color": colours[k], "linewidth": 1.8}
                label = "full space" if k == 0 else f"K = {k}"
                axes.plot([p.cost for p in line], [p.kl for p in line], marker="o", markersize=4, label=label, **style)
                if line[0].floor > 1e-5:  # of the full space it lies below the picture
                    axes.axhline(line[0].floor, linestyle=":", alpha=0.7, **{**style, "linewidth": 1.2})
            axes.set(xscale="log", yscale="log", title=name, ylim=(1e-6, 1e3))
        for axes in grid[:, 0]:
            axes.set_ylabel("KL from the data (nats)")
        for axes in grid[1]:
            axes.set_xlabel("cost (evaluations of the full space)")
        grid[0, 0].plot([], [], color="0.3", linestyle=":", label="a perfect solver")
        grid[0, 0].legend()
        figure.suptitle(f"Error against cost: levels of 16, 8 and 4 of 32 numbers at D_F = {threshold:g}")
        figure.savefig(path, dpi=100, pil_kwargs={"optimize": True})
        plt.close(figure)


if __name__ == "__main__":
    app()
