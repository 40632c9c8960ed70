"""The command line: ``python -m examples.images --help``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from .applications import app as applications
from .options import (
    Batch,
    Channels,
    Data,
    Device,
    Layers,
    Levels,
    Minutes,
    Num,
    Out,
    Precision,
    Rate,
    Seed,
    Size,
    Steps,
    Threshold,
    Weights,
    console,
    named_levels,
    read_images,
    show_table,
)

app = typer.Typer(
    help="From a folder of images to a subspace diffusion that samples.\n\n"
    "The stages are analyse, train, divergence, sample and report; `run` does all of them, within a budget of time, "
    "and goes on where it was stopped. The commands below them put the trained levels to use, and `report` shows "
    "what they found.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_divergence(found: dict[str, Any]) -> None:
    show_table(
        f"from which t is D_F at most {found['threshold']:g}? ({found['images']} images)",
        ["subspace", "t"],
        [[n, f"{r['t']:.3f}" if r["t"] is not None else r["note"]] for n, r in found["levels"].items()],
    )


def _show_samples(found: dict[str, Any]) -> None:
    show_table(
        f"sampling: {found['steps']} steps of {found['solver']}, {found['machine']}",
        ["plan", "times", "samples", "seconds per sample", "over full", "predicted", "pixels"],
        [
            [
                "\n<- ".join(["full", *p["levels"]]),
                "\n".join(f"{t:.3f}" for t in p["times"]) or "-",
                str(p["num"]),
                f"{p['seconds per sample']:.3f}",
                f"{p['ratio']:.3f}",
                f"{p['predicted ratio']:.3f}",
                f"{p['pixel ratio']:.3f}",
            ]
            for p in found["plans"].values()
        ],
    )


def _width(channels: str) -> tuple[int, ...]:
    try:
        width = tuple(int(c) for c in channels.split(","))
    except ValueError:
        width = ()
    if not width or min(width) < 8 or any(c % 8 for c in width):
        raise ValueError(f"--channels takes multiples of 8 with commas between, 32,64,128 say; got {channels!r}")
    return width


def _recipe(**given: Any) -> Any:
    from .training import Recipe

    return Recipe(**{**given, "channels": _width(given["channels"])})


@app.command()
def analyse(
    data: Data = "photos",
    out: Out = Path("runs/images"),
    level: Levels = None,
    size: Size = None,
    threshold: Threshold = 3e-3,
) -> None:
    """Compare subspaces: how far do the images lie from each, from when could it be used? Seconds, no network."""
    from subspace_sde.analysis.report import show

    from .stages import analyse as stage

    images = read_images(data, size)
    show(stage(images, named_levels(level, images), threshold, out), console)


@app.command()
def train(
    data: Data = "photos",
    out: Out = Path("runs/images"),
    level: Levels = None,
    size: Size = None,
    steps: Annotated[int, typer.Option(help="Training steps of each level.")] = 20_000,
    minutes: Annotated[float, typer.Option(help="Stop each level after so long, whatever the steps.")] = float("inf"),
    batch: Batch = 64,
    channels: Channels = "32,64,128",
    layers: Layers = 1,
    learning_rate: Rate = 1e-3,
    precision: Precision = "no",
    half: Annotated[
        bool, typer.Option(help="Also write the finished levels in half precision, under OUT/half.")
    ] = False,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Train the network of each level; stopped, it goes on where it was.

    On several GPUs: accelerate launch -m examples.images train ...
    """
    images = read_images(data, size)
    recipe = _recipe(
        steps=steps, minutes=minutes, batch=batch, channels=channels, layers=layers, learning_rate=learning_rate,
        precision=precision, seed=seed,
    )  # fmt: skip
    for name in named_levels(level, images):
        _train(name, images, recipe, out, data, device, half)


def _train(name: str, images: Any, recipe: Any, out: Path, data: str, device: str, half: bool = False) -> None:
    import torch

    from subspace_sde.analysis import subspace_named

    from .levels import Level, file_name
    from .stages import SDE
    from .training import train_level

    path = train_level(name, subspace_named(name, images.shape), SDE, images.train, recipe, out, data, device)
    level = Level.load(path)
    if half and int(os.environ.get("RANK", "0")) == 0:
        level.save(out / "half" / file_name(name), torch.float16)
    r = level.recipe
    console.print(f"{name}: {r['parameters']:,} parameters, {r['steps']} steps, {r['minutes']} min, loss {r['loss']}")


