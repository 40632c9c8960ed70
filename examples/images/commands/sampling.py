"""``sample``: plans side by side, or one of them in bulk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..options import Data, Device, Levels, Minutes, Num, Out, Seed, Size, Solver, Steps, Weights, trained
from ..tables import PROCESSES, show_bulk, show_samples

Plan = Annotated[
    str | None,
    typer.Option(help="Draw this plan alone (full, lowpass, 2-level, ...), in bulk: Parquet files in OUT/shards/PLAN."),
]


def sample(
    data: Data = None,
    out: Out = Path("runs/images"),
    weights: Weights = None,
    level: Levels = None,
    size: Size = None,
    num: Num = 64,
    steps: Steps = 40,
    solver: Solver = "heun",
    minutes: Minutes = float("inf"),
    seed: Seed = 0,
    device: Device = "auto",
    plan: Plan = None,
) -> None:
    """Draw samples of the full model and of every plan, from the same x(T), with the times that `divergence` found.

    With --plan those of one alone, 50,000 say, as Parquet files; a second call goes on where the first was stopped. On
    several GPUs, each of which draws its part: accelerate launch -m examples.images sample --plan PLAN ...
    """
    from ..sampling import SolverName, draw

    if plan is None and PROCESSES > 1:
        raise ValueError(f"{PROCESSES} processes would all draw the same: name one --plan, of which each draws a part")
    found, place = trained(data, out, weights, level, size, device)
    if plan is None:
        show_samples(draw(*found, out, num, steps, SolverName(solver), minutes, seed, place))
        return
    from ..bulk import sample_plan

    show_bulk(sample_plan(*found, plan, out, num, steps, SolverName(solver), minutes, seed, place))
