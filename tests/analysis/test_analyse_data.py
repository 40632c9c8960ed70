"""`analyse`: every figure of the table against an independent computation on the same images."""

import tracemalloc

import numpy as np
import pytest
from scipy.fft import dctn, idctn

from subspace_sde import (
    EDM,
    VE,
    VP,
    Downsampling,
    Identity,
    LowPass,
    SubspaceSDE,
    Wavelet,
    gaussian_divergence,
    patch_pca,
    pca,
    plan,
    rmsd,
)
from subspace_sde.analysis import analyse, candidate_subspaces, subspace_named
from subspace_sde.analysis import moments as module
from subspace_sde.images import Images, to_unit
from subspace_sde.oracles import DCTGaussian, Gaussian
from subspace_sde.specification import specify


def smooth(num, h, w, seed=0):
    """Images whose power falls with the square of the frequency, about a mean that is not constant."""
    rng = np.random.default_rng(seed)
    decay = 1 / (1 + np.add.outer(np.arange(h) ** 2 / h, np.arange(w) ** 2 / w))
    x = idctn(rng.standard_normal((num, 3, h, w)) * decay, axes=(-2, -1), norm="ortho")
    x = 0.5 + 0.2 * x / x.std() + 0.1 * np.linspace(-1, 1, w)
    return Images("smooth", np.clip(255 * x[1:], 0, 255).astype(np.uint8), np.zeros((1, 3, h, w), dtype=np.uint8))


@pytest.fixture(scope="module")
def dense():
    """300 training images of 96 numbers, with what was found: the covariance is used."""
    images = smooth(301, 4, 8)
    return images, analyse(images, ["lowpass:3", "haar:2"], multiple_of=1)


@pytest.fixture(scope="module")
def sparse():
    """Twenty images of 16 × 16: far too few for a covariance."""
    images = smooth(21, 16, 16)
    return images, analyse(images, ["lowpass:5"])


def rows(found):
    return {row.name: row for row in found.rows}


def test_which_gaussian_stands_for_the_images(dense, sparse):
    assert [found.model for _, found in (dense, sparse)] == ["covariance", "power spectrum"]
    assert [found.count for _, found in (dense, sparse)] == [300, 20]


def test_the_rows(dense, sparse):
    names = [row.name for row in dense[1].rows]
    assert {"lowpass:2", "downsampling:2", "db2:2", "patch-pca:2", "pca:2", "lowpass:3", "haar:2"} <= set(names)
    dims = [row.subspace.dim for row in dense[1].rows]
    assert dims == sorted(dims, reverse=True) and len(set(names)) == len(names)
    assert rows(dense[1])["pca:2"].subspace.dim == rows(dense[1])["lowpass:2"].subspace.dim == 24
    few = rows(sparse[1])
    assert few["pca:8"].subspace is None and few["pca:8"].note == "needs at least 1536 samples, here are 20"
    assert few["patch-pca:8"].t is not None and few["lowpass:5"].subspace.shape == (3, 5, 5)


# the covariance is multiplied in float32 (eps 1e-7), and the complements hold a tenth of the energy or less
@pytest.mark.parametrize(("case", "rel"), [("dense", 1e-5), ("sparse", 1e-9)])
def test_distances_are_those_of_rmsd(case, rel, request):
    images, found = request.getfixturevalue(case)
    x = to_unit(images.train).astype(np.float64)
    checked = [row for row in found.rows if row.subspace is not None]
    assert len(checked) > 8
    for row in checked:
        expected = tuple(rmsd(row.subspace, x, center) for center in (False, True))
        assert row.rmsd == pytest.approx(expected, rel=rel), row.name


def law_of(images, model):
    x = to_unit(images.train).astype(np.float64)
    if model == "covariance":
        return Gaussian(x.mean(axis=0), np.cov(x.reshape(len(x), -1).T, bias=True))
    return DCTGaussian(x.mean(axis=0), dctn(x, axes=(1, 2, 3), norm="ortho").var(axis=0))


