"""The example of physical fields: the simulator against exact laws, its figures, and what it claims about subspaces."""

import json

import numpy as np
import ot
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from examples.fields.__main__ import app
from examples.fields.comparison import SDE, compare
from examples.fields.networks import train
from examples.fields.quality import Judge, increments, spectrum, volume
from examples.fields.water import VISCOSITY, _rates, bottom, evolve, places, simulate
from subspace_sde.process import SubspaceSDE
from subspace_sde.sampling import stage_times


def energy(surface, velocity, floor):
    """½∫(hu² + η²), (n,)."""
    depth = (1 - floor)[:, None] + surface
    return np.mean(depth * velocity**2 + surface**2, axis=0) / 2


def waves(cells, n, seed):
    """Smooth random η and u, (cells, n)."""
    rng, x = np.random.default_rng(seed), places(cells)[:, None]
    return tuple(
        sum(rng.normal(0, 0.05, n) * np.sin(2 * np.pi * (k * x + rng.random(n))) for k in (1, 2, 3)) for _ in range(2)
    )


@pytest.mark.parametrize("viscosity", [0.0, VISCOSITY, 0.05])
def test_energy_goes_into_friction_alone_and_volume_nowhere(viscosity):
    cells, floor = 48, bottom(places(48))
    (surface, velocity), rest = waves(cells, 5, 0), (1 - floor)[:, None]
    up, faster = _rates(surface, velocity, rest, viscosity)
    depth = rest + surface
    gained = np.mean((velocity**2 / 2 + surface) * up + depth * velocity * faster, axis=0)
    edge = (depth + np.roll(depth, -1, axis=0)) / 2
    lost = viscosity * np.mean(edge * (cells * (np.roll(velocity, -1, axis=0) - velocity)) ** 2, axis=0)
    np.testing.assert_allclose(gained, -lost, atol=1e-14)
    np.testing.assert_allclose(up.sum(axis=0), 0, atol=1e-12)


def test_energy_over_time():
    floor = bottom(places(64))
    surface, velocity = waves(64, 4, 1)
    before = energy(surface, velocity, floor)
    errors = []
    for steps in (40, 80):  # without friction, Runge-Kutta's own loss falls as dt⁵ at the least
        after = energy(*evolve(surface, velocity, 0.4, steps, floor, viscosity=0.0), floor)
        errors.append(np.abs(after / before - 1).max())
    assert errors[1] < errors[0] / 16 and errors[1] < 1e-5
    assert np.all(energy(*evolve(surface, velocity, 0.4, 80, floor), floor) < before)


def test_water_at_rest_stays_so_over_the_ridge():
    still = np.zeros((32, 3))
    for field in evolve(still, still, 2.0, 50, bottom(places(32))):
        assert not field.any()


def test_a_simple_wave_follows_its_characteristics():
    # u = 2(√h − 1) on a flat bottom: every height travels at its own speed u + √h = 3√h − 2 until a bore forms
    def height(x):
        return 1 + 0.1 * np.exp(np.cos(2 * np.pi * x) - 1)

    errors = []
    for cells in (64, 128):
        x, time = places(cells), 0.5
        start = x.copy()
        for _ in range(200):
            start = x - (3 * np.sqrt(height(start)) - 2) * time
        first = height(x)[:, None]
        found = evolve(first - 1, 2 * (np.sqrt(first) - 1), time, 400, np.zeros(cells), viscosity=0.0)
        h = height(start)[:, None]
        errors.append(max(np.abs(f - e).max() for f, e in zip(found, (h - 1, 2 * (np.sqrt(h) - 1)))))
    assert errors[0] < 1e-3 and errors[0] / errors[1] > 2**3.7  # order 4


def test_simulated_fields():
    fields = simulate(260, seed=3)
    assert fields.shape == (260, 256) and np.abs(volume(fields)).max() < 1e-15
    np.testing.assert_allclose(simulate(5, seed=3), fields[:5], atol=1e-14)
    assert np.abs(simulate(5, seed=4) - fields[:5]).max() > 0.01
    # the grid shows the bores: twice as fine, the same water
    fine = simulate(40, seed=3, cells=256).reshape(40, 2, 128, 2).mean(axis=-1)
    coarse = fields[:40].reshape(40, 2, 128)
    assert np.sqrt(np.mean((fine - coarse) ** 2) / np.mean(coarse**2)) < 0.02


def test_the_spectrum_holds_the_energy():
    fields = simulate(20, seed=0, cells=32)
    halves = fields.reshape(20, 2, 32)
    total = np.mean(np.sum((halves - halves.mean(axis=-1, keepdims=True)) ** 2, axis=1)) / 2
    np.testing.assert_allclose(spectrum(fields).sum(), total, rtol=1e-12)


