"""The command line: ``python -m examples.synthetic --help``."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from tqdm import tqdm

from .comparison import Comparison, NearPlane, Row, compare

app = typer.Typer(add_completion=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Folder for the results.", file_okay=False)] = Path("runs/synthetic"),
    seed: Annotated[int, typer.Option(help="Fixes the plane, the data and all noise.", min=0)] = 0,
    num: Annotated[int, typer.Option(help="Samples in each set.", min=100)] = 1000,
    steps: Annotated[int, typer.Option(help="Solver steps from T to 0, over all levels.", min=1)] = 100,
    threshold: Annotated[float, typer.Option(help="The D_F at which the plan leaves the plane.")] = 3e-3,
    learn: Annotated[
        bool, typer.Option("--learn/--given", help="Find the plane by an SVD of data, or take the true one.")
    ] = False,
) -> None:
    """When may a subspace be left? Algorithm 1 against the full reverse diffusion, with exact scores.

    Data lie near a tilted plane in R^64. Above t_1 the diffusion runs in the plane's two coordinates; at t_1 the
    other 62 are drawn from a Gaussian, and the full space takes over. For a range of t_1, and for the one that the
    orthogonal Fisher divergence D_F suggests, this measures how far the output is from the data, next to the full
    diffusion with the same steps and seeds. Nothing is trained; it takes some seconds.

    Prints a table, and writes OUT/synthetic.png and OUT/synthetic.json.
    """
    started = time.perf_counter()
    try:
        found = compare(NearPlane(seed), seed, num, steps, threshold, learn, progress=_bar)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    from .figure import draw  # matplotlib takes a second to load: not for --help, nor for an error

    out.mkdir(parents=True, exist_ok=True)
    draw(found, out / "synthetic.png")
    seconds = time.perf_counter() - started
    settings = {"seed": seed, "num": num, "steps": steps, "threshold": threshold, "learn": learn}
    content = {**settings, **_record(found), "seconds": seconds}
    (out / "synthetic.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    typer.echo(table(found))
    typer.echo(f"{seconds:.1f} s in all; see {out / 'synthetic.png'} and {out / 'synthetic.json'}")


def _bar(times: Sequence[float | None]) -> Iterator[float | None]:
    yield from tqdm(times, desc="t_1", unit="run", leave=False)


def table(found: Comparison) -> str:
    """The rows of a comparison, the full diffusion first."""
    floor = found.floor
    lines = [
        "                       KL, nats (Gaussian)   distance (mixture)   steps in",
        "     t_1   D_F(t_1)       SDE        ODE        SDE      ODE      the plane     cost",
    ]
    for row in [found.full, *found.rows]:
        t_1 = "    full" if row.t_1 is None else f"{row.t_1:8.3f}"
        divergence = "-" if row.divergence is None else f"{row.divergence:.1e}"
        lines.append(
            f"{t_1}  {divergence:>9}  {row.kl['SDE']:>9.2g}  {row.kl['ODE']:>9.2g}  {row.distance['SDE']:>9.3f}"
            f"  {row.distance['ODE']:>7.3f}  {row.small_share:>9.0%}  {row.cost:>9.1%}"
            + ("  <- D_F meets the threshold" if row is found.planned else "")
        )
    lines.append(f"exact draws among themselves: distance {min(floor):.3f} to {max(floor):.3f} ({len(floor)} sets)")
    return "\n".join(lines)


def _record(found: Comparison) -> dict[str, Any]:
    curves = {name: {"times": c.times, "values": c.values, "stderr": c.stderr} for name, c in found.curves.items()}
    rows: list[Row] = found.rows
    return {
        "t_1": found.planned.t_1,
        "full": asdict(found.full),
        "rows": [asdict(row) for row in rows],
        "floor": found.floor,
        "divergence": curves,
    }


if __name__ == "__main__":
    app()
