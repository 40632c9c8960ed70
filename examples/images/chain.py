"""The whole chain, from images to a report, each stage within a budget of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from subspace_sde.analysis import subspace_named
from subspace_sde.analysis.report import show

from .analysis import analyse
from .devices import pick_device
from .divergences import measure_divergence, plot_divergence
from .folder import Held
from .levels import SHARED, check_kind, check_sizes
from .plans import levels_of, recommended
from .report import write_report
from .sampling import SolverName, draw
from .tables import console, show_divergence, show_samples, show_training
from .training import Recipe, train_named, train_shared


def run_chain(
    held: Held,
    plans: Mapping[str, Sequence[str]] | None,
    recipe: Recipe,
    weights: Path | None,
    separate: bool,
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

    Without plans, those that `analyse` finds are followed: the recommended one with separate networks, every one with
    one network for all levels. Of separate networks the full one has half of the recipe's minutes, the others have
    equal shares of the rest. With trained levels in the folder `weights` there is no training.
    """
    images, out, place = held.images, held.out, pick_device(device)
    halvings = len(recipe.channels) - 1
    if weights is None:
        check_kind(out, shared=not separate)
        for subspace in {subspace_named(name, images.shape) for name in levels_of(plans or {})}:
            check_sizes(subspace, halvings)  # networks that cannot be built are refused before any work
    else:
        separate = not (weights / SHARED).exists()
    held.keep()
    analysis = analyse(images, levels_of(plans or {}), threshold, out, max(4, 2**halvings))
    show(analysis, console)
    given, plans = plans, plans or recommended(analysis, every=not separate)
    levels = levels_of(plans)
    if weights is None and separate:
        shares = {name: 0.5 if name == "full" else 0.5 / (len(levels) - 1) for name in levels}
        with held.remembering(plans):
            for name in levels:
                minutes = recipe.minutes * shares[name]
                show_training(train_named(name, images, replace(recipe, minutes=minutes), out, images.name, device))
    elif weights is None:
        with held.remembering(plans):
            show_training(train_shared(plans, analysis, images, recipe, out, images.name, device))
    models = held.networks(weights or out, levels, place)
    held.keep(given)
    measured = measure_divergence(
        images, models["full"], levels, threshold, out, count=count, minutes=divergence_minutes, seed=seed,
        device=place,
    )  # fmt: skip
    plot_divergence(measured, out / "divergence.png")
    show_divergence(measured)
    show_samples(draw(images, models, plans, measured, out, num, steps, solver, sample_minutes, seed, place))
    console.print(f"report: {write_report(images, models, out, seed)}")
