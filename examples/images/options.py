"""What several commands have in common: their options, and the images and levels that these name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from .tables import console

Data = Annotated[
    str,
    typer.Option(
        help="`builtin` (crops of photographs that ship with scikit-learn and scikit-image), a folder of images, an "
        ".npz file, a .parquet file with an image column, or the name of a data set on the Hugging Face hub."
    ),
]
Out = Annotated[Path, typer.Option(help="The folder of the run: everything is written there and found there again.")]
Size = Annotated[int | None, typer.Option(help="Crop and scale every image to SIZE x SIZE (builtin: 32 without it).")]
Seed = Annotated[int, typer.Option(help="Decides the training, the noise and the samples.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps, ...")]
Levels = Annotated[
    list[str] | None,
    typer.Option(
        "--level",
        help="full, lowpass:SIZE, downsampling:SIZE or that of a wavelet, db2:SIZE say; once for each level. Without "
        "it those of the plans that `analyse` finds.",
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


def read_images(data: str, size: int | None) -> Any:
    """The images that --data names."""
    from subspace_sde.images import load

    with console.status(f"reading {data}"):
        images = load(data, size, channels=3)  # one split for every seed: what was held out once is held out always
    console.print(f"{data}: {len(images.train)} training images of {images.shape}, {len(images.held_out)} held out")
    return images


def named(levels: list[str] | None, images: Any) -> dict[str, list[str]] | None:
    """The plans that the levels of --level make, or None without it; a ValueError where they are not nested."""
    from subspace_sde import NestedSubspaces
    from subspace_sde.analysis import subspace_named

    from .plans import plans_of

    if not levels:
        return None
    plans = plans_of(list(dict.fromkeys(levels)))
    # a wrong name, or sizes that do not nest, are refused before any work
    for plan in plans.values():
        if plan:
            NestedSubspaces.from_subspaces([subspace_named(name, images.shape) for name in plan])
    return plans


def planned(levels: list[str] | None, images: Any, out: Path, every: bool) -> dict[str, list[str]]:
    """The plans of --level or, without it, those that `analyse` found in this folder: ``every`` one, or the best."""
    from .plans import recommended

    return named(levels, images) or recommended(analysed(images, out), every)


def analysed(images: Any, out: Path) -> Any:
    """What `analyse` wrote of these images; a ValueError where it has not, or of others."""
    from .results import fingerprint, read_json

    found = read_json(out / "analysis.json", "analyse")
    if found["inputs"]["data"] != fingerprint(images):
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
    data: str, out: Path, weights: Path | None, level: list[str] | None, size: int | None, device: str
) -> tuple[Trained, Any]:
    """What a command that uses trained levels begins with, and the device.

    Without --level the plans are those that `analyse` found: every one where one network has all the levels.
    """
    from .devices import pick_device
    from .levels import SHARED, load_levels
    from .plans import levels_of
    from .results import read_json

    images, place, folder = read_images(data, size), pick_device(device), weights or out
    plans = planned(level, images, out, every=(folder / SHARED).exists())
    models = load_levels(folder, levels_of(plans), images.shape, place)
    return Trained(images, models, plans, read_json(out / "divergence.json", "divergence")), place
