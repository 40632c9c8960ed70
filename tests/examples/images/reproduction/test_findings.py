"""What the cells say together: against brute force, and against numbers worked out by hand."""

import numpy as np
import pytest

from examples.images.reproduction import CELLS, PLANS, Bits, factored, pareto
from examples.images.reproduction.cells import level_names
from examples.images.reproduction.findings import Point, best, likelihoods, over_full, points
from examples.images.sampling import SolverName
from subspace_sde import NestedSubspaces
from subspace_sde.analysis import subspace_named


def point(name, cost, value, staged=False, paper=False, networks="separate", error=0.0, halves=0):
    """A figure of which the halves spread by `error`; points with other `halves` spread independently."""
    apart = np.zeros(4)
    apart[2 * halves : 2 * halves + 2] = 1, -1
    return Point(name, networks, staged, paper, cost, [value, *(value + error * 1.5**0.5 * apart)])


def test_the_pareto_front_is_that_of_brute_force():
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 40):
        for _ in range(20):
            found = [point(str(i), *map(float, rng.integers(0, 8, 2))) for i in range(n)]
            front = [
                p
                for p in found
                if not any(
                    q.cost <= p.cost and q.value <= p.value and (q.cost, q.value) != (p.cost, p.value) for q in found
                )
            ]
            assert sorted(pareto(found)) == sorted(front)
            assert [p.cost for p in pareto(found)] == sorted(p.cost for p in front)


def test_the_factored_table_is_that_by_hand():
    found = [
        point("paper 30", 0.03, 30.0, paper=True),
        point("paper 100", 0.10, 20.0, paper=True, error=0.3),
        point("paper 300", 0.30, 20.4, paper=True, error=0.4),  # no better than with 100 steps
        point("heun 18", 0.02, 25.0),
        point("heun 30", 0.03, 20.3, error=0.4, halves=1),  # 0.3 above, with an error of the difference of 0.5
        point(
            "dpm 18", 0.01, 20.6, error=0.4, halves=1
        ),  # 0.6 above, too far for the second, near enough for the third
        point("dpm 20", 0.015, 20.3, error=0.4),  # whose halves spread alike: 0.3 above with an error of 0.1
        point("means, paper 30", 0.02, 29.0, staged=True, paper=True),
        point("means, paper 100", 0.06, 19.0, staged=True, paper=True),
        point("lowpass, dpm 18", 0.005, 31.0, staged=True),
        point("lowpass, dpm 30", 0.008, 21.0, staged=True),
        point("shared, dpm", 0.001, 1.0, networks="shared"),  # of other networks
    ]
    names = ("paper", "solver", "levels", "both")
    rows = [[row["level"].name, *(row[n].name if row[n] else None for n in names)] for row in factored(found)]
    assert rows == [
        ["paper 30", "paper 30", "dpm 18", "means, paper 30", "lowpass, dpm 30"],
        ["paper 300", "paper 100", "dpm 18", "means, paper 100", None],
        ["paper 100", "paper 100", "heun 30", "means, paper 100", None],
    ]
    shared = [*found, point("shared paper", 0.5, 0.5, paper=True, networks="shared")]
    assert [row["solver"] for row in factored(shared) if row["level"].networks == "shared"] == [None]
    assert factored([]) == []


def result(plan, solver, steps, value, cost, seconds, threshold=3e-3, evaluations=(10,)):
    return {
        "name": f"{plan} {solver} {steps} {threshold}", "networks": "separate", "plan": plan, "solver": solver,
        "steps": steps, "threshold": threshold if plan != "full" else None, "levels": [plan] if plan != "full" else [],
        "cost": cost, "seconds": seconds, "evaluations": list(evaluations),
        "figures": {"FD": [value, value - 1, value + 1]},
    }  # fmt: skip


RESULTS = [
    result("full", "heun", 10, 30.0, 0.010, 2.0),
    result("full", "heun", 18, 20.0, 0.018, 4.0),
    result("means 1/2", "heun", 10, 19.0, 0.006, 1.0, evaluations=(6, 4)),
    result("means 1/2", "heun", 18, 21.0, 0.011, 2.2, threshold=1e-3, evaluations=(12, 6)),
    result("full", "predictor-corrector", 30, 25.0, 0.03, 9.0),
]


