"""What the cells say together: the Pareto front, what each means saves alone and with the other, Tables 2 and 3."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .cells import PAPER


class Point(NamedTuple):
    """A cell as the findings see it; of `value` less is better, and `error` is its standard error."""

    name: str
    networks: str
    staged: bool
    paper: bool
    cost: float
    value: float
    error: float


def points(results: Iterable[dict[str, Any]], figure: str) -> list[Point]:
    """The cells that have this figure; a plan of which no level is left at a threshold is none."""
    return [
        Point(r["name"], r["networks"], bool(r["levels"]), r["solver"] == PAPER, r["cost"], *r["figures"][figure])
        for r in results
        if figure in r["figures"]
    ]


def pareto(found: Sequence[Point]) -> list[Point]:
    """Those that no other beats: none is as good and costs less, none costs as much and is better. Cheapest first.

    >>> a, b, c = (
    ...     Point(n, "", False, False, *xy, 0.1)
    ...     for n, xy in {"a": (1, 5), "b": (2, 6), "c": (3, 4)}.items()
    ... )
    >>> [point.name for point in pareto([c, b, a])]
    ['a', 'c']
    """
    front: list[Point] = []
    for point in sorted(found, key=lambda p: (p.cost, p.value)):
        if not front or point.value < front[-1].value or point[4:6] == front[-1][4:6]:
            front.append(point)
    return front


def reaches(point: Point, level: Point) -> bool:
    """Whether a cell is as good as another, but for a standard error of their difference, were they independent."""
    return point.value <= level.value + math.hypot(point.error, level.error)


def factored(found: Sequence[Point]) -> list[dict[str, Any]]:
    """For each quality that a full model reaches with the paper's solver, the cheapest cells that reach it too.

    Networks of one kind are held against their own full model.

    Returns
    -------
    level: the point whose quality it is.
    paper, solver, levels, both: the cheapest `Point` of the full model by the paper's solver, of the full model by
        another, of a plan by the paper's, of a plan by another; None where no cell reaches it.
    """
    rows = []
    for level in (p for p in found if p.paper and not p.staged):
        own = [p for p in found if p.networks == level.networks and reaches(p, level)]

        def cheapest(staged: bool, paper: bool, own: list[Point] = own) -> Point | None:
            fit = [p for p in own if (p.staged, p.paper) == (staged, paper)]
            return min(fit, key=lambda p: (p.cost, p.value), default=None)

        row = {"paper": cheapest(False, True), "solver": cheapest(False, False)}
        rows.append({"level": level, **row, "levels": cheapest(True, True), "both": cheapest(True, False)})
    return sorted(rows, key=lambda row: (row["level"].networks, -row["level"].value))


def best(results: Sequence[dict[str, Any]], figure: str) -> list[dict[str, Any]]:
    """The paper's Table 2: for each kind of networks and solver the best full model and the best plan.

    ``run`` and ``pixels`` are a plan's seconds and pixels over those of the full model with as many steps of the same
    solver; None where that was not sampled.
    """
    rows = []
    for networks, solver in dict.fromkeys((r["networks"], r["solver"]) for r in results):
        own = [r for r in results if (r["networks"], r["solver"]) == (networks, solver) and figure in r["figures"]]
        full = {r["steps"]: r for r in own if not r["levels"]}
        for some in (list(full.values()), [r for r in own if r["levels"]]):
            if some:
                row = min(some, key=lambda r: r["figures"][figure][0])
                rows.append({**row, "run": None, "pixels": None})
                if (beside := full.get(row["steps"])) and row["levels"]:
                    rows[-1] |= {"run": row["seconds"] / beside["seconds"], "pixels": row["cost"] / beside["cost"]}
    return rows


def likelihoods(bits: Sequence[dict[str, Any]], results: Sequence[dict[str, Any]], figure: str) -> list[dict[str, Any]]:
    """The paper's Table 3: bits/dim in stages and by the full score, beside the distance of samples by the ODE.

    Those are of the same plan and threshold, by the deterministic solver and steps with the most evaluations.
    """

    def ode(networks: str, plan: str, threshold: float | None) -> list[float] | None:
        fit = [r for r in results if (r["networks"], r["plan"], r["threshold"]) == (networks, plan, threshold)]
        fit = [r for r in fit if r["solver"] != PAPER and figure in r["figures"]]
        return max(fit, key=lambda r: sum(r["evaluations"]))["figures"][figure] if fit else None

    rows = []
    for networks in dict.fromkeys(b["networks"] for b in bits):
        own = [b for b in bits if b["networks"] == networks]
        full = own[0]["ways"]["full model"]
        rows.append({"networks": networks, "plan": "full", "threshold": None, "staged": full, "full score": full})
        for b in sorted(own, key=lambda b: (b["plan"], b["threshold"])):
            forms = {"staged": b["ways"].get("plan, staged"), "full score": b["ways"].get("plan, eq. 11")}
            rows.append({"networks": networks, "plan": b["plan"], "threshold": b["threshold"], **forms})
    return [row | {"ode": ode(row["networks"], row["plan"], row["threshold"])} for row in rows]
