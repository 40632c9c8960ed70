"""The command line: ``subspace-sde --help``. Needs the extra ``images``."""

from __future__ import annotations

import io
import sys
import warnings
from codecs import register_error
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

try:
    import typer
    from rich.console import Console
    from rich.markup import escape
except ImportError:  # pragma: no cover
    sys.exit('the command line needs more than the library: pip install "subspace-sde[images]"')

from . import __version__

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


class Channels(StrEnum):
    """What --channels takes."""

    grey = "grey"
    rgb = "rgb"
    as_is = "as-is"

    @property
    def number(self) -> int | None:
        """As `load` takes it."""
        return {"grey": 1, "rgb": 3}.get(self.value)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"subspace-sde {__version__}")
        raise typer.Exit


@app.callback()
def _group(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and stop.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Diffusion models that run most of their life in a small linear subspace."""


@app.command()
def analyse(
    source: Annotated[
        str,
        typer.Argument(
            help="A folder of images, a .parquet file with an image column, an array of any shape (.npy, .npz, .zarr, "
            ".h5, .hdf5), the name of a data set on the Hugging Face hub, or builtin: crops of photographs that ship "
            "with scikit-learn and scikit-image."
        ),
    ] = "builtin",
    out: Annotated[Path | None, typer.Option(help="Write pictures, the table and the plan as JSON there.")] = None,
    size: Annotated[
        str | None,
        typer.Option(help="Crop and scale every image to SIZE x SIZE, or to HEIGHTxWIDTH: 64x48 (builtin: 32)."),
    ] = None,
    channels: Annotated[
        Channels, typer.Option(help="Make images grey or RGB; as they are, grey stays grey where all images are.")
    ] = Channels.as_is,
    array: Annotated[
        str | None, typer.Option(help="Which array of a file that holds several; without it the largest.")
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(help="The axes of an array that may get shorter, -2,-1 say; without it all longer than four."),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="Divide an array by this: 255 for 8-bit pixels; integers need it.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="D_F at which a subspace may be used; smaller is safer and saves less.")
    ] = 3e-3,
    level: Annotated[
        list[str] | None,
        typer.Option("--level", help="A further row: lowpass:20, lowpass:20x28, downsampling:16, db2:16, ..."),
    ] = None,
    max_levels: Annotated[int, typer.Option(help="Levels of the plan beyond the full one, at most.")] = 3,
    multiple_of: Annotated[
        int, typer.Option(help="Edges of the plan's levels are multiples of this: a U-Net that halves twice needs 4.")
    ] = 4,
    price: Annotated[
        float, typer.Option(help="A further level must save this share of the full model's sampling cost.")
    ] = 0.02,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out what cannot be read as an image, and say how many there were.")
    ] = False,
) -> None:
    """Which subspace suits these data, from which noise level on, and what does it save? Seconds; no network.

    A diffusion model may run on a smaller image, or sound, or volume, while the noise hides the rest. For smaller ones
    of many kinds and sizes (low-pass, block means, wavelets) and for principal components this prints how far the data
    lie from them, from which time t and noise σ/α on they may be used, and what sampling then costs; and at last the
    plan, of few levels, that costs least.

    A size may be used from the time on at which the orthogonal Fisher divergence D_F, the error in the score of what
    is left out, stays at or below --threshold. D_F is that of a Gaussian with the data's statistics: a network's is
    larger, about half again, and its times a little later.

    Examples:

        subspace-sde analyse builtin
        subspace-sde analyse FOLDER --size 32 --out DIR
        subspace-sde analyse train.parquet --level lowpass:20 --threshold 1e-3
        subspace-sde analyse sounds.npy --axes -1 --scale 32768
    """
    if out is not None and (files := [path for path in (out, *out.parents) if path.is_file()]):
        raise ValueError(f"{files[0]} is a file: --out takes a folder")
    from .analysis.analyse_data import analyse as stage
    from .analysis.report import as_json, show, write

    console = Console()
    with console.status(f"reading {escape(source)}"), warnings.catch_warnings(record=True) as found_bad:
        warnings.simplefilter("always", UserWarning)
        of_arrays = {"--array": array, "--scale": scale, "--axes": _axes(axes)}
        of_images = {"--size": _size(size), "--channels": channels.number, "--skip-bad": skip_bad}
        data = _read(source, of_images, of_arrays)
    for warning in found_bad:
        _complain("[bold yellow]warning:[/]", warning.message)
    found = stage(data, level or (), threshold=threshold, max_levels=max_levels, multiple_of=multiple_of, price=price)
    show(as_json(found), console)
    if out is not None:
        pictures = write(found, out)["pictures"]
        names = ", ".join(["analysis.json", "plan.json", *pictures])
        console.print(f"written to {escape(str(out))}: {names}", highlight=False, soft_wrap=not console.is_terminal)


def _read(source: str, of_images: dict[str, Any], of_arrays: dict[str, Any]) -> Any:
    """Images or an array; a ValueError for options of the other kind."""
    from .array_data import ArrayData, holds_arrays
    from .images import load

    given = [name for name, value in of_arrays.items() if value is not None]
    if holds_arrays(source) or (given and source.lower().endswith(".npz")):
        if others := [name for name, value in of_images.items() if value]:
            raise ValueError(f"{source} is read as an array, and {others[0]} is for images: leave it out")
        return ArrayData.open(source, *of_arrays.values())
    if given:
        raise ValueError(f"{source} is read as images, and {given[0]} is for arrays: leave it out")
    size, channels, skip_bad = of_images.values()
    return load(source, size, skip_bad=skip_bad, channels=channels)


def _size(text: str | None) -> int | tuple[int, ...] | None:
    numbers = [] if text is None else text.lower().split("x")
    if not all(n.isdecimal() for n in numbers) or len(numbers) > 2:
        raise ValueError(f"--size takes an edge, 32 say, or height and width, 64x48, got {text}")
    return (int(numbers[0]) if len(numbers) == 1 else tuple(map(int, numbers))) if numbers else None


def _axes(text: str | None) -> tuple[int, ...] | None:
    try:
        return None if text is None else tuple(int(a) for a in text.split(","))
    except ValueError as error:
        raise ValueError(f"--axes takes whole numbers with commas between, -2,-1 say, got {text!r}") from error


def _complain(kind: str, message: object) -> None:
    Console(stderr=True).print(kind, escape(str(message)), highlight=False, soft_wrap=True)


_ASCII = {"α": "alpha", "σ": "sigma", "×": "x", "·": "*", "⊥": "_|_", "√": "sqrt", "‖": "||", "…": "...", "−": "-"}


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that a terminal cannot show: a word where there is one, else their number."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(_ASCII.get(c) or c.encode("ascii", "backslashreplace").decode() for c in lost), error.end


def for_any_terminal() -> None:
    """Let standard output and error say in ASCII what they cannot show, rather than end in the middle of a table."""
    register_error("in ASCII", _in_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="in ASCII")


def main() -> None:
    """Run the command line; a refusal is one sentence, not a traceback."""
    for_any_terminal()
    try:
        app()
    except (ValueError, TypeError, OSError, ImportError, MemoryError) as error:
        _complain("[bold red]error:[/]", error)
        sys.exit(1)