def test_the_judge_tells_a_gaussian_and_what_is_learned_by_heart():
    fields = simulate(900, seed=0)
    known, reference, fresh = np.split(fields, 3)
    judge = Judge(reference, known, seed=0)
    gaussian = np.random.default_rng(1).multivariate_normal(known.mean(axis=0), np.cov(known.T), 300)
    good, bad, old = judge(fresh), judge(gaussian), judge(known)
    assert bad["increments"] > 4 * good["increments"] and bad["components"] > 1.1 * good["components"]
    assert old["novelty"] < 1e-3 < 0.9 < good["novelty"] < 1.1
    assert all(judge(reference)[name] < 1e-6 for name in ("spectrum", "increments", "components"))
    assert judge(fresh + 0.01)["volume"] == pytest.approx(0.01 / reference[:, :128].std(), rel=1e-6)
    # steps of a bore are steeper than the slopes behind it
    steps = increments(reference, 4)
    assert np.mean((steps / steps.std()) ** 3) < -1
    values, vectors = np.linalg.eigh(np.cov(known.T))
    a, b = (x @ (vectors[:, -32:] / np.sqrt(values[-32:])) for x in (fresh, reference))
    assert good["components"] == pytest.approx(ot.sliced_wasserstein_distance(a, b, n_projections=512, seed=0))


def test_a_network_learns_a_gaussian():
    z = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 0.3, 0.2])
    score = train(z, SDE, 300, seed=1)
    x, t = z[:500], 0.2
    x = x + t * torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    exact = -x / (z.var(dim=0) + t**2)
    assert torch.mean((score(x, t) - exact) ** 2) < 0.02 * torch.mean(exact**2)
    one, again, other = (train(z, SDE, 3, seed)(x, t) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments])


SMALL = ("--fields", 500, "--num", 100, "--train-steps", 20, "--steps", 6)


def test_a_subspace_is_easier_to_learn_and_cheaper():
    found = compare(fields=600, num=200, train_steps=100, steps=16)
    rows = {(row.way, row.solver): row for row in found.rows}
    planned = SubspaceSDE(SDE, found.first.subspaces, found.first.times, [0.0] * len(found.first.times))
    counts = [len(times) - 1 for times in stage_times(planned, 16)]
    for solver, calls in (("DPM-Solver++ 2M", 1), ("Heun", 2)):
        full, staged = rows["full", solver], rows["staged (covariance)", solver]
        assert full.coordinates == calls * 16 * 256
        assert staged.coordinates == calls * sum(n * u.dim for n, u in zip(counts, found.first.subspaces))
        assert staged.coordinates < 0.4 * full.coordinates and staged.operations < 0.7 * full.operations
        for name in ("spectrum", "increments", "volume"):
            assert staged.quality[name] < 0.6 * full.quality[name]
    # D_F of a network holds its errors too, and the times that it gives are later
    assert found.first.threshold == 3e-4 and len(found.floor) == 3
    for n, curve in found.measured.items():
        early = [(value, found.predicted[n].at(t)) for t, value in zip(curve.times, curve.values) if t < 0.2]
        assert all(network > covariance for network, covariance in early if covariance < 1e-2)
    assert found.plan.cost > found.first.cost
    for t, level in zip(found.plan.times, list(found.plan.subspaces)[1:]):
        assert found.measured[level.dim].at(t) == pytest.approx(3e-4, rel=1e-9)


def test_the_command_writes_its_files(tmp_path):
    result = run("--out", tmp_path / "new", *SMALL, "--levels", 1, "--seed", 5)
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["fields.json", "fields.png"]
    with Image.open(tmp_path / "new" / "fields.png") as picture:
        assert picture.size == (1440, 860) and len(np.unique(np.asarray(picture.convert("L")))) > 100
    record = json.loads((tmp_path / "new" / "fields.json").read_text())
    assert (record["seed"], record["levels"], record["train_steps"]) == (5, 1, 20)
    assert record["plans"]["covariance"]["divergences"][0] <= 3e-4 * (1 + 1e-9)
    assert len(record["rows"]) == 7 and len(record["floor"]) == 5
    for row in record["rows"]:
        assert any(
            row["way"] in line and f"{row['quality']['spectrum']:.3f}" in line for line in result.output.splitlines()
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--fields", 99), "learn from at least 500 fields"),
        (("--fields", 600, "--num", 700), "as many as are drawn (700), got 600"),
        (("--steps", 2), "3 levels need at least as many steps, got 2"),
        (("--threshold", 0), "must be positive"),
        (("--train-steps", 0), "must be positive"),
        (("--num", 3), "Invalid value for '--num'"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(tmp_path, arguments, message):
    result = run("--out", tmp_path / "new", *arguments)
    assert result.exit_code == 2
    said = " ".join(result.output.replace("│", " ").split())
    assert message in said and "Traceback" not in said
    assert not (tmp_path / "new").exists()