@pytest.mark.parametrize("case", ["dense", "sparse"])
def test_divergences_are_those_of_the_gaussian_of_the_images(case, request):
    images, found = request.getfixturevalue(case)
    law = law_of(images, found.model)
    for row in found.rows:
        if row.subspace is not None:
            same = gaussian_divergence(law, found.sde, [row.subspace], row.curve.times)[0]
            np.testing.assert_allclose(row.curve.values, same.values, rtol=1e-4, atol=1e-12, err_msg=row.name)
            finer = gaussian_divergence(law, found.sde, [row.subspace])[0]
            assert row.t == pytest.approx(finer.time_at(found.threshold), abs=1e-3), row.name
            assert row.curve.at(row.t) == pytest.approx(found.threshold, rel=1e-9)


@pytest.mark.parametrize("case", ["dense", "sparse"])
def test_power_is_that_of_the_dct(case, request):
    images, found = request.getfixturevalue(case)
    expected = dctn(to_unit(images.train).astype(np.float64), axes=(1, 2, 3), norm="ortho").var(axis=0)
    np.testing.assert_allclose(found.power, expected, rtol=1e-5, atol=1e-8)


def test_principal_components_are_those_of_the_images(dense):
    images, found = dense
    x, table = to_unit(images.train).astype(np.float64), rows(found)
    for name, expected in (("pca:2", pca(x, 24)), ("pca:1", pca(x, 6)), ("patch-pca:2", patch_pca(x, 2, 3))):
        np.testing.assert_allclose(table[name].subspace.project(x[:5]), expected.project(x[:5]), atol=1e-4)


@pytest.mark.parametrize("sde", [VE(0.01, 50.0), EDM(), VP()])
def test_costs_are_those_of_plans(sde):
    """Of one level each, whatever the grid of the SDE; and the table names every level of the plans."""
    images = smooth(40, 8, 8)
    found = analyse(images, sde=sde, multiple_of=2, price=0.01)
    image_shaped = {}
    for row in found.rows:
        if row.subspace is None:
            continue
        assert row.cost == pytest.approx(plan([row.subspace], [row.curve], found.threshold).cost, rel=1e-12), row.name
        if row.name.partition(":")[0] not in ("pca", "patch-pca") and not any(n % 2 for n in row.subspace.shape[1:]):
            image_shaped[row.name] = row
    first = found.by_levels[0]
    assert first.cost == pytest.approx(min(row.cost for row in image_shaped.values()), rel=1e-12)
    for best in (found.plan, *found.by_levels):
        for name, level, t in zip(found.names(best), best.subspaces[1:], best.times):
            row = rows(found)[name]
            assert (row.t, row.subspace.shape) == (t, level.shape)
            x = to_unit(images.train[:2])
            np.testing.assert_allclose(level.project(x), row.subspace.project(x), atol=1e-6)
        assert found.plan.cost + 0.01 * len(found.plan.times) <= best.cost + 0.01 * len(best.times) + 1e-12
    assert [p.cost for p in found.by_levels] == sorted((p.cost for p in found.by_levels), reverse=True)
    assert SubspaceSDE.fit(found.plan.sde, found.plan.subspaces, found.plan.times, to_unit(images.train)).times


def test_levels_that_may_be_used_from_the_start_keep_their_names():
    """At so high a threshold all subspaces of one shape may be used from the same time on."""
    images = smooth(400, 8, 8)
    found = analyse(images, threshold=1000.0)
    for best in (found.plan, *found.by_levels):
        assert best.times
        for name, level in zip(found.names(best), best.subspaces[1:], strict=True):
            expected = candidate_subspaces(images.shape, 4)[name]
            x = to_unit(images.train[:2]).astype(np.float64)
            np.testing.assert_allclose(level.project(x), expected.project(x), atol=1e-12)
            assert name in rows(found)


def test_no_candidate_makes_a_better_plan(dense):
    """`plan`, given all of them."""
    images, found = dense
    given = list(candidate_subspaces(images.shape, 1).values())
    curves = gaussian_divergence(law_of(images, "covariance"), found.sde, given, found.rows[0].curve.times)
    for k, best in enumerate(found.by_levels, start=1):
        assert best.cost == pytest.approx(plan(given, curves, found.threshold, max_levels=k).cost, abs=1e-4)


