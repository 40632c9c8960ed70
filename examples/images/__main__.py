"""The command line: ``python -m examples.images --help``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from subspace_sde.cli import for_any_terminal

from .commands.analysis import analyse
from .commands.evaluation import evaluate
from .commands.reproduction import reproduce
from .commands.sampling import sample
from .options import (
    Batch,
    Channels,
    Data,
    Device,
    HeldOut,
    HeldOutSteps,
    Layers,
    Levels,
    Method,
    Minutes,
    Noise,
    Num,
    Out,
    Precision,
    Rate,
    Samples,
    Seed,
    Size,
    Solver,
    Steps,
    Threshold,
    Weights,
    analysed,
    loaded,
    named,
    planned,
    read_images,
    stoppable,
    trained,
    width,
)
from .tables import (
    console,
    show_divergence,
    show_interpolation,
    show_likelihood,
    show_restored,
    show_training,
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
HELD_OUT = "With trained levels, on held-out images"


app.command()(analyse)


@app.command()
def train(
    data: Data = None,
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
    shared: Annotated[
        bool, typer.Option("--shared", help="One network for all the levels, with the times that `analyse` found.")
    ] = False,
    start: Annotated[
        Path | None, typer.Option(help="The file of a full level, from whose weights a shared network starts.")
    ] = None,
    device: Device = "auto",
) -> None:
    """Train the network of each level, or one for all of them; stopped, it goes on where it was.

    Without --level the levels are those that OUT remembers or, in a new one, those of the plan that `analyse`
    recommends; with --shared, of all the plans that it printed.

    On several GPUs: accelerate launch -m examples.images train ...
    """
    from .plans import joined, levels_of
    from .training import Recipe, train_named, train_shared

    if start and not shared:
        raise ValueError("--start gives a shared network its first weights: it goes with --shared")
    held = read_images(data, size, out)
    recipe = Recipe(
        steps=steps, minutes=minutes, batch=batch, channels=width(channels), layers=layers,
        learning_rate=learning_rate, precision=precision, seed=seed,
    )  # fmt: skip
    plans, images = planned(level, held, every=shared), held.images
    held.keep()
    with held.remembering(plans if shared or not level else joined(held.about.plans, plans)):
        if shared:
            found = analysed(images, out)
            show_training(train_shared(plans, found, images, recipe, out, images.name, device, half, start))
        else:
            for name in levels_of(plans):
                show_training(train_named(name, images, recipe, out, images.name, device, half))


@app.command()
def divergence(
    data: Data = None,
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
    from .divergences import measure_divergence, plot_divergence
    from .plans import levels_of

    held, plans, models, place = loaded(data, out, weights, level, size, device, only="full")
    found = measure_divergence(
        held.images, models["full"], levels_of(plans), threshold, out, count=count, minutes=minutes, seed=seed,
        device=place,
    )  # fmt: skip
    plot_divergence(found, out / "divergence.png")
    show_divergence(found)


app.command()(sample)


app.command()(evaluate)


@app.command()
def report(
    data: Data = None,
    out: Out = Path("runs/images"),
    weights: Weights = None,
    level: Levels = None,
    size: Size = None,
    seed: Seed = 0,
) -> None:
    """Write OUT/report.html: the pictures, what was saved, and how far the samples are from held-out images."""
    from .report import write_report

    held, _, models, _ = loaded(data, out, weights, level, size, "cpu")
    console.print(f"report: {write_report(held.images, models, out, seed)}")


@app.command()
def run(
    data: Data = None,
    out: Out = Path("runs/images"),
    weights: Annotated[Path | None, typer.Option(help="Trained levels to use instead of training.")] = None,
    level: Levels = None,
    size: Size = None,
    separate: Annotated[
        bool, typer.Option("--separate", help="Train a network for each level, not one for all.")
    ] = False,
    train_minutes: Annotated[
        float, typer.Option(help="Training in all; of separate networks the full one gets half.")
    ] = 60.0,
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
    solver: Solver = "heun",
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """All stages, from images to a report, each within a budget of time; called again, it goes on where it stopped.

    Without --level it follows the plans that OUT remembers or, in a new one, those that `analyse` finds, with at most
    one further level, two and three, and trains one network for all; with --separate the one that it recommends.
    """
    from .chain import run_chain
    from .sampling import SolverName
    from .training import Recipe

    held, method = read_images(data, size, out), SolverName(solver)
    recipe = Recipe(
        steps=steps, minutes=train_minutes, batch=batch, channels=width(channels), layers=layers,
        learning_rate=learning_rate, precision=precision, seed=seed,
    )  # fmt: skip
    run_chain(
        held, named(level, held), recipe, weights, separate, threshold=threshold, count=count,
        divergence_minutes=divergence_minutes, num=num, steps=sample_steps, solver=method,
        sample_minutes=sample_minutes, seed=seed, device=device,
    )  # fmt: skip


@app.command(rich_help_panel=HELD_OUT)
def likelihood(
    data: Data = None,
    out: Out = Path("runs/images"),
    weights: Weights = None,
    level: Levels = None,
    size: Size = None,
    num: HeldOut = 16,
    steps: HeldOutSteps = 80,
    probes: Annotated[
        int, typer.Option(help="Random vectors for each trace; two or more tell the error of a single image.")
    ] = 1,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Bits per dimension of held-out images: the full model, and every plan in stages and by its full score (eq. 11).

    Writes OUT/likelihood.json. An image has the same dequantising noise in all of them, so that the difference from the
    full model is far more certain than each number.
    """
    from .likelihoods import measure_likelihood

    found, place = trained(data, out, weights, level, size, device)
    show_likelihood(measure_likelihood(*found, out, num, steps, probes, seed, place))


