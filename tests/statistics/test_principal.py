"""PCA and Patch-PCA against numpy's SVD, scikit-learn's residuals, and the laws that make them principal."""

import re

import numpy as np
import pytest
from sklearn.decomposition import PCA

from subspace_sde import NestedSubspaces, PatchBasis, patch_pca, pca, randomised_pca, rmsd
from subspace_sde.statistics import Covariance, PatchCovariance
from subspace_sde.testing import check_subspace

SHAPE = (2, 4, 6)


def data(seed=0, n=200, mean=2.0):
    rng = np.random.default_rng(seed)
    spread = 0.9 ** np.arange(48)[:, None] * np.linalg.qr(rng.standard_normal((48, 48)))[0]
    return mean + (rng.standard_normal((n, 48)) @ spread).reshape(n, *SHAPE)


def span(x, n, center):
    y = x.reshape(len(x), -1)
    return np.linalg.svd(y - y.mean(axis=0) if center else y, full_matrices=False)[2][:n].T


def distance(u, v):
    """Sine of the largest angle between two spans."""
    return np.linalg.norm(u - v @ (v.T @ u), ord=2)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("n", [1, 5, 47, 48])
def test_pca_spans_what_the_svd_does(like, eps, array, center, n):
    x = data()
    basis = pca(array(x), n, center=center)
    exact = span(x, n, center)
    assert basis.ambient_shape == SHAPE and basis.shape == (n,)
    # Davis and Kahan: 48 roundings of the size of the largest eigenvalue, over the gap behind the n-th one
    values = np.linalg.svd(x.reshape(200, -1) - center * x.reshape(200, -1).mean(axis=0), compute_uv=False) ** 2
    gap = values[n - 1] - (values[n] if n < 48 else 0.0)
    assert distance(basis.matrix(), exact) < 48 * eps * values[0] / gap
    check_subspace(basis, like)
    # column by column: the directions come in order, each with its largest entry positive
    first = basis.matrix()[:, 0]
    assert abs(first @ exact[:, 0]) > 1 - 1e3 * eps and first[np.argmax(np.abs(first))] > 0


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("count", [9, 24, 25])
def test_few_samples_of_many_numbers_have_the_components_of_their_covariance(count, center, array, host, eps):
    x = data(3, count)
    moments = Covariance(SHAPE).update(x)
    for n in (1, count - 1):
        found, expected = pca(array(x), n, center=center), pca(moments, n, center=center)
        assert found.ambient_shape == SHAPE and found.shape == (n,)
        values = np.linalg.svd((x - center * x.mean(axis=0)).reshape(count, -1), compute_uv=False) ** 2
        gap = values[n - 1] - (values[n] if n < len(values) else 0.0)
        assert distance(found.matrix(), expected.matrix()) < 480 * eps * values[0] / gap
    with pytest.raises(ValueError, match=f"{count} samples determine at most"):
        pca(array(x), count + 1, center=center)
    with pytest.raises(ValueError, match=r"the data (vary in|fill) 3 directions alone, not 5"):
        pca(array(x[:, 0, 0, :3] @ np.eye(3, 60)), 5, center=center)


def test_sounds_have_components_without_a_matrix_of_their_length():
    x = np.random.default_rng(0).standard_normal((12, 1, 20_000)).astype(np.float32)
    basis = pca(x, 11)  # a covariance would take 3 GB
    assert rmsd(basis, x - x.mean(axis=0)) < 1e-6 and basis.ambient_shape == (1, 20_000)


def test_ranks_nest():
    x = Covariance(SHAPE).update(data())
    NestedSubspaces.from_subspaces([pca(x, 20), pca(x, 7), pca(x, 1)])


@pytest.mark.parametrize("center", [True, False])
def test_residuals_are_those_of_scikit_learn(center):
    x = data()
    if center:
        model = PCA(6, svd_solver="full").fit(x.reshape(200, -1))
        lost = np.mean(
            np.sum((x.reshape(200, -1) - model.inverse_transform(model.transform(x.reshape(200, -1)))) ** 2, 1)
        )
    else:
        lost = np.sum(np.linalg.svd(x.reshape(200, -1), compute_uv=False)[6:] ** 2) / 200
    assert rmsd(pca(x, 6, center=center), x, center=center) == pytest.approx((lost / 42) ** 0.5, rel=1e-10)


def test_no_basis_of_that_size_is_nearer():
    x = data()
    best = rmsd(pca(x, 4), x, center=True)
    for seed in range(20):
        other = PatchBasis(
            (1, 1, 48), (1, 1, 48), np.linalg.qr(np.random.default_rng(seed).standard_normal((48, 4)))[0]
        )
        assert best < rmsd(other, x.reshape(200, 1, 1, 48), center=True)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(("patch", "numbers"), [(2, 8), ((2, 3), 12), ((4, 6), 48), ((1, 2, 3), 6), ((2,), 16)])
