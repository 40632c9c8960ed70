"""The whole chain, from images to a report, each stage within a budget of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from subspace_sde.analysis import subspace_named
from subspace_sde.analysis.report import show
from subspace_sde.images import Images

from .analysis import analyse
from .devices import pick_device
from .divergences import measure_divergence, plot_divergence
from .levels import load_levels, unet
from .report import write_report
from .sampling import SolverName, draw
from .tables import console, show_divergence, show_samples, show_training
from .training import Recipe, train_named


def run_chain(
    images: Images,
    levels: Sequence[str],
    out: Path,
    data_name: str,
    recipe: Recipe,
    weights: Path | None,
    threshold: float,
    count: int,
    divergence_minutes: float,
    num: int,
    steps: int,
    solver: SolverName,
    sample_minutes: float,
    seed: int,
    device: str,
) -> None:
    """Analyse, train, measure D_F, sample and report, with a table after each; what is done already is found again.

    The full network has half of the recipe's minutes, the others have equal shares of the rest. With trained levels in
    the folder `weights` there is no training.
    """
    place = pick_device(device)
    shares = {name: 0.5 if name == "full" else 0.5 / max(1, len(levels) - 1) for name in levels}
    recipes = {name: replace(recipe, minutes=recipe.minutes * share) for name, share in shares.items()}
    if weights is None:
        for name in levels:  # networks that cannot be built are refused before any work
            unet(subspace_named(name, images.shape).shape, recipe.channels, 1)
    show(analyse(images, levels, threshold, out), console)
    if weights is None:
        for name in levels:
            show_training(train_named(name, images, recipes[name], out, data_name, device))
    models = load_levels(weights or out, levels, images.shape, place)
    measured = measure_divergence(
        images, models["full"], levels, threshold, out, count=count, minutes=divergence_minutes, seed=seed,
        device=place,
    )  # fmt: skip
    plot_divergence(measured, out / "divergence.png")
    show_divergence(measured)
    show_samples(draw(images, models, measured, out, num, steps, solver, sample_minutes, seed, place))
    console.print(f"report: {write_report(images, models, out, seed)}")
