"""What an `Analysis` looks like: as a table, as plain values, as pictures. Needs the extra ``images``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import whole
from ..planning.plans import Plan
from .analyse_data import Analysis

if TYPE_CHECKING:
    from rich.console import Console


def as_json(found: Analysis) -> dict[str, Any]:
    """The analysis as plain values: what ``analysis.json`` holds and `show` prints."""
    rows = [
        {
            "subspace": row.name,
            "shape": list(row.subspace.shape) if row.subspace else None,
            "share": row.subspace.dim / row.subspace.ambient_dim if row.subspace else None,
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
        "of": list(found.unit),
        "samples": found.count,
        "shape": list(found.shape),
        "axes": list(found.axes),
        "scale": found.scale,
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

    things, numbers = found["of"]
    say(
        f"{found['data']}: {found['samples']} {things} of {_size(found['shape'])}, {_range(found)}; {found['sde']}; "
        f"D_F of a Gaussian with their {found['model']}\n"
    )
    lines = _table(found["rows"], console.width if console.is_terminal else None, numbers == "pixels")
    say(lines[0], "bold", whole=True)
    for line in lines[1:]:
        say(line, whole=True)
    say("\nlinear, affine: RMSD per dimension left out, about the origin and about the mean")
    say(f"t, noise: from which t, and which noise σ/α beside those {numbers}, D_F is at most {found['threshold']:g}")
    say(f"cost: of sampling with that level alone, in {numbers}; of the full model's")
    notes: dict[str, list[str]] = {}
    for row in found["rows"]:
        if row["note"]:
            notes.setdefault(row["note"], []).append(row["subspace"])
    for note, names in notes.items():
        say(f"{', '.join(names)}: {note}")
    for plan in found["plans"]:
        levels = ", ".join(f"{name} from t = {t:.3f}" for name, t in zip(plan["levels"], plan["times"]))
        count = f"{len(plan['levels'])} level{'s'[: len(plan['levels']) - 1]}"
        say(f"{count}: {plan['cost']:.3f} of the {numbers}: {levels}")
    say(found["summary"], "bold")


def _table(rows: list[dict[str, Any]], width: int | None, pixels: bool) -> list[str]:
    """The lines of the table, with the columns that fit; of data of any size the numbers have their leading digits."""
    far, noise = (".4f", ".2f") if pixels else (".4g", ".3g")
    lines = [["subspace", "size", "share", "linear", "affine", "t", "noise", "cost"]]
    for row in rows:
        if row["shape"] is not None:
            rmsd = [f"{row['rmsd'][about]:{far}}" for about in ("origin", "mean")]
            numbers = {"t": ".3f", "noise": noise, "cost alone": ".3f"}
            rest = ["-" if row[key] is None else f"{row[key]:{form}}" for key, form in numbers.items()]
            lines.append([row["subspace"], _size(row["shape"]), f"{row['share']:.3f}", *rmsd, *rest])
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


def _short(name: str) -> str:
    """The last part of a path, where that is what the name is; a legend has no room for all folders."""
    return name.rstrip("/").rpartition("/")[2][-40:] or name[-40:]


def _range(found: dict[str, Any]) -> str:
    """What the numbers are, and which axes may get shorter."""
    if found["of"] == ["images", "pixels"]:
        return "pixels in [0, 1]"
    axes = ", ".join(map(str, found["axes"]))
    scaled = f"numbers divided by {found['scale']:g}" if found["scale"] != 1 else "numbers as they are"
    return f"{scaled}, of which the {'axis' if len(found['axes']) == 1 else 'axes'} {axes} may get shorter"


def draw(found: Analysis, out: Path) -> list[str]:
    """The pictures, as PNG files in `out`, each whole or not at all; returns their names."""
    from .. import plotting

    half = f":{min(found.shape[a] for a in found.axes) // 2}"
    halves = {row.name: row for row in found.rows if row.name.endswith(half)}
    subspaces = {name: row.subspace for name, row in halves.items() if row.subspace is not None}
    curves = {name: row.curve for name, row in halves.items() if row.curve is not None}
    kinds = {name.removesuffix(half): u for name, u in subspaces.items()}  # short, to stand above a small picture
    few = found.samples[: 6 if max(found.shape) <= 256 else 2]
    axes = None if found.unit[0] == "images" else found.axes
    # the mean over the axes that stay as they are; a volume's own first one is no channel
    power = np.mean(found.power, axis=tuple(a for a in range(-len(found.shape), 0) if a not in found.axes))
    figures = {
        "gaussian-divergence": plotting.divergence_curves(curves, found.threshold),
        "plan": plotting.plan_bar(found.plan),
        "projections": plotting.projections(few, kinds, axes),
        "power": plotting.power_spectrum({_label(_short(found.data)): power[None] if power.ndim > 2 else power}),
    }
    if (principal := subspaces.get(f"pca{half}")) is not None:
        figures["basis"] = plotting.basis_vectors(principal, axes=axes)
    if found.costs:
        figures["cost"] = plotting.cost_against_threshold(found.thresholds, found.costs)
    for name, figure in figures.items():
        plotting.save(figure, out / f"{name}.png")
    return [f"{name}.png" for name in figures]


def write(found: Analysis, out: Path, **about: Any) -> dict[str, Any]:
    """``plan.json``, ``analysis.json`` (what `as_json` gives, and `about`) and the pictures.

    Each file is whole or not at all. The numbers are there before anything is drawn; only when all pictures are,
    ``analysis.json`` names them, and holds `about`. Returns what it holds.
    """
    content = {**as_json(found), "pictures": []}
    found.plan.save(out / "plan.json")
    _save(content, out / "analysis.json")
    content = {**about, **content, "pictures": draw(found, out)}
    _save(content, out / "analysis.json")
    return content


def _save(content: dict[str, Any], path: Path) -> None:
    text = json.dumps(content, indent=1)
    with whole(path) as fresh:
        fresh.write_text(text, encoding="utf-8")
