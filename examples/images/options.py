"""What several commands have in common: their options, and the images and levels that these name."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from .tables import console

Data = Annotated[
    str | None,
    typer.Option(
        help="A folder of images, an .npz file, a .parquet file with an image column, the name of a data set on the "
        "Hugging Face hub, or `builtin` (crops of photographs that ship with scikit-learn and scikit-image). Said once "
        "for an OUT, which remembers; a new one has builtin without it.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option(help="The folder of the run: everything is written there and found there again.")]
Size = Annotated[
    int | None,
    typer.Option(help="Crop and scale every image to SIZE x SIZE (builtin: 32 without it). OUT remembers it too."),
]
Seed = Annotated[int, typer.Option(help="Decides the training, the noise and the samples.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, ...")]
Levels = Annotated[
    list[str] | None,
    typer.Option(
        "--level",
        help="full, lowpass:SIZE, downsampling:SIZE or that of a wavelet, db2:SIZE say; once for each level. Without "
        "it those of the run in OUT or, before there are any, of the plans that `analyse` finds.",
    ),
]
Weights = Annotated[
    Path | None, typer.Option(help="A folder of trained levels, or of a shared network; --out without it.")
]
Threshold = Annotated[float, typer.Option(help="D_F at which a subspace may be used; smaller is safer and saves less.")]
Minutes = Annotated[float, typer.Option(help="The longest that this stage may take.")]
Channels = Annotated[str, typer.Option(help="Width of the U-Net at each resolution, each half the one before.")]
Layers = Annotated[int, typer.Option(help="Residual blocks at each resolution.")]
Batch = Annotated[int, typer.Option(help="Images in a batch, on each process.")]
Rate = Annotated[float, typer.Option(help="Peak learning rate of AdamW.")]
Precision = Annotated[str, typer.Option(help="Accelerate's mixed precision: no, bf16 or fp16.")]
Num = Annotated[int, typer.Option(help="Samples of every plan.")]
Steps = Annotated[int, typer.Option(help="Solver steps in all, shared among the levels.")]
Solver = Annotated[
    str, typer.Option(help="heun, dpm-solver-2m, dpm-solver-3m, ddim, euler-maruyama or predictor-corrector.")
]
# of the commands on held-out images
HeldOut = Annotated[int, typer.Option(min=1, help="Held-out images, at most.")]
HeldOutSteps = Annotated[int, typer.Option(min=1, help="Solver steps in all, shared among the levels.")]
Samples = Annotated[int, typer.Option(min=1, help="Samples for each image; the picture shows the first.")]
Method = Annotated[
    str,
    typer.Option(
        help="pigdm (ΠGDM, the best of them here), replacement or repaint (every four steps four times); these two act "
        "where what is seen settles enough of a level, elsewhere ΠGDM does, and the table says which."
    ),
]
Noise = Annotated[float, typer.Option(help="Standard deviation of the noise that is added to what is seen.")]


def stoppable(command: Callable[..., None]) -> Callable[..., None]:
    """A command that answers to Ctrl-C in one line, with what is kept and how to go on; the exit code is 130."""

    @wraps(command)
    def stopped_in_words(**given: Any) -> None:
        try:
            command(**given)
        except KeyboardInterrupt:
            if os.environ.get("RANK", "0") == "0":
                from .folder import kept_in

                told = f"stopped: {given['out']} keeps {kept_in(given['out'])}; the same command goes on from there"
                console.print(told, markup=False, highlight=False, soft_wrap=True)
            raise typer.Exit(130) from None

    return stopped_in_words


def read_images(data: str | None, size: int | None, out: Path) -> Any:
    """The run folder with its images: those of --data, or those that it remembers (`open_run`)."""
    from .folder import open_run

    with console.status(f"reading {data or 'the images'}"):
        held = open_run(out, data, size)
    console.print(f"{held.images.name}: {held.about.told()}")
    return held


def named(levels: list[str] | None, held: Any) -> dict[str, list[str]] | None:
    """The plans that the levels of --level make or, without it, those that the folder remembers, if any.

    A wrong name, or sizes that do not nest, are a ValueError before any work.
    """
    from .plans import checked_plans, plans_of

    if levels:
        return checked_plans(plans_of(list(dict.fromkeys(levels))), held.images.shape)
    try:
        return checked_plans(held.about.plans, held.images.shape) if held.about.plans else None
    except ValueError as error:
        raise ValueError(f"the levels that {held.out} remembers make no plans ({error}): give --level") from error


def planned(levels: list[str] | None, held: Any, every: bool) -> dict[str, list[str]]:
    """Those plans or, where there are none, what `analyse` found in this folder: ``every`` plan, or the best."""
    from .plans import recommended

    return named(levels, held) or recommended(analysed(held.images, held.out), every)


def analysed(images: Any, out: Path) -> Any:
    """What `analyse` wrote of these images; a ValueError where it has not, or of others."""
    from .results import fingerprint, read_json

    found = read_json(out / "analysis.json", "analyse")
    if found.get("inputs", {}).get("data") != fingerprint(images):
        raise ValueError(f"{out / 'analysis.json'} is of other images: run `analyse` on these, in another --out")
    return found


def width(channels: str) -> tuple[int, ...]:
    """The widths that --channels names; a ValueError where the U-Net cannot have them."""
    try:
        width = tuple(int(c) for c in channels.split(","))
    except ValueError:
        width = ()
    if not width or min(width) < 8 or any(c % 8 for c in width):
        raise ValueError(f"--channels takes multiples of 8 with commas between, 32,64,128 say; got {channels!r}")
    return width


class Trained(NamedTuple):
    """The images, the trained levels by their names, the plans that they make, and D_F."""

    images: Any
    models: Any
    plans: dict[str, list[str]]
    divergence: Any


def trained(
    data: str | None, out: Path, weights: Path | None, level: list[str] | None, size: int | None, device: str
) -> tuple[Trained, Any]:
    """What a command that uses trained levels begins with, and the device (`planned`, `loaded`)."""
    from .results import read_json

    held, plans, models, place = loaded(data, out, weights, level, size, device)
    return Trained(held.images, models, plans, read_json(out / "divergence.json", "divergence")), place


def loaded(
    data: str | None, out: Path, weights: Path | None, level: list[str] | None, size: int | None, device: str,
    only: str | None = None,
) -> tuple[Any, dict[str, list[str]], Any, Any]:  # fmt: skip
    """The run folder, its plans, their networks (or the ``only`` one that is needed) and the device.

    Without levels of its own the plans are those that `analyse` found: every one where one network has all the levels.
    Levels of --level are those of the folder from now on, where it remembers none.
    """
    from .devices import pick_device
    from .levels import SHARED
    from .plans import levels_of

    held, place, folder = read_images(data, size, out), pick_device(device), weights or out
    plans = planned(level, held, every=(folder / SHARED).exists())
    models = held.networks(folder, [only] if only else levels_of(plans), place)
    held.keep(plans if level and not held.about.plans else None)
    return held, plans, models, place
