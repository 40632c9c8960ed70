"""The example that shows error against cost: its figures against laws computed another way, and the command."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from examples.synthetic.solvers import SOLVERS, app, least_cost, measure, processes, signals, table
from subspace_sde import VE, gaussian_divergence, sample
from subspace_sde.sampling import stage_times


@pytest.fixture(scope="module")
def points():
    return measure(1e-2, steps=(3, 12, 48), solvers=("Heun", "DDIM", "DPM-Solver++ 2M"))


def test_the_times_are_those_of_the_divergence():
    data, sde = signals(), VE()
    for k, process in enumerate(processes(data, sde, 1e-2)):
        assert process.K == k
        curves = gaussian_divergence(data, sde, process.subspaces[1:]) if k else []
        np.testing.assert_allclose(process.times, [c.time_at(1e-2) for c in curves])
        x = data.sample(40_000, rng=np.random.default_rng(0))  # the variances are the data's
        for level, step, variance in zip(process.subspaces, process.subspaces.steps, process.complement_variances):
            off = step.reject(level.restrict(x))
            assert np.sum(off**2) / len(x) / (step.ambient_dim - step.dim) == pytest.approx(variance, rel=0.03)


def test_costs_are_those_of_real_runs(points):
    data, sde = signals(), VE()
    for p in points:
        process = processes(data, sde, 1e-2)[p.levels]
        scores = [data.restrict(u).score(sde) for u in process.subspaces]
        made = sample(process, scores, 2, SOLVERS[p.solver][0], p.steps)
        assert p.cost == pytest.approx(sum(e * u.dim for e, u in zip(made.evaluations, process.subspaces)) / 32)
    assert {(p.levels, p.steps) for p in points} == {(k, n) for k in range(4) for n in (3, 12, 48)} - {(3, 3)}
    assert len(stage_times(processes(data, sde, 1e-2)[2], 3)) == 3


def test_the_law_is_that_of_real_samples(points):
    data, sde, num = signals(), VE(), 20_000
    (p,) = (p for p in points if (p.solver, p.levels, p.steps) == ("DDIM", 2, 12))
    process = processes(data, sde, 1e-2)[2]
    x = sample(
        process,
        [data.restrict(u).score(sde) for u in process.subspaces],
        num,
        SOLVERS["DDIM"][0],
        12,
        np.random.default_rng(0),
    ).x
    target = data.covariance + sde.sigma(0) ** 2 * np.eye(32)
    ratio = np.linalg.solve(target, np.cov(x.T))
    kl = 0.5 * (np.trace(ratio) - 32 - np.linalg.slogdet(ratio)[1])
    assert kl == pytest.approx(p.kl, abs=0.5 * 32 * 33 / 2 / num * 3 + 0.03 * p.kl)


def test_what_the_picture_shows(points):
    def at(solver, levels, steps):
        (found,) = (p for p in points if (p.solver, p.levels, p.steps) == (solver, levels, steps))
        return found

    for levels in range(4):
        assert at("Heun", levels, 48).kl < at("Heun", levels, 12).kl
        assert at("Heun", levels, 48).kl > 0.9 * at("Heun", levels, 48).floor
    assert at("Heun", 0, 48).floor < 1e-4 < at("Heun", 1, 48).floor  # what a level costs, however many the steps
    costs = [at("DPM-Solver++ 2M", k, 48).cost for k in range(4)]
    assert costs == sorted(costs, reverse=True) and costs[3] < 0.6 * costs[0]
    assert least_cost(points, "Heun", 0, 0.0) != least_cost(points, "Heun", 0, 0.0)  # NaN: never
    assert "K = 3" in table(points) and table(points).count("Heun") == 2


def test_the_command_writes_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr("examples.synthetic.solvers.STEPS", (4, 8))
    monkeypatch.setattr("examples.synthetic.solvers.SOLVERS", {name: SOLVERS[name] for name in ("DDIM", "Heun")})
    result = CliRunner().invoke(app, ["--out", str(tmp_path), "--threshold", "0.01"])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "solvers.json").read_text())
    assert found["threshold"] == 0.01 and {p["solver"] for p in found["points"]} == {"DDIM", "Heun"}
    with Image.open(tmp_path / "solvers.png") as picture:
        assert picture.size == (1440, 720)


@pytest.mark.parametrize(("threshold", "message"), [("0", "must be positive"), ("1e-30", "never stays below 1e-30")])
def test_a_bad_threshold_is_one_sentence(tmp_path, threshold, message):
    result = CliRunner().invoke(app, ["--out", str(tmp_path / "new"), "--threshold", threshold])
    assert result.exit_code == 2 and not (tmp_path / "new").exists()
    assert message in " ".join(result.output.replace("│", " ").split()) and "Traceback" not in result.output
