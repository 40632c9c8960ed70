"""What docs/solvers.md promises of few evaluations, from the table that it holds."""

import math
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.solver_accuracy import EVALUATIONS, SOLVERS, Problem, distance, problems, table
from subspace_sde import EDM, VE, VP, RectifiedFlow, SubVP, sample
from subspace_sde.sampling import OwnSpacing, UniformTime, sampled_law
from subspace_sde.solvers import DDIM, DPMSolver, Heun

PAGE = Path(__file__).parents[2] / "docs" / "solvers.md"
PROBLEMS = [*problems(0), *problems(1)]
each_problem = pytest.mark.parametrize(
    "problem", PROBLEMS, ids=lambda p: f"{type(p.sde).__name__}-{p.variance:g}-{p.K}"
)


def errors_of(problem):
    return {name: problem.errors(solver) for name, (solver, _) in SOLVERS.items()}


@each_problem
def test_dpm_solver_is_closer_than_ddim_from_20_evaluations_on(problem):
    errors = errors_of(problem)
    for name in ("2M", "3M"):
        for n, found, ddim in zip(EVALUATIONS, errors[name], errors["DDIM"]):
            assert n < 20 or found < ddim, (name, n)


@each_problem
def test_no_error_is_as_large_as_the_data_but_where_the_page_says_so(problem):
    for name, errors in errors_of(problem).items():
        for n, found in zip(EVALUATIONS, errors):
            told = name == "Heun" and (problem.variance <= 1e-2 or (isinstance(problem.sde, VE | EDM) and n < 50))
            assert found < 1 or told, (name, n)


@each_problem
def test_every_solver_has_its_order_but_where_the_page_says_so(problem):
    for name, (solver, order) in SOLVERS.items():
        early = problem.variance < 1e-2 and isinstance(problem.sde, VP | SubVP | RectifiedFlow)
        if not (early and name in ("DDIM", "Heun")):
            assert problem.order(solver) > order - 0.25, name


def test_the_orders_that_are_not_reached_are_reached_with_more_evaluations():
    problem = Problem(VP(), 1e-4, 0)
    perfect = math.sqrt(problem.perfect.covariance[0, 0])
    for solver, order in ((DDIM(), 1), (Heun(), 2)):
        found = [abs(math.sqrt(problem.found(solver, n).covariance[0, 0]) - perfect) for n in (1600, 3200)]
        assert math.log2(found[0] / found[1]) == pytest.approx(order, abs=0.1)


def test_the_page_holds_the_table():
    on_the_page = [line for line in PAGE.read_text().splitlines() if re.match(r"\| (K = |V|Sub|EDM|Rect)", line)]
    printed = [line for k in (0, 1) for line in table(k) if not line.startswith("|---")]
    assert len(on_the_page) == len(printed) == 2 * 26
    for a, b in zip(on_the_page, printed):
        numbers = [[float(n) for n in re.findall(r"(?<![\w])[\d.]+(?:e-\d+)?", line)] for line in (a, b)]
        np.testing.assert_allclose(*numbers, rtol=0.11, err_msg=a)


@pytest.mark.parametrize("k", [0, 1])
def test_evaluations_are_counted_as_the_table_says(k):
    for sde in (VP(), EDM()):
        problem = Problem(sde, 0.25, k)
        scores = [problem.data.restrict(level).score(sde) for level in problem.process.subspaces]
        for solver, _ in SOLVERS.values():
            for n in (10, 20):
                found = sample(problem.process, scores, 1, solver, problem.steps(solver, n))
                assert sum(found.evaluations) == n


@pytest.mark.parametrize("sde", [VP(), SubVP(), RectifiedFlow()], ids=lambda s: type(s).__name__)
def test_a_step_much_longer_than_the_one_before_begins_again(sde):
    """On steps even in t, that grow in log-SNR, extrapolation made it several times worse than DDIM."""
    for v in (1e-4, 1e-2, 0.25, 1.0, 4.0):
        problem = Problem(sde, v, 0)
        score = problem.data.score(sde)
        for n in (10, 20, 50):
            ddim, *found = (
                distance(sampled_law(problem.process, [score], solver, n, OwnSpacing()), problem.exact)
                for solver in (DDIM(), DPMSolver(2), DPMSolver(3))
            )
            assert max(found) < 1.01 * ddim, (v, n)


def test_what_is_begun_again_and_what_is_not():
    sde, calls = VE(), []

    def score(x, t):
        calls.append(t)
        return -x

    def evaluations(times):
        calls.clear()
        for _ in DPMSolver(3).stage(np.ones((1, 1)), times, score, sde, None):
            pass
        return len(calls)

    even, twice = [1.0, 0.8, 0.6, 0.4, 0.2], [1.0, 0.9, 0.7, 0.5, 0.3]
    assert evaluations(even) == 5 and evaluations(twice) == 5  # 2S takes one more, in the first step
    assert evaluations([1.0, 0.9, 0.69, 0.5, 0.3]) == 6  # and in one that is 2.1 times as long as the one before
    assert evaluations(even[::-1]) == 5  # upwards too


def test_a_step_that_begins_again_is_that_of_a_new_stage():
    sde = VP()
    score = lambda x, t: -x / (0.3 * sde.alpha(t) ** 2 + sde.sigma(t) ** 2)  # noqa: E731
    times = [float(sde.time_at_log_snr(v)) for v in (-4.0, -3.0, -2.0, 0.5, 1.5)]
    for order in (2, 3):
        x = np.ones((1, 1))
        whole = [y for _, y in DPMSolver(order).stage(x, times, score, sde, None)]
        first = [y for _, y in DPMSolver(order).stage(x, times[:3], score, sde, None)]
        parts = [*first, *(y for _, y in DPMSolver(order).stage(first[-1], times[2:], score, sde, None))]
        np.testing.assert_array_equal(whole, parts)


def test_uniform_time_is_still_to_be_had():
    problem = Problem(RectifiedFlow(), 1.0, 0)
    laws = [
        sampled_law(problem.process, [problem.data.score(problem.sde)], DPMSolver(), 12, s)
        for s in (UniformTime(), OwnSpacing(), None)
    ]
    assert laws[0].covariance == laws[1].covariance != laws[2].covariance
