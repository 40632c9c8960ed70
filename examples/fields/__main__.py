"""The command line: ``python -m examples.fields --help``."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from .comparison import Comparison

app = typer.Typer(add_completion=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="Folder for the results.", file_okay=False)] = Path("runs/fields"),
    seed: Annotated[int, typer.Option(help="Fixes the waves, the training and all noise.", min=0)] = 0,
    fields: Annotated[int, typer.Option(help="Simulated fields to learn from.")] = 6000,
    train_steps: Annotated[int, typer.Option(help="Training steps of each network.")] = 1200,
    levels: Annotated[int, typer.Option(help="Proper subspaces in the plan, at most.")] = 2,
    threshold: Annotated[float, typer.Option(help="The D_F from which on a subspace may be used.")] = 3e-4,
    num: Annotated[int, typer.Option(help="Samples in each set, and fields held out to judge them.", min=100)] = 1000,
    steps: Annotated[int, typer.Option(help="Solver steps from T to t_min, over all levels.")] = 32,
) -> None:
    """Subspace diffusion of vectors that are no images: waves in shallow water, height and velocity in one vector.

    Simulates water in a ring-shaped channel with a ridge. Its principal components are the candidates for subspaces;
    their covariance alone chooses the ranks and the times. A small network is trained for each level, and the
    orthogonal Fisher divergence D_F is measured with the full one. Then the full diffusion and the staged ones are
    sampled from the same seeds with the same steps, and compared with fields that nobody has learned from: energy by
    scale, steepness, shape, volume. Two to three minutes on one core, most of them training.

    Prints a table, and writes OUT/fields.png and OUT/fields.json.
    """
    from .comparison import compare  # torch takes seconds to load: not for --help

    started = time.perf_counter()
    settings = {
        "seed": seed, "fields": fields, "train_steps": train_steps, "levels": levels, "threshold": threshold,
        "num": num, "steps": steps,
    }  # fmt: skip
    try:
        found = compare(**settings, progress=True)  # type: ignore[arg-type]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    from .figure import draw

    out.mkdir(parents=True, exist_ok=True)
    draw(found, out / "fields.png")
    seconds = time.perf_counter() - started
    content = {**settings, **_record(found), "seconds": seconds}
    (out / "fields.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    typer.echo(table(found))
    typer.echo(f"{seconds:.0f} s in all; see {out / 'fields.png'} and {out / 'fields.json'}")


def table(found: Comparison) -> str:
    """Both plans, and a row for each way of drawing fields."""
    lines = []
    for name, plan in (("covariance", found.first), ("network", found.plan)):
        chain = " -> ".join(f"{u.dim} from t = {t:.2g}" for u, t in zip(list(plan.subspaces)[1:], plan.times))
        lines.append(f"by the {name}: {chain}; {plan.cost:.0%} of the full network's operations")
    names = list(found.rows[0].quality)
    lines += ["", f"{'':22}{'solver':18}{'coordinates':>11}{'ms':>7}" + "".join(f"{name:>12}" for name in names)]
    for row in found.rows:
        coordinates = "-" if row.coordinates is None else f"{row.coordinates}"
        ms = "-" if row.seconds is None else f"{1000 * row.seconds:.2f}"
        figures = "".join(f"{value:12.3f}" for value in row.quality.values())
        lines.append(f"{row.way:22}{row.solver:18}{coordinates:>11}{ms:>7}{figures}")
    for name, pick in (("lowest", min), ("highest", max)):
        ends = "".join(f"{pick(f[n] for f in found.floor):12.3f}" if n != "novelty" else f"{1:12.3f}" for n in names)
        lines.append(f"{f'simulated, {name}':40}{'-':>11}{'-':>7}{ends}")
    return "\n".join(lines)


def _record(found: Comparison) -> dict[str, Any]:
    def described(plan: Any) -> dict[str, Any]:
        names = ("times", "shares", "costs", "cost", "divergences", "injections")
        return {"dimensions": [u.dim for u in plan.subspaces], **{name: getattr(plan, name) for name in names}}

    def values(curves: Any) -> dict[str, Any]:
        return {str(n): {"times": c.times, "values": c.values, "stderr": c.stderr} for n, c in curves.items()}

    return {
        "plans": {"covariance": described(found.first), "network": described(found.plan)},
        "divergence": {"covariance": values(found.predicted), "network": values(found.measured)},
        "rows": [asdict(row) for row in found.rows],
        "floor": [{name: value for name, value in f.items() if name != "novelty"} for f in found.floor],
    }


if __name__ == "__main__":
    app()
