"""The tables that the commands print."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from .bulk import Drawn
    from .levels import Level

PROCESSES = int(os.environ.get("WORLD_SIZE", "1"))
"""Those that `accelerate launch` started, this one among them; the first speaks for all."""
console = Console(quiet=os.environ.get("RANK", "0") != "0")


def show_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table in the terminal; the first column is text, the others are numbers. A short row is filled up."""
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", no_wrap=i == 0, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def show_training(level: Level) -> None:
    """One line on how a level was trained."""
    r = level.recipe
    told = f"{r['parameters']:,} parameters, {r['steps']} steps, {r['minutes']} min, loss {r['loss']}"
    console.print(f"{level.name}: {told}")


def show_divergence(found: dict[str, Any]) -> None:
    """The time at which each subspace meets the threshold, or why there is none; and a shared network's error on it.

    Where the network is not trained, that it is not.
    """
    from .divergences import untrained

    def told(row: dict[str, Any]) -> str:
        return f"{row['t']:.3f}" if row["t"] is not None else str(row["note"])

    shared = any("error" in row for row in found["levels"].values())
    rows = [[n, told(r), *([told(r["error"])] if shared else [])] for n, r in found["levels"].items()]
    what = "D_F, and the network's excess error on that level," if shared else "D_F"
    show_table(
        f"from which t is {what} at most {found['threshold']:g}? ({found['images']} images)",
        ["subspace", "D_F: t", *(["error: t"] if shared else [])],
        rows,
    )
    if warning := untrained(found):
        console.print(f"[bold yellow]{warning}[/]", highlight=False, soft_wrap=True)


def show_samples(found: dict[str, Any]) -> None:
    """What the samples of each plan cost, beside the full model's."""
    show_table(
        f"sampling: {found['steps']} steps of {found['solver']}, {found['machine']}",
        ["plan", "times", "samples", "seconds per sample", "over full", "predicted", "pixels"],
        [
            [
                "\n<- ".join(["full", *p["levels"]]),
                "\n".join(f"{t:.3f}" for t in p["times"]) or "-",
                str(p["num"]),
                f"{p['seconds per sample']:.3f}",
                f"{p['ratio']:.3f}",
                f"{p['predicted ratio']:.3f}",
                f"{p['pixel ratio']:.3f}",
            ]
            for p in found["plans"].values()
        ],
    )


def show_bulk(drawn: Drawn) -> None:
    """One line on a folder of shards."""
    each = drawn.seconds / max(1, drawn.num)
    calls = ", ".join(f"s_{k} {n}" for k, n in enumerate(drawn.evaluations))
    console.print(f"{drawn.folder}: {drawn.num} samples, {each:.3f} s each; evaluations {calls}")


def show_likelihood(found: dict[str, Any]) -> None:
    """Bits per dimension, by each way."""
    show_table(
        f"bits per dimension: {found['num']} held-out images, {found['steps']} steps, {found['machine']}",
        ["model", "bits/dim", "- full model", *(["probes"] if found["probes"] > 1 else []), "s/image", "over full"],
        [
            [
                name,
                _uncertain(w["mean"], w["stderr"], 3),
                _uncertain(w["over full"], w["over full stderr"], 4) if w["levels"] else "-",
                *([f"± {w['probe stderr']:.4f}"] if found["probes"] > 1 else []),
                f"{w['seconds per image']:.2f}",
                f"{w['ratio']:.2f}",
            ]
            for name, w in found["ways"].items()
        ],
    )


def show_restored(found: dict[str, Any]) -> None:
    """How near to what was lost each way comes, and what it costs."""
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


def show_interpolation(found: dict[str, Any]) -> None:
    """The latents that each way finds."""
    show_table(
        f"latents of {len(found['images'])} held-out images: {found['steps']} steps of heun, {found['machine']}",
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


def _uncertain(value: float, stderr: float | None, digits: int) -> str:
    return f"{value:.{digits}f}" + (f" ± {stderr:.{digits}f}" if stderr is not None else "")
