"""The example of a user's own basis: laws and nesting on many graphs, the plan and the samples against exact laws."""

import re
import subprocess
import sys
from itertools import combinations, pairwise
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.sparse.csgraph import shortest_path

from examples.custom_basis import First, Smooth, laplacian, main, road_map, run, statistics, weather
from subspace_sde import VE, Basis, NestedSubspaces, gaussian_divergence, plan
from subspace_sde.statistics import Covariance, accumulate
from subspace_sde.subspaces import Relative
from subspace_sde.testing import check_subspace

SDE = VE()


def town(nodes, seed):
    """What the example makes of it: points, triangles, eigenvalues, eigenvectors."""
    points, triangles = road_map(nodes, seed)
    return (points, triangles, *np.linalg.eigh(laplacian(points, triangles)))


@st.composite
def eigenvectors(draw):
    """Of the Laplacian of any graph: a map's, or one of random weights, connected or not."""
    seed = draw(st.integers(0, 2**32 - 1))
    if draw(st.booleans()):
        return town(draw(st.integers(60, 90)), seed)[3]
    nodes, rng = draw(st.integers(2, 24)), np.random.default_rng(seed)
    weights = np.triu(rng.random((nodes, nodes)) * (rng.random((nodes, nodes)) < draw(st.floats(0, 1))), 1)
    weights = weights + weights.T
    return np.linalg.eigh(np.diag(weights.sum(axis=1)) - weights)[1]


@given(vectors=eigenvectors(), data=st.data())
def test_the_laws_hold_on_any_graph(like, vectors, data):
    d = len(vectors)
    n = data.draw(st.integers(1, d))
    m = data.draw(st.integers(1, n))
    outer, inner = Smooth(vectors, n), Smooth(vectors, m)
    check_subspace(outer, like=like)
    check_subspace(inner, like=like, outer=outer)
    check_subspace(inner.within(outer), like=like)
    check_subspace(outer @ inner.within(outer), like=like)


@given(vectors=eigenvectors(), data=st.data())
def test_one_within_another_is_a_choice_of_coordinates(vectors, data):
    n = data.draw(st.integers(1, len(vectors)))
    m = data.draw(st.integers(1, n))
    outer, inner = Smooth(vectors, n), Smooth(vectors, m)
    step = inner.within(outer)
    assert type(step) is First and (step.ambient_shape, step.shape) == ((n,), (m,))
    for expected in (outer.matrix().T @ inner.matrix(), Relative(outer, inner).matrix(), np.eye(n, m)):
        np.testing.assert_allclose(step.matrix(), expected, atol=1e-13)
    # next to another kind, or with eigenvectors that merely look the same, the general way gives the same
    for other in (Basis(vectors[:, :n]), Smooth(vectors.copy(), n)):
        general = inner.within(other)
        assert type(general) is not First
        np.testing.assert_allclose(general.matrix(), np.eye(n, m), atol=1e-13)


def test_other_maps_do_not_nest():
    one, another = (Smooth(town(60, seed)[3], n) for seed, n in ((0, 30), (1, 10)))
    with pytest.raises(ValueError, match="not nested"):
        another.within(one)
    with pytest.raises(ValueError, match="not nested"):
        NestedSubspaces.from_subspaces([one, another])
    for n in (0, 61):
        with pytest.raises(ValueError):
            Smooth(town(60, 0)[3], n)


@given(nodes=st.integers(60, 130), seed=st.integers(0, 2**32 - 1))
def test_the_roads_lead_around_the_bay(nodes, seed):
    points, triangles, eigenvalues, _ = town(nodes, seed)
    assert points.shape == (nodes, 2) and set(triangles.reshape(-1)) == set(range(nodes))
    matrix = laplacian(points, triangles)
    np.testing.assert_allclose(matrix, matrix.T, atol=0)
    np.testing.assert_allclose(matrix.sum(axis=1), 0, atol=1e-13 * eigenvalues[-1])
    assert abs(eigenvalues[0]) < 1e-12 < 1e-3 < eigenvalues[1]  # a single town
    # the ends face each other over the water, and by road it is at least twice as far
    road = np.where(matrix < 0, np.linalg.norm(points[:, None] - points, axis=-1), 0)
    ends = np.argsort(np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi))[[0, -1]]
    assert shortest_path(road, indices=ends[0])[ends[1]] > 2 * np.linalg.norm(points[ends[0]] - points[ends[1]])


@pytest.mark.parametrize("nodes", [100, 300])
def test_the_weather_is_what_it_says(nodes):
    points, _, eigenvalues, vectors = town(nodes, 0)
    law = weather(points, eigenvalues, vectors)
    around = np.arctan2(points[:, 1], points[:, 0]) % (2 * np.pi)
    powers = []
    for component, end in zip(law.components, (np.argmin(around), np.argmax(around))):
        other = next(e for e in (np.argmin(around), np.argmax(around)) if e != end)
        assert component.mean.max() == pytest.approx(2, rel=1e-12)
        assert component.mean[end] > 1.8 and abs(component.mean[other]) < 0.01  # though near, across the water
        assert np.sqrt(np.trace(component.covariance) / nodes) == pytest.approx(0.6, rel=1e-12)
        power = vectors.T @ component.covariance @ vectors  # a function of the Laplacian: diagonal, falling
        np.testing.assert_allclose(power, np.diag(np.diag(power)), atol=1e-11)
        assert np.all(np.diff(np.diag(power)) < 0)
        powers.append(np.diag(power))
    assert powers[0][-1] > powers[1][-1] and powers[0][0] < powers[1][0]  # the second is the smoother one


