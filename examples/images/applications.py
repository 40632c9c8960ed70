"""The commands that put trained levels to use: likelihood, inpaint, colourise, upscale, interpolate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Data, Device, Levels, Out, Seed, Size, Weights, console, named_levels, read_images, show_table

app = typer.Typer()
PANEL = "With trained levels, on held-out images"

Held = Annotated[int, typer.Option(min=1, help="Held-out images, at most.")]
Steps = Annotated[int, typer.Option(min=1, help="Solver steps in all, shared among the levels.")]
Samples = Annotated[int, typer.Option(min=1, help="Samples for each image; the picture shows the first.")]
Method = Annotated[
    str,
    typer.Option(
        help="pigdm (ΠGDM, the best of them here), replacement or repaint (every four steps four times); these two act "
        "where what is seen settles enough of a level, elsewhere ΠGDM does, and the table says which."
    ),
]
Noise = Annotated[float, typer.Option(help="Standard deviation of the noise that is added to what is seen.")]


def _trained(data: str, out: Path, weights: Path | None, level: list[str] | None, size: int | None, device: str) -> Any:
    """The images, the levels, D_F and the device: what every command here begins with."""
    from .stages import load_levels, pick_device, read_json

    images, place = read_images(data, size), pick_device(device)
    models = load_levels(weights or out, named_levels(level, images), images.shape, place)
    return images, models, read_json(out / "divergence.json", "divergence"), place


def _uncertain(value: float, stderr: float | None, digits: int) -> str:
    return f"{value:.{digits}f}" + (f" ± {stderr:.{digits}f}" if stderr is not None else "")


@app.command(rich_help_panel=PANEL)
def likelihood(
    data: Data = "photos",
    out: Out = Path("runs/images"),
    weights: Weights = None,
    level: Levels = None,
    size: Size = None,
    num: Held = 16,
    steps: Steps = 80,
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

    images, models, divergence, place = _trained(data, out, weights, level, size, device)
    found = measure_likelihood(images, models, divergence, out, num, steps, probes, seed, place)
    show_table(
        f"bits per dimension: {found['num']} held-out images, {steps} steps, {found['machine']}",
        ["model", "bits/dim", "- full model", *(["probes"] if probes > 1 else []), "s/image", "over full"],
        [
            [
                name,
                _uncertain(w["mean"], w["stderr"], 3),
                _uncertain(w["over full"], w["over full stderr"], 4) if w["levels"] else "-",
                *([f"± {w['probe stderr']:.4f}"] if probes > 1 else []),
                f"{w['seconds per image']:.2f}",
                f"{w['ratio']:.2f}",
            ]
            for name, w in found["ways"].items()
        ],
    )


@app.command(rich_help_panel=PANEL)
def inpaint(
    data: Data = "photos",
    out: Out = Path("runs/images"),
    weights: Weights = None,
    level: Levels = None,
    size: Size = None,
    num: Held = 8,
    samples: Samples = 4,
    steps: Steps = 50,
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

    images, models, divergence, place = _trained(data, out, weights, level, size, device)
    losses = {"inpaint-half": half(images.shape), "inpaint-random": scattered(images.shape, seen, seed)}
    _show_restored(
        restore(images, models, divergence, losses, out, "inpaint", num, samples, steps, method, noise, seed, place)
    )


@app.command(rich_help_panel=PANEL)
def colourise(
    data: Data = "photos",
    out: Out = Path("runs/images"),
    weights: Weights = None,
    level: Levels = None,
    size: Size = None,
    num: Held = 8,
    samples: Samples = 4,
    steps: Steps = 50,
    method: Method = "pigdm",
    noise: Noise = 0.01,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Draw the colours of held-out images, given their luma: every plan in stages and by eq. 11.

    Writes OUT/colourise.json and OUT/colourise.png.
    """
    from .posteriors import grey, restore

    images, models, divergence, place = _trained(data, out, weights, level, size, device)
    losses = {"colourise": grey(images.shape)}
    _show_restored(
        restore(images, models, divergence, losses, out, "colourise", num, samples, steps, method, noise, seed, place)
    )


@app.command(rich_help_panel=PANEL)
def upscale(
    data: Data = "photos",
    out: Out = Path("runs/images"),
    weights: Weights = None,
    level: Levels = None,
    size: Size = None,
    num: Held = 8,
    samples: Samples = 4,
    steps: Steps = 50,
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

    images, models, divergence, place = _trained(data, out, weights, level, size, device)
    losses = {"upscale": small(images.shape, factor)}
    _show_restored(
        restore(images, models, divergence, losses, out, "upscale", num, samples, steps, method, noise, seed, place)
    )


def _show_restored(found: dict[str, Any]) -> None:
    losses = found["losses"]
    mixed = len({m for loss in losses.values() for w in loss["ways"].values() for m in w["methods"]}) > 1
    rows = []
    for loss in losses.values():
        if len(losses) > 1:
            rows.append([f"[b]{loss['title']}[/]"])
        rows.append(["as seen", f"{loss['seen']['mean']:.2f}"])
        for name, w in loss["ways"].items():
            difference = _uncertain(w["over full"], w["over full stderr"], 2) if w["levels"] else "-"
            numbers = [f"{w['psnr of the mean']['mean']:.2f}", f"{w['off']:.3f}"]
            numbers += [f"{w['seconds per sample']:.2f}", f"{w['ratio']:.2f}"]
            methods = [", ".join(dict.fromkeys(reversed(w["methods"])))] if mixed else []  # as the stages run
            rows.append([name, f"{w['psnr']['mean']:.2f}", difference, *numbers, *methods])
    titles = "; ".join(loss["title"] for loss in losses.values())
    each = f"{found['num']} held-out images, {found['samples']} samples each, noise {found['noise']:g}"
    columns = ["model", "PSNR", "- full model", "of means", "off seen", "s/sample", "over full"]
    show_table(
        f"{titles}: {each}, {found['steps']} steps of {found['method']}, {found['machine']}",
        [*columns, *(["methods"] if mixed else [])],
        rows,
    )


@app.command(rich_help_panel=PANEL)
def interpolate(
    data: Data = "photos",
    out: Out = Path("runs/images"),
    weights: Weights = None,
    level: Levels = None,
    size: Size = None,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of held-out images.")] = 3,
    points: Annotated[int, typer.Option(min=2, help="Images of a strip, the two ends among them.")] = 9,
    steps: Steps = 40,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Walk from one held-out image to another between their latents: the full model, and every plan in stages.

    Writes OUT/interpolate.json and OUT/interpolate.png.
    """
    from .interpolations import interpolate_pairs

    images, models, divergence, place = _trained(data, out, weights, level, size, device)
    found = interpolate_pairs(images, models, divergence, out, pairs, points, steps, seed, place)
    show_table(
        f"latents of {2 * pairs} held-out images: {steps} steps of heun, {found['machine']}",
        ["model", "length / √d", "angle", "round trip", "s/image"],
        [
            [
                name,
                f"{w['length']:.3f}",
                f"{w['angle']:.0f}°",
                f"{w['round trip']:.4f}",
                f"{w['seconds per image']:.2f}",
            ]
            for name, w in found["ways"].items()
        ],
    )
    console.print(f"strips: {out / 'interpolate.png'}")
