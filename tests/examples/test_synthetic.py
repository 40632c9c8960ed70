"""The synthetic example: its errors against closed forms and POT, and what it claims about the planned t_1."""

import json

import numpy as np
import ot
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from examples.synthetic.__main__ import app
from examples.synthetic.comparison import (
    SOLVERS,
    NearPlane,
    WhitenedDistance,
    compare,
    kl_divergence,
    learned_plane,
    output_covariance,
)
from subspace_sde import VE, Basis, NestedSubspaces, SubspaceSDE, orthogonal_fisher_divergence, rmsd, sample
from subspace_sde.oracles import Gaussian

SDE = VE()


def planned(data, t_1):
    """The process that injects at t_1, with the exact variance of the complement, and the Gaussian's scores."""
    plane, law = Basis.spanning(data.plane), data.gaussian()
    variance = np.trace(data.complement.T @ data.covariance @ data.complement) / data.complement.shape[1]
    process = SubspaceSDE(SDE, NestedSubspaces([plane]), [t_1], [variance])
    return process, [law.score(SDE), law.restrict(plane).score(SDE)]


def injection_error(data, t_1):
    """KL of N(0, UUᵀCUUᵀ + v P⊥ + σ²I) from N(0, C + σ²I) at t_1, by formula alone."""
    inside, outside = data.plane @ data.plane.T, data.complement @ data.complement.T
    variance = np.trace(outside @ data.covariance) / data.complement.shape[1]
    noise = 0.01**2 * 5000 ** (2 * t_1) * np.eye(len(inside))
    return gaussian_kl(
        inside @ data.covariance @ inside + variance * outside + noise,
        data.covariance + noise,
    )


def gaussian_kl(p, q):
    """By torch."""
    p, q = (
        torch.distributions.MultivariateNormal(torch.zeros(len(c), dtype=torch.float64), torch.as_tensor(c))
        for c in (p, q)
    )
    return float(torch.distributions.kl_divergence(p, q))


@pytest.mark.parametrize("dim", [5, 64])
def test_draws_follow_their_covariance_and_the_oracle(dim):
    # Stein: E[s(x) xᵀ] = −I for the score s of the law of x, and only for it among laws this smooth
    data, num, t = NearPlane(1, dim), 20_000, 0.2
    rng = np.random.default_rng(0)
    x0 = data.draw(num, rng)
    x = x0 + SDE.sigma(t) * rng.standard_normal(x0.shape)
    score = data.mixture().score(SDE)(x, t)
    for left, right, expected in ((x0, x0, data.covariance), (score, x, -np.eye(dim))):
        mean, square = left.T @ right / num, (left**2).T @ right**2 / num
        assert np.abs((mean - expected) / np.sqrt((square - mean**2) / num)).max() < 5
    assert np.abs(data.mixture().mean).max() < 1e-15 and not data.gaussian().mean.any()


def test_kl_divergence_is_torchs():
    rng = np.random.default_rng(0)
    p, q = (a @ a.T + 0.1 * np.eye(7) for a in rng.standard_normal((2, 7, 7)))
    np.testing.assert_allclose(kl_divergence(p, q), gaussian_kl(p, q), rtol=1e-12)
    assert abs(kl_divergence(p, p)) < 1e-13


@pytest.mark.parametrize("name", SOLVERS)
def test_output_covariance_is_that_of_samples(name):
    data, num, steps = NearPlane(2, dim=6), 20_000, 12
    process, scores = planned(data, 0.2)
    expected = output_covariance(process, scores, SOLVERS[name], steps)
    x = sample(process, scores, num, SOLVERS[name], steps, rng=np.random.default_rng(3)).x
    variances = np.diag(expected)
    stderr = np.sqrt((np.outer(variances, variances) + expected**2) / num)
    assert np.abs((x.T @ x / num - expected) / stderr).max() < 4.5
    # with so few steps, it is not the covariance of the data
    assert np.abs((data.covariance + 1e-4 * np.eye(6) - expected) / stderr).max() > 9


@pytest.mark.parametrize("t_1", [0.1, 0.3, 0.4])
def test_the_ode_keeps_the_error_of_the_injection(t_1):
    # a flow is a bijection, and KL does not change under one; Heun's error falls as its steps grow
    data = NearPlane(0)
    process, scores = planned(data, t_1)
    target, exact = data.covariance + 1e-4 * np.eye(64), injection_error(data, t_1)
    errors = [
        kl_divergence(output_covariance(process, scores, SOLVERS["ODE"], n), target) / exact - 1 for n in (100, 200)
    ]
    assert abs(errors[1]) < 0.01 and abs(errors[1]) < 0.5 * abs(errors[0])


def test_divergence_bounds_the_error_of_the_ode():
    # to leading order 4 KL = ‖E⊥⊥‖² + 2‖E⊥∥‖² and n⊥ D_F = ‖E⊥⊥‖² + ‖E⊥∥‖², E the relative error of the covariance
    data, times = NearPlane(0), (0.4, 0.45, 0.5)
    x = data.draw(4000, np.random.default_rng(0))
    curve = orthogonal_fisher_divergence(data.gaussian().score(SDE), x, SDE, [Basis.spanning(data.plane)], times)[0]
    for t, value, stderr in zip(times, curve.values, curve.stderr):
        assert 62 / 4 * (value - 4 * stderr) < injection_error(data, t) < 62 / 2 * (value + 4 * stderr)