def test_costs_against_thresholds(dense):
    images, found = dense
    assert found.thresholds[4] == pytest.approx(3e-3)
    for k, best in enumerate(found.by_levels, start=1):
        costs = found.costs[f"K = {k}"]
        assert costs[4] == pytest.approx(best.cost, rel=1e-9)
        assert list(costs) == sorted(costs, reverse=True)
    strict = analyse(images, threshold=1e-3, multiple_of=1)
    assert strict.plan.cost > found.plan.cost and strict.by_levels[0].times > found.by_levels[0].times


def test_the_answer_in_words(dense):
    images, found = dense
    text = found.summary()
    for name, t in zip(found.names(found.plan), found.plan.times):
        assert f"{name} from t = {t:.3f} (noise {found.sde.sigma(t):.2g})" in text
    assert text.endswith(f"{100 * found.plan.cost:.0f}% of the full model's pixels.")
    for nothing in ({"max_levels": 0}, {"price": 1.0}):
        none = analyse(images, multiple_of=1, **nothing)
        assert none.summary() == "No further level pays: stay in the full space." and none.plan.cost == 1
    assert analyse(images, multiple_of=1, max_levels=0).costs == {}


def test_the_same_images_give_the_same_answer(sparse):
    images, found = sparse
    again = analyse(images, ["lowpass:5"])
    assert [(r.name, r.rmsd, r.t, r.cost, r.note) for r in again.rows] == [
        (r.name, r.rmsd, r.t, r.cost, r.note) for r in found.rows
    ]
    assert specify(again.plan.subspaces) == specify(found.plan.subspaces) and again.costs == found.costs


@pytest.mark.parametrize(("h", "w"), [(4, 4), (5, 7), (2, 3), (32, 48)])
def test_any_size(h, w):
    """Small, odd and rectangular: what divides is there, and a low-pass always."""
    images = smooth(30, h, w)
    found = analyse(images, multiple_of=1)
    table = rows(found)
    half = min(h, w) // 2
    assert table[f"lowpass:{half}"].subspace.shape == (3, *(round(half * n / min(h, w)) for n in (h, w)))
    assert (f"downsampling:{half}" in table) == (h % 2 == w % 2 == 0)
    x = to_unit(images.train).astype(np.float64)
    assert table[f"lowpass:{half}"].rmsd[0] == pytest.approx(rmsd(table[f"lowpass:{half}"].subspace, x), rel=1e-9)
    assert 0 < found.plan.cost < 1


def test_large_images_take_little_memory():
    """3 × 256 × 256: a covariance would have 309 GB."""
    images = smooth(12, 256, 256)
    tracemalloc.start()
    found = analyse(images, max_levels=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.model == "power spectrum" and peak < 2**29
    table, x = rows(found), to_unit(images.train).astype(np.float64)
    assert table["lowpass:64"].rmsd[1] == pytest.approx(rmsd(table["lowpass:64"].subspace, x, True), rel=1e-9)
    assert table["downsampling:64"].rmsd[1] == pytest.approx(rmsd(Downsampling((3, 256, 256), 4), x, True), rel=1e-9)
    assert table["lowpass:64"].t < table["patch-pca:64"].t < 1
    assert table["pca:64"].note == "takes samples of at most 4096 numbers, these have 196608"


def test_of_very_many_images_some_are_used(monkeypatch):
    images = smooth(100, 8, 8)
    monkeypatch.setattr(module, "_NUMBERS", {"covariance": 2**28, "power spectrum": 40 * 3 * 64})
    found = analyse(images, multiple_of=2)
    assert found.count == 40
    some = Images("some", images.train[np.linspace(0, 98, 40).round().astype(int)], images.held_out)
    same = rows(analyse(some, multiple_of=2))["db2:4"].rmsd
    assert rows(found)["db2:4"].rmsd == pytest.approx(same, rel=1e-12)


def test_images_that_vary_in_few_directions():
    """Of one brightness each: no principal components beyond the first."""
    levels = np.random.default_rng(0).integers(0, 256, (100, 1, 1, 1)).astype(np.uint8)
    found = analyse(Images("grey", np.broadcast_to(levels, (100, 3, 4, 4)).copy(), levels), multiple_of=1)
    assert found.model == "covariance"
    assert rows(found)["pca:2"].note == "the samples vary in fewer than 12 directions"
    assert rows(found)["patch-pca:2"].note == "the data vary in 1 directions alone, not 3"


def test_images_that_lie_in_a_subspace():
    pixels = np.kron(np.random.default_rng(0).integers(0, 256, (180, 3, 4, 4)), np.ones((4, 4))).astype(np.uint8)
    found = analyse(Images("blocks", pixels, pixels[:2]), ["downsampling:4"])
    assert max(rows(found)["downsampling:4"].rmsd) < 1e-6


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("full", Identity((3, 32, 48))),
        ("lowpass:20", LowPass((3, 32, 48), (20, 30))),
        ("lowpass:5", LowPass((3, 32, 48), (5, 8))),
        ("downsampling:8", Downsampling((3, 32, 48), 4)),
        ("sym4:8", Wavelet((3, 32, 48), "sym4", 2)),
    ],
)
def test_names(name, expected):
    assert specify(subspace_named(name, (3, 32, 48))) == specify(expected)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("blur:3", "unknown level 'blur:3'"),
        ("lowpass", "unknown level"),
        ("lowpass:0", "unknown level"),
        ("lowpass:-4", "unknown level"),
        ("lowpass:²", "unknown level"),
        ("full:3", "unknown level"),
        ("pca:8", "unknown level"),
        ("lowpass:32", "no smaller image: the short edge of these has 32 pixels"),
        ("downsampling:5", "5 does not divide"),
        ("bior2.2:16", "biorthogonal"),
    ],
)
def test_names_that_mean_nothing(name, message):
    with pytest.raises(ValueError, match=message):
        subspace_named(name, (3, 32, 48))