def test_patch_pca_is_the_pca_of_the_patches(array, host, eps, patch, numbers, center):
    x = data()
    found = patch_pca(array(x), patch, 3, center=center)
    edges = found.patch
    lead = SHAPE[: 3 - len(edges)]
    grid = [n // p for n, p in zip(SHAPE[len(lead) :], edges)]
    cut = np.stack(
        [
            x[(slice(None), *(slice(None) for _ in lead), *(slice(i * p, i * p + p) for i, p in zip(at, edges)))]
            for at in np.ndindex(*grid)
        ]
    ).reshape(-1, numbers)
    exact = span(cut, 3, center)
    assert found.shape == (3, *grid)
    assert distance(found._u.value, exact) < 1e4 * eps


def test_the_whole_image_as_one_patch_is_pca():
    x = data()
    whole, one = pca(x, 5), patch_pca(x, SHAPE, 5)
    np.testing.assert_allclose(one.project(x), whole.project(x), atol=1e-9)


@pytest.mark.parametrize("center", [True, False])
def test_randomised_pca_captures_what_the_exact_one_does(array, eps, center):
    """The energy that it misses, relative to what the exact one leaves, and in batches as in one array."""
    x = data()
    exact = pca(x, 5, center=center)
    batches = [array(x[i : i + 33]) for i in range(0, 200, 33)]
    found = randomised_pca(batches, 5, center=center)
    assert rmsd(found, x, center) / rmsd(exact, x, center) - 1 < 1e-6 + 10 * eps
    # without any power iteration but the first it misses more: the passes do something
    poor = randomised_pca(x, 5, center=center, passes=2, oversampling=0)
    assert rmsd(poor, x, center) > rmsd(found, x, center)


def test_randomised_pca_needs_no_covariance():
    """5 directions of 200,000 dimensions: d × d numbers would be 320 GB."""
    rng = np.random.default_rng(0)
    hidden = np.linalg.qr(rng.standard_normal((200_000, 5)))[0]
    x = (rng.standard_normal((40, 5)) * [5, 4, 3, 2, 1]) @ hidden.T * 10
    found = randomised_pca(x, 5, center=False)
    assert distance(hidden, found.matrix()) < 1e-8


@pytest.mark.parametrize("function", [pca, randomised_pca, lambda x, n, **k: patch_pca(x, SHAPE, n, **k)])
def test_refusals(function):
    x = data()
    with pytest.raises(ValueError, match="7 samples determine at most 6 directions about their mean, not 7"):
        function(x[:7], 7)
    assert function(x[:7], 7, center=False).dim == 7
    with pytest.raises(ValueError, match="1 samples determine at most 0 directions"):
        function(x[:1], 1)
    with pytest.raises(ValueError, match="the data vary in 0 directions alone, not 2"):
        function(np.ones((20, *SHAPE)), 2)
    with pytest.raises(ValueError, match="the data vary in 0 directions alone, not 1"):
        function(np.full((1001, *SHAPE), 0.1), 1)
    with pytest.raises(ValueError, match="the data vary in 3 directions alone, not 4"):
        function(x[:4][np.arange(40) % 4] + 0.0, 4)
    with pytest.raises(ValueError, match="49 components of data that have 48 dimensions"):
        function(x, 49)
    with pytest.raises(ValueError, match="n_components must hold positive integers"):
        function(x, 0)
    with pytest.raises(ValueError, match="no data"):
        function([], 2)


def test_a_single_number_is_no_data():
    for function in (pca, randomised_pca):
        with pytest.raises(ValueError, match=r"data are an array \(N, \*shape\) or .*, got a single number"):
            function(np.ones(()), 1)


def test_refusals_of_randomised_pca():
    with pytest.raises(ValueError, match="oversampling must not be negative, got -3"):
        randomised_pca(np.random.default_rng(0).standard_normal((20, 5)), 4, oversampling=-3)
    with pytest.raises(ValueError, match="reads the data several times"):
        randomised_pca(iter([data()]), 2)
    with pytest.raises(ValueError, match=re.escape("at least 2 passes over the data, got 1")):
        randomised_pca(data(), 2, passes=1)


def test_statistics_serve_as_data():
    x = data()
    np.testing.assert_array_equal(pca(Covariance(SHAPE).update(x), 3).matrix(), pca(x, 3).matrix())
    patches = PatchCovariance(SHAPE, 2).update(x)
    np.testing.assert_array_equal(patch_pca(patches, 2, 3)._u.value, patch_pca(x, 2, 3)._u.value)
    with pytest.raises(ValueError, match=r"statistics of patches of \(2, 2\), not of \(2, 3\)"):
        patch_pca(patches, (2, 3), 3)


def test_small_deviations_from_a_large_mean_are_directions_too():
    # σ = 10⁻⁴ about 10⁶: far above the rounding of the data, 10⁻¹⁰, though σ² lies below that of the mean's square
    rng = np.random.default_rng(12)
    u = np.linalg.qr(rng.standard_normal((6, 2)))[0]
    x = 1e6 + 1e-4 * rng.standard_normal((200, 2)) @ u.T
    found = pca(x, 2).matrix()
    np.testing.assert_allclose(found @ found.T, u @ u.T, atol=1e-5)