@app.command(rich_help_panel=HELD_OUT)
def inpaint(
    data: Data = None,
    out: Out = Path("runs/images"),
    weights: Weights = None,
    level: Levels = None,
    size: Size = None,
    num: HeldOut = 8,
    samples: Samples = 4,
    steps: HeldOutSteps = 50,
    seen: Annotated[float, typer.Option(help="Share of the pixels that the random mask leaves.")] = 0.3,
    method: Method = "pigdm",
    noise: Noise = 0.01,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Draw the missing half of held-out images, and what a random mask hides: every plan in stages and by eq. 11.

    Writes OUT/inpaint.json, OUT/inpaint-half.png and OUT/inpaint-random.png.
    """
    from .posteriors import half, restore, scattered

    found, place = trained(data, out, weights, level, size, device)
    losses = {"inpaint-half": half(found.images.shape), "inpaint-random": scattered(found.images.shape, seen, seed)}
    show_restored(restore(*found, losses, out, "inpaint", num, samples, steps, method, noise, seed, place))


@app.command(rich_help_panel=HELD_OUT)
def colourise(
    data: Data = None,
    out: Out = Path("runs/images"),
    weights: Weights = None,
    level: Levels = None,
    size: Size = None,
    num: HeldOut = 8,
    samples: Samples = 4,
    steps: HeldOutSteps = 50,
    method: Method = "pigdm",
    noise: Noise = 0.01,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Draw the colours of held-out images, given their luma: every plan in stages and by eq. 11.

    Writes OUT/colourise.json and OUT/colourise.png.
    """
    from .posteriors import grey, restore

    found, place = trained(data, out, weights, level, size, device)
    losses = {"colourise": grey(found.images.shape)}
    show_restored(restore(*found, losses, out, "colourise", num, samples, steps, method, noise, seed, place))


@app.command(rich_help_panel=HELD_OUT)
def upscale(
    data: Data = None,
    out: Out = Path("runs/images"),
    weights: Weights = None,
    level: Levels = None,
    size: Size = None,
    num: HeldOut = 8,
    samples: Samples = 4,
    steps: HeldOutSteps = 50,
    factor: Annotated[int, typer.Option(min=2, help="The edge of the blocks whose means are seen.")] = 4,
    method: Method = "pigdm",
    noise: Noise = 0.01,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Draw held-out images, given the means of blocks of them: every plan in stages and by eq. 11.

    Writes OUT/upscale.json and OUT/upscale.png.
    """
    from .posteriors import restore, small

    found, place = trained(data, out, weights, level, size, device)
    losses = {"upscale": small(found.images.shape, factor)}
    show_restored(restore(*found, losses, out, "upscale", num, samples, steps, method, noise, seed, place))


@app.command(rich_help_panel=HELD_OUT)
def interpolate(
    data: Data = None,
    out: Out = Path("runs/images"),
    weights: Weights = None,
    level: Levels = None,
    size: Size = None,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of held-out images.")] = 3,
    points: Annotated[int, typer.Option(min=2, help="Images of a strip, the two ends among them.")] = 9,
    steps: HeldOutSteps = 40,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Walk from one held-out image to another between their latents: the full model, and every plan in stages.

    Writes OUT/interpolate.json and OUT/interpolate.png.
    """
    from .interpolations import interpolate_pairs

    found, place = trained(data, out, weights, level, size, device)
    show_interpolation(interpolate_pairs(*found, out, pairs, points, steps, seed, place))
    console.print(f"strips: {out / 'interpolate.png'}")


app.command()(reproduce)

for each in app.registered_commands:
    each.callback = stoppable(each.callback) if each.callback else None


def main() -> None:
    """Run the command line; a refusal is one sentence, not a traceback."""
    for_any_terminal()
    try:
        app()
    except (ValueError, TypeError, OSError) as error:
        Console(stderr=True).print("[bold red]error:[/]", escape(str(error)), highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
