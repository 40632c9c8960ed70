"""The data's part of eq. 9 and Table 1's RMSD, against one-pass float64 computations with matrices and closed forms."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from subspace_sde import VE, Basis, Downsampling, LowPass, NestedSubspaces, SubspaceSDE, rmsd
from subspace_sde.statistics import ComplementMoments, complement_moments
from subspace_sde.statistics.complement import combined_variance

NESTED = [
    NestedSubspaces([Downsampling((6,), 2, axes=(-1,))]),
    NestedSubspaces([LowPass((7,), 5, axes=(-1,)), LowPass((5,), 2, axes=(-1,)), LowPass((2,), 1, axes=(-1,))]),
    NestedSubspaces([Downsampling((3, 4, 6), 2), LowPass((3, 2, 3), (2, 1), axes=(0, -1))]),
    NestedSubspaces([Basis.spanning(np.random.default_rng(0).standard_normal((10, 4)), (2, 5), (4,))]),
]
REFUSED = r"hold NaN or infinity, among the samples 3 to 5"


def by_matrices(nested, x, center):
    """E‖x⊥_{k|k-1}‖²/(n_{k-1} − n_k) from the whole data set at once, with P = UUᵀ as matrices."""
    x = x.reshape(-1, nested[0].dim)
    x = x - x.mean(0) if center else x
    p = [level.matrix() @ level.matrix().T for level in nested]
    dims = [level.dim for level in nested]
    return [
        np.sum((x @ (outer - inner)) ** 2) / len(x) / (n - m) for outer, inner, n, m in zip(p, p[1:], dims, dims[1:])
    ]


@pytest.mark.parametrize("nested", NESTED)
@settings(max_examples=6)
@given(
    cuts=st.lists(st.integers(0, 37), max_size=6),
    offset=st.sampled_from([0.0, 3.0, 2.0**14]),
    seed=st.integers(0, 99),
)
def test_any_split_into_batches_gives_the_one_pass_figures(nested, like, array, host, eps, cuts, offset, seed):
    rng = np.random.default_rng(seed)
    direction = rng.standard_normal(nested.ambient_shape)
    x = array(rng.standard_normal((37, *nested.ambient_shape)) + offset * direction)
    exact = host(x)  # what float32 data hold, not what they were rounded from
    ends = [0, *sorted(cuts), 37]
    moments = ComplementMoments(nested)
    for a, b in zip(ends, ends[1:]):
        assert moments.update(x[a:b]) is moments
    assert moments.count == 37
    np.testing.assert_allclose(moments.mean, exact.mean(0), rtol=1e-13, atol=1e-13 * max(offset, 1))
    # about the mean nothing is lost to the offset: errors are eps · offset of each number, not eps · offset²
    np.testing.assert_allclose(moments.variances(True), by_matrices(nested, exact, True), rtol=1e-14 * max(offset, 100))
    np.testing.assert_allclose(moments.variances(False), by_matrices(nested, exact, False), rtol=1e-11)


def test_leading_axes_generators_and_arrays_are_the_same_data():
    nested = NESTED[2]
    x = np.random.default_rng(1).standard_normal((600, *nested.ambient_shape)).astype(np.float32)  # more than a batch
    whole = complement_moments(nested, x)
    for other in (
        complement_moments(nested, (x[i : i + 70] for i in range(0, 600, 70))),
        complement_moments(nested, [x[:1], x[1:1], x[1:]]),
        complement_moments(nested, x.reshape(20, 30, *nested.ambient_shape)),
        complement_moments(nested, list(x)),  # single samples
    ):
        assert other.count == 600
        np.testing.assert_allclose(other.mean, whole.mean, rtol=0, atol=1e-14)
        np.testing.assert_allclose(other.variances(True), whole.variances(True), rtol=1e-13)
        np.testing.assert_allclose(other.variances(), whole.variances(), rtol=1e-13)


def test_the_mean_is_a_copy():
    moments = complement_moments(NESTED[0], np.ones((2, 6)))
    moments.mean[:] = 5
    np.testing.assert_array_equal(moments.mean, np.ones(6))


@pytest.mark.parametrize("subspace", [nested[1] for nested in NESTED])
def test_rmsd_is_the_distance_per_dimension(subspace, like, array, host, eps):
    x = array(np.random.default_rng(2).standard_normal((41, *subspace.ambient_shape)) + 1.5)
    flat = host(x).reshape(41, -1)
    basis = subspace.matrix()
    for center in (False, True):
        y = flat - flat.mean(0) if center else flat
        # the least-squares distance to the span, which knows nothing of `reject`
        distance = y.T - basis @ np.linalg.lstsq(basis, y.T, rcond=None)[0]
        expected = math.sqrt(np.sum(distance**2) / 41 / (subspace.ambient_dim - subspace.dim))
        assert rmsd(subspace, x, center=center) == pytest.approx(expected, rel=1e-12)
    assert type(rmsd(subspace, x)) is float


def test_data_in_the_subspace_have_no_distance_and_data_at_right_angles_have_all():
    subspace = NESTED[2][1]
    z = np.random.default_rng(3).standard_normal((20, *subspace.shape))
    inside = subspace.embed(z)
    assert rmsd(subspace, inside) < 1e-15
    outside = subspace.reject(np.random.default_rng(4).standard_normal((20, *subspace.ambient_shape)))
    n = subspace.ambient_dim - subspace.dim
    assert rmsd(subspace, inside + outside) == pytest.approx(math.sqrt(np.sum(outside**2) / 20 / n), rel=1e-13)


@pytest.mark.parametrize("center", [False, True])
def test_eq_9_of_a_gaussian_against_its_closed_form_by_monte_carlo(center):
    # E‖P⊥x‖² = tr(P⊥C) + ‖P⊥μ‖², and the variance of ‖P⊥x‖² is 2 tr((P⊥C)²) + 4 μᵀP⊥CP⊥μ
    nested, rng = NESTED[2], np.random.default_rng(5)
    d, n = nested[0].dim, 20_000
    root = rng.standard_normal((d, d)) / math.sqrt(d)
    mean = rng.standard_normal(d)
    x = (rng.standard_normal((n, d)) @ root.T + mean).reshape(n, *nested.ambient_shape)
    process = SubspaceSDE.fit(VE(), nested, [0.3, 0.6], x, center=center)
    projections = [level.matrix() @ level.matrix().T for level in nested]
    for k in (1, 2):
        off = projections[k - 1] - projections[k]
        c, mu = off @ root @ root.T @ off, off @ mean * (not center)
        dims = nested[k - 1].dim - nested[k].dim
        expected = (np.trace(c) + mu @ mu) / dims
        stderr = math.sqrt((2 * np.sum(c * c) + 4 * mu @ c @ mu) / n) / dims
        assert abs(process.complement_variances[k - 1] - expected) < 4 * stderr + expected / n
        assert stderr < 0.01 * expected  # the comparison says something
        # and eq. 9 itself, where α and σ come in: the energy of x⊥(t) on the same data
        t = 0.5
        sigma = VE().sigma(t)
        xt = (x - (process.mean if center else 0)).reshape(n, d) + sigma * rng.standard_normal((n, d))
        energies = np.sum((xt @ off) ** 2, axis=1) / dims
        assert abs(process.complement_variance(k, t) - energies.mean()) < 4 * energies.std() / math.sqrt(n)


def test_variances_of_several_steps_are_weighed_by_their_dimensions():
    nested = NESTED[1]  # 7 ⊃ 5 ⊃ 2 ⊃ 1
    x = np.random.default_rng(6).standard_normal((50, 7))
    variances = complement_moments(nested, x).variances()
    for base in range(3):
        for k in range(base + 1, 4):
            off = nested.between(base, k)
            direct = np.sum(off.reject(nested[base].restrict(x)) ** 2) / 50 / (off.ambient_dim - off.dim)
            assert combined_variance(variances, nested, base, k) == pytest.approx(direct, rel=1e-13)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_bad_numbers_are_named_and_nothing_is_taken_in(like, array, host, eps, value):
    nested, rng = NESTED[0], np.random.default_rng(7)
    good = array(rng.standard_normal((3, 6)))
    moments = ComplementMoments(nested).update(good)
    before = moments.count, moments.mean, moments.variances(), moments.variances(True)
    bad = rng.standard_normal((3, 6))
    bad[1, 4] = value
    with pytest.raises(ValueError, match=REFUSED), np.errstate(invalid="ignore"):
        moments.update(array(bad))
    after = moments.count, moments.mean, moments.variances(), moments.variances(True)
    assert after[0] == before[0] and after[2:] == before[2:]
    np.testing.assert_array_equal(after[1], before[1])


def test_what_is_no_data_is_refused():
    nested = NESTED[2]
    for integers in (np.zeros((5, 3, 4, 6), dtype=np.uint8), torch.zeros((5, 3, 4, 6), dtype=torch.int64)):
        with pytest.raises(ValueError, match=r"floating-point numbers, got .*int.*pixels to \[0, 1\]"):
            complement_moments(nested, integers)
    with pytest.raises(ValueError, match=r"takes trailing shape \(3, 4, 6\), got \(3, 2, 3\)"):
        complement_moments(nested, np.zeros((5, 3, 2, 3)))
    with pytest.raises(TypeError, match="data must be an array"):
        complement_moments(nested, 3.0)
    with pytest.raises(TypeError, match=r"must be one array, got list"):
        complement_moments(nested, [[1.0, 2.0]])
    for empty in (np.zeros((0, 3, 4, 6)), [], iter(())):
        with pytest.raises(ValueError, match="no data"):
            complement_moments(nested, empty)
    with pytest.raises(ValueError, match="no data"):
        rmsd(nested[1], np.zeros((0, 3, 4, 6)))
    for figure in (lambda m: m.mean, lambda m: m.variances()):
        with pytest.raises(ValueError, match="no data"):
            figure(ComplementMoments(nested))
