"""What the study writes into OUT/results: a page with its tables, the pictures and all numbers as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from subspace_sde.files import whole
from subspace_sde.images import to_unit

from ..bulk import read_shards
from ..devices import machine
from ..divergences import plot_divergence, untrained
from ..evaluation import standard_error
from ..evaluation.run import told
from ..levels import Level
from ..results import write_json
from ..strips import save_strips
from .cells import MIDDLE, PAPER, Cell
from .findings import Point, best, factored, likelihoods, over_full, points
from .pictures import STRIPS, plot_front, plot_thresholds, strips_of
from .speed import sampling, training
from .study import HELD_OUT, LOOKS, REFERENCE, Study

THRESHOLDS = (
    "The bars are the standard errors of the difference from the full model, whose own error is that of a cell."
)


def write_page(study: Study, cells: Sequence[Cell]) -> tuple[Path, list[dict[str, Any]]]:
    """Write ``index.md``, ``results.json`` and the pictures, so that the folder can be copied anywhere.

    Returns the page, and what `factored` found.

    Raises ValueError where no cell is done yet.
    """
    out, results, bits = study.out / "results", study.results(cells), study.bits(cells)
    if not results:
        raise ValueError(f"no cell is done in {study.out}: give a larger --budget")
    figure = next(name for name in study.judge.names if all(name in r["figures"] for r in results))
    found = points(results, figure)
    kinds = list(dict.fromkeys(r["networks"] for r in results))
    plot_front(results, found, figure, out / "quality.png")
    thresholds = plot_thresholds(results, figure, out / "thresholds.png")
    for kind in kinds:
        plot_divergence(study.divergence(kind), out / f"divergence-{kind}.png")
    strips = strips_of(results)
    shown = {
        f"{r['networks']}, {r['plan']}": to_unit(read_shards(study.out / "samples" / r["key"])[:STRIPS]) for r in strips
    }
    save_strips({"held out": to_unit(study.images.held_out[:STRIPS]), **shown}, out / "samples.png")
    about: dict[str, Any] = {
        "data": Path(study.images.name).name if Path(study.images.name).exists() else study.images.name,
        "fingerprint": study.data,
        "shape": study.images.shape,
        "training images": len(study.images.train),
        "held-out images": len(study.images.held_out),
        "judge": study.judge.name,
        "no Fréchet distance": study.no_frechet,
        "figure": figure,
        "samples": study.num,
        "seed": study.seed,
        "commits": sorted({r["commit"] for r in results}),
        "machines": sorted({r["machine"] for r in results}),
    }
    here = machine(study.device)
    gpu = study.device.type != "cpu"  # on a CPU the minutes of training are those of the processor

    def speed_of(level: Level) -> dict[str, float]:
        return training(level, study.device) if gpu and level.recipe.get("machine") == here else {}

    trained = {
        kind: {
            name: {k: v for k, v in level.recipe.items() if k != "data"} | speed_of(level)
            for name, level in _own(levels).items()
        }
        for kind, levels in study.networks.items()
    }
    drawn_here = [r for r in results if gpu and r["machine"] == here]
    speed = sampling(drawn_here, study.networks, study.device) if drawn_here else {}
    above, floor = over_full(results, figure), study.floor()
    left_out = {cell.name: why for cell in cells if (why := study.left_out(cell))}
    savings, full_and_best, bits_per_dim = (
        factored(found),
        best(results, figure, study.seconds),
        likelihoods(bits, results, figure),
    )
    everything = {
        "about": about, "networks": trained, "cells": results, "bits": bits, "sampling": speed, "over full": above,
        "training images": floor,
        "divergence": {kind: study.divergence(kind) for kind in kinds}, "factored": savings,
        "table 2": full_and_best, "table 3": bits_per_dim, "left out": left_out,
    }  # fmt: skip
    write_json(out / "results.json", everything)
    done, possible = sum(study.result(cell) is not None for cell in cells), len(cells) - len(left_out)
    parts = [
        f"# Quality against cost: {about['data']}, {study.images.shape[1]} × {study.images.shape[2]}",
        f"{study.num} samples of each cell, seed {study.seed}, all from the same x(T), against "
        f"{about['held-out images']} held-out images on the features of {study.judge.name}; ± is a standard error"
        f"{study.long_bars}, and less is better. The cost counts pixels: 1 is the paper's {REFERENCE} evaluations of "
        f"the full size. {'; '.join(about['machines'])}; commit {', '.join(about['commits'])}; {done} of {possible} "
        "cells.",
        *([f"As many training images in place of samples: {_told(floor[figure])}."] if floor else []),
        *([f"No Fréchet distance: {study.no_frechet}."] if study.no_frechet else []),
        *(f"**{kind} networks.** {warning}" for kind in kinds if (warning := untrained(study.divergence(kind)))),
        "![Quality against cost](quality.png)",
        "## What each means saves",
        "Where the full model with the paper's solver, its predictor-corrector, reaches a quality: its cost, and the "
        "cheapest cells that reach it too, within a standard error of the difference; "
        "in brackets how many times cheaper they are than the cheapest of that kind.",
        table(*saved_rows(savings)) if savings else f"No cell of the full model with {PAPER} is done yet.",
        "## Full models and plans (the paper's Table 2)",
        "Over full: less the full model by the same solver and steps, from the same x(T). Run: the plan's evaluations "
        "at the seconds that each takes, over the full model's; pixels: theirs.",
        _full_and_best(full_and_best, above, figure),
    ]
    if thresholds:
        parts += ["## Thresholds (the paper's Fig. 3)", THRESHOLDS, "![Distance against the threshold](thresholds.png)"]
    if bits_per_dim:
        parts += ["## Likelihoods (the paper's Table 3)", _likelihoods(bits_per_dim, figure)]
    parts += ["## Samples"]
    if strips:
        parts += [
            f"By {strips[0]['solver']} in {strips[0]['steps']} steps, thresholds of {MIDDLE[0]:g}, from one x(T)."
        ]
    parts += ["![Samples of the same numbers](samples.png)", "## Divergence (the paper's Fig. 2)"]
    parts += [f"Of {min(LOOKS, len(study.images.train))} training images, by the full network of each kind."]
    parts += [f"![D_F, {kind} networks](divergence-{kind}.png)" for kind in kinds]
    parts += [
        "## Networks",
        "On a CPU minutes are those of the processor. On a GPU images a second are of the full size, and the peak is "
        "that of a large convolution in the precision of the training; forth and back counts as three evaluations.",
        _networks(trained),
        "## All cells",
        "The cost counts evaluations of the full size; seconds are those of one image.",
        _cells(results, speed, above, figure),
    ]
    if left_out:
        parts += ["Left out: " + "; ".join(f"{name} ({why})" for name, why in left_out.items()) + "."]
    with whole(out / "index.md") as fresh:
        fresh.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return out / "index.md", savings


def _own(levels: Any) -> dict[str, Any]:
    """The levels that have a network of their own; a shared one stands there once."""
    return {name: level for name, level in levels.items() if not level.shared or name == "full"}


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def saved_rows(savings: Sequence[dict[str, Any]], named: bool = True) -> tuple[list[str], list[list[str]]]:
    """The factored table as text, its columns and rows, with the names of the cells or without."""

    def told_point(point: Point | None, paper: Point) -> str:
        if point is None:
            return "-"
        name = f": {point.name.partition(', ')[2]}" if named else ""
        return f"{point.cost:.4f} (× {paper.cost / point.cost:.1f}){name}"

    rows = [
        [
            row["level"].networks,
            _told(row["level"].values),
            *(told_point(row[name], row["paper"]) for name in ("paper", "solver", "levels", "both")),
        ]
        for row in savings
    ]
    return ["networks", "quality", "full, paper's solver", "better solver", "levels", "both"], rows


def _told(values: Sequence[float]) -> str:
    return told([values[0], standard_error(values)])


def _over(above: Mapping[str, tuple[float, float]], name: str) -> str:
    return told(list(above[name])) if name in above else "-"


def _full_and_best(rows: Sequence[dict[str, Any]], above: Mapping[str, tuple[float, float]], figure: str) -> str:
    head = ["networks", "solver", "steps", "model", figure, "over full", "threshold", "t_k", "run", "pixels", "seconds"]

    def line(r: dict[str, Any]) -> list[str]:
        times = ", ".join(f"{t:.3f}" for t in r["times"])
        about = [r["networks"], r["solver"], str(r["steps"]), r["plan"], _told(r["figures"][figure])]
        about.append(_over(above, r["name"]))
        return [*about, _number(r["threshold"]), times, _number(r["run"]), _number(r["pixels"]), f"{r['seconds']:.3f}"]

    return table(head, [line(r) for r in rows])


def _likelihoods(rows: Sequence[dict[str, Any]], figure: str) -> str:
    by = ", ".join(dict.fromkeys(f"{r['networks']} by {r['by']}" for r in rows if r["by"]))
    head = ["networks", "plan", "threshold", "bits/dim in stages", "by the full score", f"{figure} by the ODE"]

    def bits(way: dict[str, Any] | None, full: bool) -> str:
        if way is None:
            return "-"
        if full:
            return f"{way['mean']:.3f} ± {way['stderr']:.3f}"
        return f"{way['mean']:.3f}: {way['over full']:+.4f} ± {way['over full stderr']:.4f}"

    def line(r: dict[str, Any]) -> list[str]:
        both = [bits(r[form], r["plan"] == "full") for form in ("staged", "full score")]
        return [r["networks"], r["plan"], _number(r["threshold"]), *both, _told(r["ode"]) if r["ode"] else "-"]

    about = f"At most {HELD_OUT} held-out images; after the colon the difference from the full model."
    about += f" Samples by the ODE: {by}." if by else ""
    return about + "\n\n" + table(head, [line(r) for r in rows])


def _networks(trained: dict[str, dict[str, Any]]) -> str:
    names = ("parameters", "steps", "minutes", "loss", "device", "commit")
    return table(
        ["networks", "level", *names, "images/s", "of peak"],
        [
            [kind, name, *(str(recipe.get(n, "-")) for n in names), *_speed(recipe)]
            for kind, levels in trained.items()
            for name, recipe in levels.items()
        ],
    )


def _speed(found: Mapping[str, Any]) -> list[str]:
    if "of peak" not in found:
        return ["-", "-"]
    return [f"{found['images a second']:.3g}", f"{found['of peak']:.0%}"]


def _cells(
    results: Sequence[dict[str, Any]],
    speed: Mapping[str, Mapping[str, float]],
    above: Mapping[str, tuple[float, float]],
    figure: str,
) -> str:
    def line(r: dict[str, Any]) -> list[str]:
        calls = ", ".join(map(str, r["evaluations"]))
        cost = [
            calls,
            f"{r['of full size']:.1f}",
            f"{r['cost']:.4f}",
            f"{r['seconds']:.3f}",
            *_speed(speed.get(r["name"], {})),
        ]
        return [
            r["name"],
            ", ".join(r["levels"]) or "full",
            *cost,
            _told(r["figures"][figure]),
            _over(above, r["name"]),
        ]

    head = [
        "cell",
        "levels",
        "evaluations",
        "of full size",
        "cost",
        "seconds",
        "images/s",
        "of peak",
        figure,
        "over full",
    ]
    return table(head, [line(r) for r in results])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
