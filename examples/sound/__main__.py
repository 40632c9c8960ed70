"""The command line: ``python -m examples.sound --help``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(add_completion=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Folder for the results.", file_okay=False)] = Path("runs/sound"),
    seed: Annotated[int, typer.Option(help="Fixes the sounds, the training and all noise.", min=0)] = 0,
    data: Annotated[int, typer.Option(help="Sounds to learn from.")] = 400,
    train_steps: Annotated[int, typer.Option(help="Training steps of the network.")] = 450,
    levels: Annotated[int, typer.Option(help="Proper subspaces in the plan, at most.")] = 2,
    threshold: Annotated[float, typer.Option(help="The D_F from which on a subspace may be used.")] = 3e-3,
    num: Annotated[int, typer.Option(help="Samples in each set, and sounds held out to judge them.")] = 24,
    steps: Annotated[int, typer.Option(help="Solver steps from T to t_min, over all levels.")] = 24,
) -> None:
    """Subspace diffusion of sound: chords and sweeps, one second at 16 kHz, at one, two or three sampling rates.

    Makes the sounds. Their power spectrum chooses low-pass levels of any length; one small network is trained on sounds
    at the rates of all of them, and measures the orthogonal Fisher divergence D_F, which gives the times. Then the full
    diffusion and the staged one are drawn in turn, timed, and compared with sounds that nobody has learned from. About
    a minute on one core, most of it training.

    Prints a table, and writes OUT/sound.png and OUT/sound.json.
    """
    from examples.staged.command import run  # torch takes seconds to load: not for --help
    from examples.staged.comparison import compare
    from subspace_sde import LowPass

    from .figure import draw
    from .network import Denoiser
    from .quality import judge
    from .sounds import RATE, sounds

    candidates = [LowPass((1, RATE), n, axes=(-1,)) for n in range(640, RATE, 160)]
    settings: Any = {
        "data": data, "num": num, "train_steps": train_steps, "steps": steps, "threshold": threshold,
        "levels": levels, "seed": seed,
    }  # fmt: skip
    run("sound", lambda: compare(sounds, candidates, Denoiser, judge, **settings, progress=True), draw, out, settings)


if __name__ == "__main__":
    app()
