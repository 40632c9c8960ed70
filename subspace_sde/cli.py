"""The command line: ``subspace-sde --help``. Needs the extra ``images``."""

from __future__ import annotations

import io
import sys
import warnings
from codecs import register_error
from pathlib import Path
from typing import Annotated

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
            help="A folder of images, an .npz file, a .parquet file with an image column, the name of a data set on "
            "the Hugging Face hub, or photos: crops of photographs that ship with scikit-learn and scikit-image."
        ),
    ] = "photos",
    out: Annotated[Path | None, typer.Option(help="Write pictures, the table and the plan as JSON there.")] = None,
    size: Annotated[int | None, typer.Option(help="Crop and scale every image to SIZE x SIZE (photos: 32).")] = None,
    threshold: Annotated[
        float, typer.Option(help="D_F at which a subspace may be used; smaller is safer and saves less.")
    ] = 3e-3,
    level: Annotated[
        list[str] | None, typer.Option("--level", help="A further row: lowpass:20, downsampling:16, db2:16, ...")
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
    """Which subspace suits these images, from which noise level on, and what does it save? Seconds; no network.

    A diffusion model may run in a smaller image while the noise hides the rest. For smaller images of many kinds and
    sizes (low-pass, block means, wavelets) and for principal components this prints how far the images lie from them,
    from which time t and noise σ/α on they may be used, and what sampling then costs; and at last the plan, of few
    levels, that costs least.

    A size may be used from the time on at which the orthogonal Fisher divergence D_F, the error in the score of what
    is left out, stays at or below --threshold. D_F is that of a Gaussian with the images' statistics: a network's is
    larger, about half again, and its times a little later.

    Examples:

        subspace-sde analyse photos
        subspace-sde analyse FOLDER --size 32 --out DIR
        subspace-sde analyse train.parquet --level lowpass:20 --threshold 1e-3
    """
    if out is not None and (files := [path for path in (out, *out.parents) if path.is_file()]):
        raise ValueError(f"{files[0]} is a file: --out takes a folder")
    from .analysis.analyse_data import analyse as stage
    from .analysis.report import as_json, show, write
    from .images import load

    console = Console()
    with console.status(f"reading {escape(source)}"), warnings.catch_warnings(record=True) as found_bad:
        warnings.simplefilter("always", UserWarning)
        images = load(source, size, skip_bad=skip_bad)
    for warning in found_bad:
        _complain("[bold yellow]warning:[/]", warning.message)
    found = stage(images, level or (), threshold=threshold, max_levels=max_levels, multiple_of=multiple_of, price=price)
    show(as_json(found), console)
    if out is not None:
        pictures = write(found, images, out)["pictures"]
        names = ", ".join(["analysis.json", "plan.json", *pictures])
        console.print(f"written to {escape(str(out))}: {names}", highlight=False, soft_wrap=not console.is_terminal)


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
