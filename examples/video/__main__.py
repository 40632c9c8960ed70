"""The command line: ``python -m examples.video --help``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(add_completion=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Folder for the results.", file_okay=False)] = Path("runs/video"),
    seed: Annotated[int, typer.Option(help="Fixes the videos, the training and all noise.", min=0)] = 0,
    data: Annotated[int, typer.Option(help="Videos to learn from.")] = 4000,
    train_steps: Annotated[int, typer.Option(help="Training steps of the network.")] = 400,
    levels: Annotated[int, typer.Option(help="Proper subspaces in the plan, at most.")] = 2,
    threshold: Annotated[float, typer.Option(help="The D_F from which on a subspace may be used.")] = 3e-3,
    num: Annotated[int, typer.Option(help="Samples in each set, and videos held out to judge them.")] = 60,
    steps: Annotated[int, typer.Option(help="Solver steps from T to t_min, over all levels.")] = 24,
) -> None:
    """Subspace diffusion of video: a ball in a box, with levels of fewer frames, pictures as they are.

    Makes the videos. Their power spectrum chooses levels that are low-pass along time alone, of any number of frames;
    one small network is trained on videos with the frames of all of them, and measures the orthogonal Fisher
    divergence D_F, which gives the times. Then the full diffusion and the staged one are drawn in turn, timed, and
    compared with videos that nobody has learned from. About a minute on one core, most of it training.

    Prints a table, and writes OUT/video.png and OUT/video.json.
    """
    from examples.staged.command import run  # torch takes seconds to load: not for --help
    from examples.staged.comparison import compare
    from subspace_sde import LowPass

    from .balls import FRAMES, SIZE, videos
    from .figure import draw
    from .network import Denoiser
    from .quality import judge

    candidates = [LowPass((1, FRAMES, SIZE, SIZE), n, axes=(-3,)) for n in range(1, FRAMES)]
    settings: Any = {
        "data": data, "num": num, "train_steps": train_steps, "steps": steps, "threshold": threshold,
        "levels": levels, "seed": seed,
    }  # fmt: skip
    run("video", lambda: compare(videos, candidates, Denoiser, judge, **settings, progress=True), draw, out, settings)


if __name__ == "__main__":
    app()
