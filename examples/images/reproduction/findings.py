"""What the cells say together: the Pareto front, what each means saves alone and with the other, Tables 2 and 3."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ..evaluation import standard_error
from .cells import PAPER


class Point(NamedTuple):
    """A cell as the findings see it: its cost, and a figure of which less is better (`evaluation.with_halves`)."""

    name: str
    networks: str
    staged: bool
    paper: bool
    cost: float
    values: Sequence[float]

    @property
    def value(self) -> float:
        """The figure."""
        return self.values[0]

    @property
    def error(self) -> float:
        """Its standard error."""
        return standard_error(self.values)


def points(results: Iterable[dict[str, Any]], figure: str) -> list[Point]:
    """The cells that have this figure; a plan of which no level is left at a threshold is none."""
    return [
        Point(r["name"], r["networks"], bool(r["levels"]), r["solver"] == PAPER, r["cost"], r["figures"][figure])
        for r in results
        if figure in r["figures"]
    ]


def pareto(found: Sequence[Point]) -> list[Point]:
    """Those that no other beats: none is as good and costs less, none costs as much and is better. Cheapest first.

    >>> a, b, c = (
    ...     Point(n, "", False, False, cost, [value])
    ...     for n, cost, value in [("a", 1, 5), ("b", 2, 6), ("c", 3, 4)]
    ... )
    >>> [point.name for point in pareto([c, b, a])]
    ['a', 'c']
    """
    front: list[Point] = []
    for point in sorted(found, key=lambda p: (p.cost, p.value)):
        if not front or point.value < front[-1].value or (point.cost, point.value) == (front[-1].cost, front[-1].value):
            front.append(point)
    return front


def reaches(point: Point, level: Point) -> bool:
    """Whether a cell is as good as another, but for a standard error of their difference."""
    return point.value <= level.value + standard_error(point.values, level.values)


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


def over_full(results: Sequence[dict[str, Any]], figure: str) -> dict[str, tuple[float, float]]:
    """How far each plan's figure is above the full model's by the same solver and steps, and its standard error."""
    found = {}
    for row in results:
        beside = [r for r in results if not r["levels"] and _alike(r, row) and figure in r["figures"]]
        if row["levels"] and figure in row["figures"] and beside:
            mine, full = row["figures"][figure], beside[0]["figures"][figure]
            found[row["name"]] = (mine[0] - full[0], standard_error(mine, full))
    return found


def _alike(row: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(row[key] == other[key] for key in ("networks", "solver", "steps"))


def best(results: Sequence[dict[str, Any]], figure: str, seconds: dict[str, dict[str, float]]) -> list[dict[str, Any]]:
    """The paper's Table 2: for each kind of networks and solver the best full model and the best plan.

    ``pixels`` are a plan's over those of the full model with as many steps of the same solver, and ``run`` its
    evaluations, each for the ``seconds`` that one of its level takes: those were measured in turn, where the cells were
    sampled one after the other. None where the full model was not sampled.
    """

    def takes(row: dict[str, Any]) -> float:
        own = seconds[row["networks"]]
        return float(sum(n * own[name] for n, name in zip(row["evaluations"], ["full", *row["levels"]])))

    rows = []
    for networks, solver in dict.fromkeys((r["networks"], r["solver"]) for r in results):
        own = [r for r in results if (r["networks"], r["solver"]) == (networks, solver) and figure in r["figures"]]
        full = {r["steps"]: r for r in own if not r["levels"]}
        for some in (list(full.values()), [r for r in own if r["levels"]]):
            if some:
                row = min(some, key=lambda r: r["figures"][figure][0])
                rows.append({**row, "run": None, "pixels": None})
                if (beside := full.get(row["steps"])) and row["levels"]:
                    rows[-1] |= {"run": takes(row) / takes(beside), "pixels": row["cost"] / beside["cost"]}
    return rows


def likelihoods(bits: Sequence[dict[str, Any]], results: Sequence[dict[str, Any]], figure: str) -> list[dict[str, Any]]:
    """The paper's Table 3: bits/dim in stages and by the full score, beside the distance of samples by the ODE.

    Those are by one deterministic solver and number of steps for all networks of a kind: the one by which most of the
    rows were sampled and, of those, with the most evaluations. ``by`` names it, ``ode`` is None where it was not used.
    """
    rows: list[dict[str, Any]] = []
    for networks in dict.fromkeys(b["networks"] for b in bits):
        own = [b for b in bits if b["networks"] == networks]
        full = own[0]["ways"]["full model"]
        mine = [{"networks": networks, "plan": "full", "threshold": None, "staged": full, "full score": full}]
        for b in sorted(own, key=lambda b: (b["plan"], b["threshold"])):
            forms = {"staged": b["ways"].get("plan, staged"), "full score": b["ways"].get("plan, eq. 11")}
            mine.append({"networks": networks, "plan": b["plan"], "threshold": b["threshold"], **forms})
        wanted = {(row["plan"], row["threshold"]) for row in mine}
        ways: dict[tuple[str, int], dict[Any, dict[str, Any]]] = {}
        for r in results:
            if r["networks"] == networks and r["solver"] != PAPER and figure in r["figures"]:
                if (key := (r["plan"], r["threshold"])) in wanted:
                    ways.setdefault((r["solver"], r["steps"]), {})[key] = r
        by = max(ways, key=lambda w: (len(ways[w]), max(sum(r["evaluations"]) for r in ways[w].values())), default=None)
        for row in mine:
            found = ways[by].get((row["plan"], row["threshold"])) if by else None
            row |= {"ode": found["figures"][figure] if found else None, "by": f"{by[0]} {by[1]}" if by else ""}
        rows += mine
    return rows
