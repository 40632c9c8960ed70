"""What an `Analysis` looks like: as a table, as plain values, as pictures. Needs the extra ``images``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import whole
from ..images import Images, to_unit
from ..planning.chains import Plan
from .analyse_data import Analysis

if TYPE_CHECKING:
    from rich.console import Console


def as_json(found: Analysis) -> dict[str, Any]:
    """The analysis as plain values: what ``analysis.json`` holds and `show` prints."""
    rows = [
        {
            "subspace": row.name,
            "shape": list(row.subspace.shape) if row.subspace else None,
            "share of pixels": row.subspace.dim / row.subspace.ambient_dim if row.subspace else None,
            "rmsd": dict(zip(("origin", "mean"), row.rmsd)) if row.rmsd else None,
            "t": row.t,
            "noise": None if row.t is None else found.noise(row.t),
            "cost alone": row.cost,
            "note": row.note,
        }
        for row in found.rows
    ]
    return {
        "data": found.data,
        "images": found.count,
        "shape": list(found.shape),
        "model": found.model,
        "sde": repr(found.sde),
        "threshold": found.threshold,
        "rows": rows,
        "recommended": _plan(found, found.plan),
        "plans": [_plan(found, p) for p in found.by_levels],
        "thresholds": list(found.thresholds),
        "costs": {k: [None if math.isnan(c) else c for c in v] for k, v in found.costs.items()},
        "summary": found.summary(),
    }


def _plan(found: Analysis, plan: Plan) -> dict[str, Any]:
    return {"levels": list(found.names(plan)), "times": list(plan.times), "cost": plan.cost}


def show(found: dict[str, Any], console: Console) -> None:
    """Print what `as_json` gave: the table, the plans, and the answer.

    On a narrow terminal the table leaves columns out rather than break names; in a pipe no line is broken.
    """

    def say(text: str, style: str = "", whole: bool = False) -> None:
        soft_wrap = whole or not console.is_terminal
        console.print(text, style=style, markup=False, highlight=False, soft_wrap=soft_wrap)

    say(
        f"{found['data']}: {found['images']} images of {_size(found['shape'])}, pixels in [0, 1]; {found['sde']}; "
        f"D_F of a Gaussian with their {found['model']}\n"
    )
    lines = _table(found["rows"], console.width if console.is_terminal else None)
    say(lines[0], "bold", whole=True)
    for line in lines[1:]:
        say(line, whole=True)
    say("\nlinear, affine: RMSD per dimension left out, about the origin and about the mean")
    say(f"t, noise: from which t, and which noise σ/α beside those pixels, D_F is at most {found['threshold']:g}")
    say("cost: of sampling with that level alone, in pixels; of the full model's")
    notes: dict[str, list[str]] = {}
    for row in found["rows"]:
        if row["note"]:
            notes.setdefault(row["note"], []).append(row["subspace"])
    for note, names in notes.items():
        say(f"{', '.join(names)}: {note}")
    for plan in found["plans"]:
        levels = ", ".join(f"{name} from t = {t:.3f}" for name, t in zip(plan["levels"], plan["times"]))
        say(f"{len(plan['levels'])} level{'s'[: len(plan['levels']) - 1]}: {plan['cost']:.3f} of the pixels: {levels}")
    say(found["summary"], "bold")


def _table(rows: list[dict[str, Any]], width: int | None) -> list[str]:
    """The lines of the table, with the columns that fit."""
    lines = [["subspace", "size", "share", "linear", "affine", "t", "noise", "cost"]]
    for row in rows:
        if row["shape"] is not None:
            rmsd = [f"{row['rmsd'][about]:.4f}" for about in ("origin", "mean")]
            numbers = {"t": ".3f", "noise": ".2f", "cost alone": ".3f"}
            rest = ["-" if row[key] is None else f"{row[key]:{form}}" for key, form in numbers.items()]
            lines.append([row["subspace"], _size(row["shape"]), f"{row['share of pixels']:.3f}", *rmsd, *rest])
    widths = [max(map(len, column)) for column in zip(*lines)]
    columns = list(range(len(widths)))
    for least in (2, 6, 3, 1):
        if width is not None and sum(widths[i] + 2 for i in columns) - 2 > width:
            columns.remove(least)
    return [
        "  ".join(line[i].ljust(widths[i]) if i < 2 else line[i].rjust(widths[i]) for i in columns) for line in lines
    ]


def _size(shape: list[int]) -> str:
    return "×".join(str(n) for n in shape)


def _label(name: str) -> str:
    """A name as matplotlib shows it letter by letter: no formula, nothing hidden, no byte that is no character."""
    name = name.encode("utf-8", "backslashreplace").decode()
    shown = "".join(c if c.isprintable() else "?" for c in name).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def draw(found: Analysis, images: Images, out: Path) -> list[str]:
    """The pictures, as PNG files in `out`, each whole or not at all; returns their names."""
    from .. import plotting

    half = f":{min(found.shape[1:]) // 2}"
    halves = {row.name: row for row in found.rows if row.name.endswith(half)}
    subspaces = {name: row.subspace for name, row in halves.items() if row.subspace is not None}
    curves = {name: row.curve for name, row in halves.items() if row.curve is not None}
    kinds = {name.removesuffix(half): u for name, u in subspaces.items()}  # short, to stand above a small picture
    few = to_unit(images.train[: 6 if max(found.shape) <= 256 else 2])
    figures = {
        "gaussian-divergence": plotting.divergence_curves(curves, found.threshold),
        "plan": plotting.plan_bar(found.plan),
        "projections": plotting.projections(few, kinds),
        "power": plotting.power_spectrum({_label(found.data): found.power}),
    }
    if (principal := subspaces.get(f"pca{half}")) is not None:
        figures["basis"] = plotting.basis_vectors(principal)
    if found.costs:
        figures["cost"] = plotting.cost_against_threshold(found.thresholds, found.costs)
    for name, figure in figures.items():
        plotting.save(figure, out / f"{name}.png")
    return [f"{name}.png" for name in figures]


def write(found: Analysis, images: Images, out: Path, **about: Any) -> dict[str, Any]:
    """``plan.json``, ``analysis.json`` (what `as_json` gives, and `about`) and the pictures.

    Each file is whole or not at all. The numbers are there before anything is drawn; only when all pictures are,
    ``analysis.json`` names them, and holds `about`. Returns what it holds.
    """
    content = {**as_json(found), "pictures": []}
    found.plan.save(out / "plan.json")
    _save(content, out / "analysis.json")
    content = {**about, **content, "pictures": draw(found, images, out)}
    _save(content, out / "analysis.json")
    return content


def _save(content: dict[str, Any], path: Path) -> None:
    text = json.dumps(content, indent=1)
    with whole(path) as fresh:
        fresh.write_text(text, encoding="utf-8")