def test_whitened_distance_is_pots():
    data, drawn = NearPlane(3, dim=9), []

    def draw(rng):
        drawn.append(data.draw(300, rng))
        return drawn[-1]

    distance = WhitenedDistance(data.covariance, draw, seed=0, sets=3)
    for found, x in zip(distance.floor, drawn[1:]):
        expected = ot.sliced_wasserstein_distance(x, drawn[0], projections=distance.projection)
        np.testing.assert_allclose(found, expected, rtol=1e-10)
    # unit directions in coordinates of unit covariance
    p = distance.projection
    np.testing.assert_allclose(np.einsum("ij,ik,kj->j", p, data.covariance, p), 1.0, rtol=1e-10)


def test_a_learned_plane_follows_the_tilt():
    data, rng = NearPlane(0), np.random.default_rng(0)
    x, fresh = data.draw(2000, rng), data.draw(2000, rng)
    learned, given = learned_plane(x), Basis.spanning(data.plane)
    assert rmsd(learned, fresh) < rmsd(given, fresh)
    curves = orthogonal_fisher_divergence(
        data.gaussian().score(SDE), fresh, SDE, [learned, given], np.linspace(0.2, 0.6, 9)
    )
    assert curves[0].time_at(3e-3) < curves[1].time_at(3e-3) - 0.02


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


def test_the_planned_time_is_good_and_a_much_earlier_one_is_not():
    found = compare(NearPlane(0), num=500, steps=60, sweep=[0.05])
    full, plan, early = found.full, found.planned, found.rows[0]
    highest = np.mean(found.floor) + 3 * np.std(found.floor)
    np.testing.assert_allclose(plan.divergence, 3e-3, rtol=1e-6)
    assert early.t_1 == 0.05 and found.rows[1] is plan
    for solver in SOLVERS:
        assert full.distance[solver] < highest
        assert plan.distance[solver] < highest
        assert early.distance[solver] > 2 * highest
        assert early.kl[solver] > 100 * plan.kl[solver]
    # the reverse SDE forgets what the injection got wrong: it is as good as the full space
    assert plan.kl["SDE"] < 1.1 * full.kl["SDE"]
    assert plan.kl["SDE"] < 0.2 * plan.kl["ODE"]
    for row in found.rows:
        assert abs(row.small_share - (1 - row.t_1)) <= 0.5 / 60 + 1e-9  # steps uniform in t
        np.testing.assert_allclose(row.cost, (2 * row.small_share + 64 * (1 - row.small_share)) / 64)
    assert (full.small_share, full.cost) == (0, 1)
    assert set(found.clouds) == {"data", "full", "planned", "early"}


def test_the_command_writes_its_files(tmp_path):
    result = run("--out", tmp_path / "new", "--num", 100, "--steps", 12, "--threshold", 0.1, "--learn")
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["synthetic.json", "synthetic.png"]
    with Image.open(tmp_path / "new" / "synthetic.png") as picture:
        assert picture.size == (1280, 780) and len(np.unique(np.asarray(picture.convert("L")))) > 100
    found = json.loads((tmp_path / "new" / "synthetic.json").read_text())
    assert (found["threshold"], found["learn"]) == (0.1, True)
    (planned_row,) = (row for row in found["rows"] if row["t_1"] == found["t_1"])
    np.testing.assert_allclose(planned_row["divergence"], 0.1, rtol=1e-6)
    (marked,) = (line for line in result.output.splitlines() if "meets the threshold" in line)
    assert marked.split()[:2] == [f"{found['t_1']:.3f}", "1.0e-01"]
    table = [line for line in result.output.splitlines() if " s in all" not in line]
    assert sum(line.strip().startswith("0.") for line in table) == len(found["rows"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--threshold", 1e-30), "never stays below 1e-30"),
        (("--threshold", 0), "must be positive"),
        (("--steps", 1), "at least as many steps, got 1"),
        (("--num", 3), "Invalid value for '--num'"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(tmp_path, arguments, message):
    small = () if "--num" in arguments else ("--num", 100)
    result = run("--out", tmp_path / "new", *small, *arguments)
    assert result.exit_code == 2
    said = " ".join(result.output.replace("│", " ").split())
    assert message in said and "Traceback" not in said
    assert not (tmp_path / "new").exists()


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    result = run("--out", tmp_path / "file")
    assert result.exit_code == 2 and (tmp_path / "file").read_text() == "mine"


def test_gaussian_and_mixture_share_two_moments():
    data = NearPlane(5, dim=7)
    mixture = data.mixture()
    second = sum(w * (c.covariance + np.outer(c.mean, c.mean)) for w, c in zip(mixture.weights, mixture.components))
    assert isinstance(data.gaussian(), Gaussian)
    np.testing.assert_allclose(second, data.gaussian().covariance, atol=1e-14)