def test_the_best_of_each_solver_beside_the_full_model():
    rows = best(RESULTS, "FD", {"separate": {"full": 0.3, "means 1/2": 0.2}})
    assert [(r["name"], r["run"], r["pixels"]) for r in rows] == [
        (RESULTS[1]["name"], None, None),
        (RESULTS[2]["name"], pytest.approx(2.6 / 3), pytest.approx(0.6)),  # over the full model's 10 steps
        (RESULTS[4]["name"], None, None),
    ]
    assert [p.paper for p in points(RESULTS, "FD")] == [False] * 4 + [True]


def test_a_plan_is_held_against_the_full_model_of_its_steps_and_solver():
    above = over_full(RESULTS, "FD")
    assert above == {RESULTS[2]["name"]: (-11.0, 0.0), RESULTS[3]["name"]: (1.0, 0.0)}  # their halves spread alike
    other = {**RESULTS[2], "figures": {"FD": [19.0, 20.0, 18.0]}}
    assert over_full([RESULTS[0], other], "FD") == {other["name"]: (-11.0, pytest.approx(8**0.5))}
    assert over_full(RESULTS[1:3], "FD") == {}


def test_likelihoods_stand_beside_samples_of_one_ode():
    full = {"mean": 3.0, "stderr": 0.1, "levels": []}
    way = {"mean": 3.1, "over full": 0.1, "over full stderr": 0.01}
    bits = [
        {"networks": "separate", "plan": "means 1/2", "threshold": t,
         "ways": {"full model": full, "plan, staged": way, "plan, eq. 11": way}}
        for t in (3e-3, 1e-3)
    ]  # fmt: skip

    def beside(results):
        rows = likelihoods(bits, results, "FD")
        assert [(r["plan"], r["threshold"]) for r in rows] == [("full", None), ("means 1/2", 1e-3), ("means 1/2", 3e-3)]
        assert len({r["by"] for r in rows}) == 1
        return rows[0]["by"], [r["ode"] and r["ode"][0] for r in rows]

    # of 10 and of 18 steps two of three rows each: that with more evaluations
    assert beside(RESULTS) == ("heun 18", [20.0, 21.0, None])
    ten = [*RESULTS, result("means 1/2", "heun", 10, 22.0, 0.006, 1.0, threshold=1e-3, evaluations=(7, 3))]
    assert beside(ten) == ("heun 10", [30.0, 22.0, 19.0])
    assert beside(RESULTS[-1:]) == ("", [None] * 3)


def test_the_cells_are_what_they_say():
    assert len({cell.name for cell in CELLS}) == len(CELLS)
    for cell in CELLS:
        assert cell.plan in PLANS and (cell.threshold is None) == (cell.plan == "full")
        assert isinstance(cell, Bits) or SolverName(cell.solver)
    first = CELLS[:24]
    assert {cell.networks for cell in first} == {"separate", "shared"} and len({c.solver for c in first}) == 3
    for cell in CELLS:
        if cell.full in CELLS and not isinstance(cell, Bits):
            assert CELLS.index(cell.full) <= CELLS.index(cell)  # its pairs are there


def test_the_levels_scale_with_the_images():
    assert level_names("lowpass 3", (3, 32, 32)) == ["lowpass:20", "lowpass:12", "lowpass:8"]
    assert level_names("means 1/4", (3, 16, 24)) == ["downsampling:4"]
    for plan in PLANS:
        for shape in ((3, 16, 16), (3, 32, 32), (3, 64, 96)):
            names = level_names(plan, shape)
            assert not names or len(NestedSubspaces.from_subspaces([subspace_named(n, shape) for n in names]))
    with pytest.raises(ValueError, match="an edge of 30 pixels has no 5/8 of it: give a --size that 8 divides"):
        level_names("lowpass 2", (3, 30, 30))