@app.command()
def divergence(
    data: Data = "photos",
    out: Out = Path("runs/images"),
    weights: Weights = None,
    level: Levels = None,
    size: Size = None,
    threshold: Threshold = 3e-3,
    count: Annotated[int, typer.Option(help="Training images to average over, at most.")] = 128,
    minutes: Minutes = float("inf"),
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Measure D_F (eq. 14) of every subspace with the full network, and read the switch times off at a threshold."""
    from .report import plot_divergence
    from .stages import load_levels, measure_divergence, pick_device

    images, place = read_images(data, size), pick_device(device)
    full = load_levels(weights or out, ["full"], images.shape, place)["full"]
    found = measure_divergence(
        images, full, named_levels(level, images), threshold, out, count=count, minutes=minutes, seed=seed, device=place
    )
    plot_divergence(found, out / "divergence.png")
    _show_divergence(found)


@app.command()
def sample(
    data: Data = "photos",
    out: Out = Path("runs/images"),
    weights: Weights = None,
    level: Levels = None,
    size: Size = None,
    num: Num = 64,
    steps: Steps = 40,
    solver: Annotated[
        str, typer.Option(help="heun, dpm-solver-2m, dpm-solver-3m, ddim, euler-maruyama or predictor-corrector.")
    ] = "heun",
    minutes: Minutes = float("inf"),
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Draw samples of the full model and of every plan, from the same seeds, with the times that `divergence` found."""
    from .drawing import draw
    from .stages import load_levels, pick_device, read_json

    images, place = read_images(data, size), pick_device(device)
    models = load_levels(weights or out, named_levels(level, images), images.shape, place)
    found = draw(
        images,
        models,
        read_json(out / "divergence.json", "divergence"),
        out,
        num,
        steps,
        _solver(solver),
        minutes,
        seed,
        place,
    )
    _show_samples(found)


def _solver(name: str) -> Any:
    from .drawing import SolverName

    try:
        return SolverName(name)
    except ValueError:
        raise ValueError(f"unknown solver {name!r}: choose one of {', '.join(SolverName)}") from None


@app.command()
def report(
    data: Data = "photos",
    out: Out = Path("runs/images"),
    weights: Weights = None,
    level: Levels = None,
    size: Size = None,
    seed: Seed = 0,
) -> None:
    """Write OUT/report.html: the pictures, what was saved, and how far the samples are from held-out images."""
    from .report import write_report
    from .stages import load_levels, pick_device

    images = read_images(data, size)
    models = load_levels(weights or out, named_levels(level, images), images.shape, pick_device("cpu"))
    console.print(f"report: {write_report(images, models, out, seed)}")


@app.command()
def run(
    data: Data = "photos",
    out: Out = Path("runs/images"),
    weights: Annotated[Path | None, typer.Option(help="Trained levels to use instead of training.")] = None,
    level: Levels = None,
    size: Size = None,
    train_minutes: Annotated[float, typer.Option(help="Training in all; the full network gets half of it.")] = 60.0,
    divergence_minutes: Annotated[float, typer.Option(help="Measuring D_F, at most.")] = 5.0,
    sample_minutes: Annotated[float, typer.Option(help="Sampling, at most.")] = 15.0,
    steps: Annotated[int, typer.Option(help="Training steps of each level, at most.")] = 100_000,
    batch: Batch = 64,
    channels: Channels = "32,64,128",
    layers: Layers = 1,
    learning_rate: Rate = 1e-3,
    precision: Precision = "no",
    threshold: Threshold = 3e-3,
    count: Annotated[int, typer.Option(help="Images to average D_F over, at most.")] = 128,
    num: Num = 64,
    sample_steps: Steps = 40,
    solver: Annotated[
        str, typer.Option(help="heun, dpm-solver-2m, dpm-solver-3m, ddim, euler-maruyama or predictor-corrector.")
    ] = "heun",
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """All stages, from images to a report, each within a budget of time; called again, it goes on where it stopped."""
    from subspace_sde.analysis import subspace_named
    from subspace_sde.analysis.report import show

    from .drawing import draw
    from .levels import unet
    from .report import plot_divergence, write_report
    from .stages import analyse as analyse_stage
    from .stages import load_levels, measure_divergence, pick_device

    images, place, method = read_images(data, size), pick_device(device), _solver(solver)
    levels = named_levels(level, images)
    recipes = {
        name: _recipe(
            steps=steps, minutes=train_minutes * (0.5 if name == "full" else 0.5 / max(1, len(levels) - 1)),
            batch=batch, channels=channels, layers=layers, learning_rate=learning_rate, precision=precision, seed=seed,
        )
        for name in levels
    }  # fmt: skip
    if weights is None:
        for name in levels:  # networks that cannot be built are refused before any work
            unet(subspace_named(name, images.shape).shape, recipes[name].channels, 1)
    show(analyse_stage(images, levels, threshold, out), console)
    if weights is None:
        for name in levels:
            _train(name, images, recipes[name], out, data, device)
    models = load_levels(weights or out, levels, images.shape, place)
    measured = measure_divergence(
        images, models["full"], levels, threshold, out, count=count, minutes=divergence_minutes, seed=seed,
        device=place,
    )  # fmt: skip
    plot_divergence(measured, out / "divergence.png")
    _show_divergence(measured)
    _show_samples(draw(images, models, measured, out, num, sample_steps, method, sample_minutes, seed, place))
    console.print(f"report: {write_report(images, models, out, seed)}")


app.add_typer(applications)


def main() -> None:
    """Run the command line; a refusal is one sentence, not a traceback."""
    try:
        app()
    except (ValueError, TypeError, OSError) as error:
        Console(stderr=True).print("[bold red]error:[/]", escape(str(error)), highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