def test_statistics_of_exact_draws_have_the_stated_errors():
    points, _, eigenvalues, vectors = town(80, 3)
    law, num, bands = weather(points, eigenvalues, vectors), 100, [slice(0, 5), slice(5, 80)]
    stated = np.asarray([0.5 / sqrt(num), *(sqrt(2 / num / (b.stop - b.start)) for b in bands)])
    sets = []
    for seed in range(100):
        noise = SDE.sigma(0.0) * np.random.default_rng(seed).standard_normal((num, 80))
        sets.append(statistics(law.sample(num, rng=seed) + noise, law, SDE, vectors, bands))
    z = (np.asarray(sets) - [0.5, 1, 1]) / stated
    assert np.all(np.abs(z.mean(axis=0)) < 4 / sqrt(len(sets)))
    assert np.all(np.abs(np.mean(z**2, axis=0) - 1) < 4 * sqrt(2 / len(sets)))


def test_the_plan_is_optimal_and_its_divergences_are_true(capsys):
    nodes, seed, threshold = 80, 2, 3e-3
    best, _ = run(nodes, threshold, 1, seed, None)
    printed = capsys.readouterr().out
    points, _, eigenvalues, vectors = town(nodes, seed)
    data = weather(points, eigenvalues, vectors).sample(4000, rng=seed)

    # D_F of Gaussian data by matrices alone: s + x⊥/Σ⊥ is linear in x
    mean, covariance = data.mean(axis=0), np.cov(data.T, bias=True)
    assert np.allclose(accumulate(Covariance, data).mean, mean)
    for k, (level, t) in enumerate(zip(best.subspaces[1:], best.times)):
        for outer, promised in ((0, best.divergences[k]), (k, best.injections[k])):
            u = best.subspaces[outer].matrix()
            off = u @ u.T - level.matrix() @ level.matrix().T
            lost = best.subspaces[outer].dim - level.dim
            total = np.trace(off @ covariance) / lost + SDE.sigma(t) ** 2
            now = covariance + SDE.sigma(t) ** 2 * np.eye(nodes)
            gap = off @ (np.eye(nodes) / total - np.linalg.inv(now))
            exact = total / lost * np.trace(gap @ now @ gap.T)
            assert promised == pytest.approx(exact, rel=1e-3)  # log D_F is interpolated between 199 times
        assert best.divergences[k] == pytest.approx(threshold, rel=1e-12)
        assert f"{level.dim:10}{t:17.3f}{best.divergences[k]:9.4f}{best.injections[k]:19.4f}" in printed

    # no other pair of the candidates costs less, nor does any single one
    candidates = [Smooth(vectors, n) for n in np.unique(np.geomspace(4, 0.9 * nodes, 30).astype(int)).tolist()]
    curves = gaussian_divergence(accumulate(Covariance, data).gaussian(), SDE, candidates, center=True)
    times = {u.dim: curve.time_at(threshold) for u, curve in zip(candidates, curves)}

    def cost(*dims):
        ends = [0, *(times[n] for n in dims), 1]
        return sum((b - a) * n / nodes for n, (a, b) in zip([nodes, *dims], pairwise(ends)))

    pairs = [pair[::-1] for pair in combinations(times, 2) if times[pair[1]] < times[pair[0]]]
    least = min(cost(*dims) for dims in [*pairs, *((n,) for n in times)])
    assert best.cost == pytest.approx(least, rel=1e-12) and len(best.times) == 2
    assert plan(candidates, curves, threshold, max_levels=1).cost > least


def test_nothing_is_lost_at_the_threshold_and_much_far_above_it(capsys):
    nodes, num = 80, 600
    found = {}
    for threshold in (1e-3, 0.5):
        best, rows = run(nodes, threshold, num, 0, None)
        dims = sorted(level.dim for level in best.subspaces)
        errors = [0.5 / sqrt(num), *(sqrt(2 / num / (b - a)) for a, b in pairwise([0, *dims]))]
        found[threshold] = {name: np.abs(row - [0.5, *([1] * len(dims))]) / errors for name, row in rows.items()}
        used = re.findall(r"(full|staged), (\d+) node evaluations", capsys.readouterr().out)
        assert int(dict(used)["full"]) == 200 * nodes
        assert int(dict(used)["staged"]) == pytest.approx(200 * nodes * best.cost, rel=0.01)  # whole steps
    for row in (*found[1e-3].values(), found[0.5]["full"]):
        assert np.all(row < 4)  # one of these twelve would be further off by chance once in 1300 times
    assert np.max(found[0.5]["staged"]) > 10


def test_the_command_line_draws_and_reports(tmp_path, capsys):
    main(["--nodes", "60", "--num", "3", "--seed", "1", "--out", str(tmp_path / "new")])
    out = capsys.readouterr().out
    assert "of the full space's cost" in out and "staged, " in out and not re.search("nan|inf", out)
    with Image.open(tmp_path / "new" / "custom_basis.png") as picture:
        assert picture.size == (1280, 640)
        assert len(picture.convert("RGB").quantize(256).getcolors()) > 100
    main(["--nodes", "60", "--num", "3", "--seed", "1"])
    assert capsys.readouterr().out == out


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("--nodes 59", "a map with a bay needs at least 60 nodes, got 59"),
        ("--nodes 60 --num 0", "give at least one sample, got 0"),
        ("--nodes 60 --threshold 0", "the threshold must be positive, got 0.0"),
        ("--nodes 60 --threshold 1e-14", "no subspace meets the threshold 1e-14"),
        ("--nodes 60 --seed -1", "non-negative"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments.split())
    *usage, last = capsys.readouterr().err.splitlines()
    assert stopped.value.code == 2 and message in last and usage[0].startswith("usage:")


def test_it_needs_neither_torch_nor_matplotlib():
    code = (
        "import sys; from examples.custom_basis import main; main(['--nodes', '60', '--num', '2']); "
        "assert not {'torch', 'matplotlib', 'typer'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