def test_a_wavelet_only_halves():
    with pytest.raises(ValueError, match="96 / 4 = 24 is no power of two"):
        subspace_named("db2:4", (3, 96, 96))
    with pytest.raises(ValueError, match="fewer levels or a shorter wavelet"):
        subspace_named("db8:3", (3, 96, 96))


def test_candidates_have_edges_that_a_network_can_halve():
    for shape, multiple in (((3, 32, 48), 4), ((3, 36, 24), 4), ((3, 256, 256), 16), ((3, 9, 9), 3)):
        found = candidate_subspaces(shape, multiple)
        assert found and not any(n % multiple for u in found.values() for n in u.shape[1:])
        assert all(u.dim < u.ambient_dim for u in found.values())
    assert [n for n in candidate_subspaces((3, 32, 32), 4) if n.startswith("low")] == [
        f"lowpass:{4 * n}" for n in range(1, 8)
    ]
    assert len(candidate_subspaces((3, 1024, 1024), 4)) < 60


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": 0.0}, "threshold must be positive, got 0.0"),
        ({"threshold": float("nan")}, "threshold must be positive"),
        ({"threshold": float("inf")}, "threshold must be positive"),
        ({"threshold": 1e-30}, r"no subspace meets the threshold 1e-30: the smallest D_F reached is \d"),
        ({"max_levels": -1}, "max_levels must be at least 0, got -1"),
        ({"multiple_of": 0}, "multiple_of must be at least 1"),
        ({"multiple_of": 64}, "arrays of 16 × 16 have no smaller size whose edges are multiples of 64: give a smaller"),
        ({"price": -0.1}, r"price must be at least 0, got -0\.1"),
        ({"price": float("nan")}, "price must be at least 0"),
        ({"names": ["blur:3"]}, "unknown level"),
    ],
)
def test_refusals(changes, message):
    with pytest.raises(ValueError, match=message):
        analyse(smooth(8, 16, 16), **changes)


def test_images_without_variation_are_refused():
    same = np.full((20, 3, 8, 8), 7, dtype=np.uint8)
    with pytest.raises(ValueError, match="the 20 samples of grey are all alike"):
        analyse(Images("grey", same, same[:1]))
    with pytest.raises(ValueError, match="one image beside the one held out"):
        analyse(Images("one", same[:1], same[:1]))
    same[3, 0, 0, 0] = 8  # a single pixel of a single image is enough
    assert analyse(Images("almost", same, same[:1])).rows
    with pytest.raises(ValueError, match="the images of smooth have one pixel each: there is no smaller size"):
        analyse(smooth(20, 1, 1))
    assert analyse(smooth(20, 1, 9), multiple_of=1).plan.subspaces[1].shape[:2] == (3, 1)
