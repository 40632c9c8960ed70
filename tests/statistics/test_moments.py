"""Streaming statistics against numpy in one go: any batches, any order, merged, reduced, of any library."""

import pickle
import subprocess
import sys
from pathlib import Path

import dask.array
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import dctn

from subspace_sde import Downsampling, LowPass, NestedSubspaces, PatchBasis
from subspace_sde.statistics import (
    ComplementEnergies,
    ComplementMoments,
    Covariance,
    PatchCovariance,
    PowerSpectrum,
    accumulate,
)

SHAPE = (2, 4, 6)
LEVELS = [Downsampling(SHAPE, 2), LowPass(SHAPE, (2, 3))]
NESTED = NestedSubspaces([LowPass(SHAPE, (3, 5)), LowPass((2, 3, 5), (1, 2))])


def flat(x):
    return x.reshape(len(x), -1)


def patches_of(x):
    """Every 2×2 patch of all channels, by slicing."""
    cut = [x[:, :, i : i + 2, j : j + 2].reshape(len(x), -1) for i in range(0, 4, 2) for j in range(0, 6, 2)]
    return np.concatenate(cut)


def second_moment(y, center):
    y = y - y.mean(axis=0) if center else y
    return y.T @ y / len(y)


def energies(x, levels, center):
    x = x - x.mean(axis=0) if center else x
    return [np.mean(np.sum(flat(u.reject(x)) ** 2, axis=1)) for u in levels]


def step_energies(x, center):
    whole, *outer = [flat(u.reject(x - x.mean(axis=0) if center else x)) for u in NESTED]
    return [0.0, *np.diff([np.mean(np.sum(y**2, axis=1)) for y in (whole, *outer)])]


# each accumulator, and the same figure computed in one go by other means
KINDS = {
    "Covariance": (lambda: Covariance(SHAPE), lambda x, center: second_moment(flat(x), center)),
    "PatchCovariance": (lambda: PatchCovariance(SHAPE, 2), lambda x, center: second_moment(patches_of(x), center)),
    "PowerSpectrum": (
        lambda: PowerSpectrum(SHAPE),
        lambda x, center: np.mean(dctn(x - x.mean(axis=0) if center else x, axes=(1, 2, 3), norm="ortho") ** 2, axis=0),
    ),
    "ComplementEnergies": (lambda: ComplementEnergies(LEVELS), lambda x, center: energies(x, LEVELS, center)),
    "ComplementMoments": (lambda: ComplementMoments(NESTED), step_energies),
}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def data(seed=0, n=50, mean=3.0):
    rng = np.random.default_rng(seed)
    return (
        mean
        + rng.standard_normal((n, *SHAPE)) * np.linspace(0.1, 2, 48).reshape(SHAPE)
        + rng.standard_normal((n, 1, 1, 1))
    )


@pytest.mark.parametrize("center", [True, False])
def test_one_pass_is_the_figure_in_one_go(kind, like, eps, array, center):
    make, exact = kind
    x = data()
    moments = make()
    for start in range(0, 50, 7):
        assert moments.update(array(x[start : start + 7])) is moments
    expected = np.asarray(exact(x, center))
    found = moments.result(center)
    assert found.dtype == np.float64 and found.shape == expected.shape
    # float32: each product is rounded once, and so is the data; the sums are float64
    np.testing.assert_allclose(found, expected, rtol=0, atol=30 * eps * np.max(np.abs(expected)))
    assert moments.samples == 50


@given(cuts=st.lists(st.integers(0, 50), max_size=6), order=st.randoms(use_true_random=False))
def test_merging_gives_the_one_pass_result_in_any_order(cuts, order):
    x = data(mean=100.0)
    ends = [0, *sorted(cuts), 50]
    for make, exact in KINDS.values():
        parts = [make().update(x[a:b]) for a, b in zip(ends, ends[1:])]
        order.shuffle(parts)
        kept = parts[-1].result() if parts[-1].count else None
        merged = make()
        for part in parts:
            merged.merge(part)
        for center in (True, False):
            expected = np.asarray(exact(x, center))
            np.testing.assert_allclose(merged.result(center), expected, rtol=0, atol=1e-11 * np.max(expected))
        assert merged.samples == 50
        if kept is not None:  # what was merged stays as it was, and goes on by itself
            merged.update(x)
            np.testing.assert_array_equal(parts[-1].result(), kept)


def test_merging_goes_on_after_an_update_on_a_device(torch_like):
    x = torch.asarray(data()).to(torch_like)
    first, second = Covariance(SHAPE).update(x[:20]), Covariance(SHAPE).update(x[20:30])
    found = first.merge(second).update(x[30:]).result()
    tolerance = 1e-12 if torch_like.dtype == torch.float64 else 1e-5
    np.testing.assert_allclose(found, second_moment(flat(data()), True), rtol=0, atol=tolerance)


def test_float32_loses_no_digits_over_a_million_samples():
    """The variance of x = 1000 ± 1 is 1; naive sums of squares in float32 would lose it all."""
    moments, spectrum, rng = Covariance((2,)), PowerSpectrum((2,)), np.random.default_rng(0)
    count, total, square = 0, 0.0, 0.0
    for _ in range(64):
        x = (1000 + rng.choice([-1.0, 1.0], size=(16384, 1)) * [1.0, 0.5]).astype(np.float32)
        moments.update(x)
        spectrum.update(x)
        exact = x.astype(np.float64) - 1000  # every number here is exact in float64
        count, total, square = count + len(x), total + exact.sum(axis=0), square + exact.T @ exact
    expected = square / count - np.outer(total / count, total / count)
    # products are summed in float32 over 4096 samples at most: a few roundings, however many samples there are
    np.testing.assert_allclose(moments.result(), expected, rtol=8 * np.finfo(np.float32).eps)
    assert moments.samples == 64 * 16384
    np.testing.assert_allclose(moments.mean, 1000 + total / count, rtol=1e-12)
    rotated = np.asarray([[1, 1], [1, -1]]) / np.sqrt(2)
    np.testing.assert_allclose(spectrum.result(), np.diag(rotated @ expected @ rotated), rtol=1e-9)


@pytest.mark.parametrize(("mean", "dtype"), [(1e6, torch.float32), (100.0, torch.float16), (100.0, torch.bfloat16)])
def test_a_mean_that_the_dtype_rounds_loses_no_digits(mean, dtype):
    """Values that are exact in their dtype, whose mean is not."""
    step = 2.0 if dtype == torch.float32 else 0.5
    x = torch.tensor([[mean], [mean + step], [mean + step]] * 1500, dtype=dtype)
    exact = x.double().numpy()
    assert Covariance((1,)).update(x).result()[0, 0] == pytest.approx(
        np.var(exact), rel=1e-2 if dtype.itemsize == 2 else 1e-6
    )


def test_longdouble_loses_no_digits():
    x = (1 + 1e-6 * np.random.default_rng(0).standard_normal((1000, 3))).astype(np.longdouble)
    moments = Covariance((3,)).update(x)
    np.testing.assert_allclose(moments.result().diagonal(), x.astype(np.float64).var(axis=0), rtol=1e-9)
    assert not moments.single


def test_samples_of_mixed_sizes_are_named():
    with pytest.raises(ValueError, match=r"trailing shape \(4,\), got \(3,\): crop or scale all samples to one shape"):
        accumulate(Covariance, [np.ones((5, 4)), np.ones((5, 3))])
    with pytest.raises(ValueError, match=r"trailing shape \(2, 4, 6\), got \(6,\)"):
        Covariance(SHAPE).update(np.ones(6))
    with pytest.raises(ValueError, match=r"statistics take floating-point numbers, got uint8: convert first"):
        accumulate(Covariance, np.ones((5, 4), dtype=np.uint8))


def test_float32_data_of_low_rank_make_a_gaussian():
    x = np.random.default_rng(0).standard_normal((100, 10)) @ np.random.default_rng(1).standard_normal((10, 300))
    normal = Covariance((300,)).update(x.astype(np.float32)).gaussian()
    assert normal.eigenvalues.min() >= 0 and np.sum(normal.eigenvalues > 1e-4) == 10
    with pytest.raises(ValueError, match="1 sample shows no covariance"):
        Covariance((300,)).update(x[:1]).gaussian()


def test_statistics_of_another_process_merge():
    x = data()
    for make in (lambda: ComplementEnergies([LowPass(SHAPE, 2)]), lambda: Covariance(SHAPE)):
        sent = pickle.loads(pickle.dumps(make().update(x[20:])))
        np.testing.assert_allclose(make().update(x[:20]).merge(sent).result(), make().update(x).result(), atol=1e-12)


def test_a_drift_of_the_mean_loses_no_digits():
    """Batches whose means lie 10⁶ standard deviations apart."""
    x = np.random.default_rng(0).standard_normal((40, 3))
    x[:20] -= 1e6
    x[20:] += 1e6
    moments = Covariance((3,)).update(x[:20]).update(x[20:])
    within = second_moment(np.concatenate([x[:20] - x[:20].mean(0), x[20:] - x[20:].mean(0)]), False)
    half = (x[20:].mean(0) - x[:20].mean(0)) / 2
    np.testing.assert_allclose(moments.result(), within + np.outer(half, half), rtol=1e-14)


def test_dask_arrays_are_read_chunk_by_chunk(kind):
    make, exact = kind
    x = data(n=30)
    lazy = dask.array.from_array(x, chunks=(8, 1, 2, 3))
    for found in (make().update(lazy), accumulate(lambda _: make(), lazy)):
        np.testing.assert_allclose(found.result(), exact(x, True), rtol=1e-11, atol=1e-12)


def test_dask_arrays_of_unknown_chunks_are_read_too(kind):
    make, exact = kind
    x = data(n=30)
    lazy = dask.array.from_array(x, chunks=(8, 1, 2, 3))
    some = lazy[lazy[:, 0, 0, 0] > np.median(x[:, 0, 0, 0])]
    assert np.isnan(some.chunks[0]).all()
    found = make().update(some)
    assert found.samples == 15
    np.testing.assert_allclose(found.result(), exact(some.compute(), True), rtol=1e-11, atol=1e-12)


def test_a_refused_chunk_leaves_those_before_it():
    x = data(n=30)
    x[20] = np.nan
    moments = Covariance(SHAPE)
    with pytest.raises(ValueError, match="among the samples 16 to 23"):
        moments.update(dask.array.from_array(x, chunks=(8, 2, 4, 6)))
    np.testing.assert_array_equal(moments.result(), Covariance(SHAPE).update(x[:8]).update(x[8:16]).result())


def test_gaussians_of_the_statistics():
    x = data(n=400)
    dense, diagonal = Covariance(SHAPE).update(x), PowerSpectrum(SHAPE).update(x)
    normal = dense.gaussian()
    np.testing.assert_allclose(normal.mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(normal.covariance, np.cov(flat(x).T, bias=True), rtol=1e-10, atol=1e-12)
    origin = dense.gaussian(center=False)
    np.testing.assert_allclose(origin.covariance, second_moment(flat(x), False), rtol=1e-10)
    assert not origin.mean.any()
    product = diagonal.gaussian()
    np.testing.assert_allclose(product.mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(np.sum(product.eigenvalues), np.trace(normal.covariance), rtol=1e-12)
    patch = PatchCovariance(SHAPE, 2).update(x)
    np.testing.assert_allclose(patch.gaussian().mean, patches_of(x).mean(axis=0), rtol=1e-12)
    assert patch.count == 400 * 6 and patch.samples == 400


def test_one_sample_makes_no_gaussian_about_its_mean():
    one, patches = np.ones((1, *SHAPE)), PatchCovariance((2, 4, 4), 4).update(np.ones((1, 2, 4, 4)))
    for moments in (Covariance(SHAPE).update(one), PowerSpectrum(SHAPE).update(one), patches):
        with pytest.raises(ValueError, match="1 sample shows no covariance about its mean: give two at least"):
            moments.gaussian()
        assert np.isclose(moments.gaussian(center=False).eigenvalues.max(), moments.mean.size)
    for moments in (Covariance(SHAPE), PowerSpectrum(SHAPE), PatchCovariance(SHAPE, 2)):
        with pytest.raises(ValueError, match="no data"):
            moments.gaussian()
    assert PatchCovariance(SHAPE, 2).update(one).gaussian().shape == (8,)  # six patches of one sample


def test_patches_are_those_of_the_patch_basis():
    """The second moment of PatchBasis coordinates is MᵀCM."""
    x = data()
    matrix = np.linalg.qr(np.random.default_rng(1).standard_normal((8, 3)))[0]
    z = PatchBasis(SHAPE, 2, matrix).restrict(x)
    expected = matrix.T @ PatchCovariance(SHAPE, 2).update(x).result(center=False) @ matrix
    coordinates = np.moveaxis(z, 1, -1).reshape(-1, 3)
    np.testing.assert_allclose(second_moment(coordinates, False), expected, rtol=1e-10)


def test_statistics_of_large_patches_are_made_without_a_matrix():
    moments = PatchCovariance((3, 1024, 1024), 512)
    assert moments.patch == (512, 512)
    with pytest.raises(ValueError, match="the patch of 3 does not divide axis -2 of length 4"):
        PatchCovariance(SHAPE, 3)


def test_refusals(kind):
    make, _ = kind
    with pytest.raises(ValueError, match="no data"):
        make().result()
    with pytest.raises(ValueError, match="no data"):
        make().update(np.zeros((0, *SHAPE))).result()
    with pytest.raises(ValueError, match="trailing shape"):
        make().update(np.zeros((5, 4, 6)))
    with pytest.raises(ValueError, match="floating-point"):
        make().update(np.zeros((5, *SHAPE), dtype=np.int64))
    with pytest.raises(TypeError, match="merges its own kind"):
        make().merge(3.0)
    x = data()
    moments = make().update(x)
    before = moments.result()
    bad = np.concatenate([x, x])
    bad[70, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity, among the samples 50 to 149"):
        moments.update(bad)
    np.testing.assert_array_equal(moments.result(), before)
    assert moments.samples == 50


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Covariance((2,)), Covariance((3,))),
        (PatchCovariance((1, 4, 4), 2), PatchCovariance((1, 4, 4), 4)),
        (ComplementEnergies(LEVELS), ComplementEnergies(LEVELS[:1])),
    ],
)
def test_other_statistics_are_not_merged(one, other):
    with pytest.raises(ValueError, match="cannot be merged"):
        one.merge(other)


def test_accumulate_reads_an_iterator_once_and_refuses_none():
    x = data()
    found = accumulate(Covariance, (x[i : i + 9] for i in range(0, 50, 9)))
    np.testing.assert_allclose(found.result(), Covariance(SHAPE).update(x).result(), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match="no data"):
        accumulate(Covariance, [])
    with pytest.raises(TypeError, match=r"one array, got list: of \(images, labels\) pass the images alone"):
        accumulate(Covariance, [[x, 3]])
    with pytest.raises(ValueError, match="keeps all dimensions: it has no complement"):
        ComplementEnergies([LowPass((4, 4), 4)])
    with pytest.raises(ValueError, match="one space"):
        ComplementEnergies([])
    with pytest.raises(ValueError, match="one space"):
        ComplementEnergies([LowPass((4, 4), 2), LowPass((6, 6), 2)])


def test_reduce_across_processes(tmp_path):
    """Three processes with unequal parts, one of them empty, each end with the figure of all the data."""
    script = Path(__file__).parent / "reduce_worker.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3", str(script)]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    x = np.load(tmp_path / "x.npy")
    for rank in range(3):
        with np.load(tmp_path / f"{rank}.npz") as found:
            np.testing.assert_allclose(found["covariance"], second_moment(flat(x), True), rtol=0, atol=1e-12)
            np.testing.assert_allclose(found["mean"], x.mean(axis=0), rtol=1e-13)
            np.testing.assert_allclose(found["energies"], energies(x, LEVELS, True), rtol=1e-12)
            assert found["samples"] == len(x)
            assert [str(message) for message in found["refusals"]] == [
                "process 1 of the group holds other statistics than process 0: reduce those of one kind and of equal "
                "shapes, patches or subspaces on all of them"
            ] * 4
            assert found["own"] == pytest.approx(np.sum(x[..., 1:].var(axis=0)), rel=1e-12)


def test_two_samples_have_a_covariance_of_rank_1_and_one_has_none():
    x = np.random.default_rng(11).standard_normal((2, *SHAPE))
    gap = (x[0] - x[1]).ravel()
    np.testing.assert_allclose(accumulate(Covariance, x).gaussian().covariance, np.outer(gap, gap) / 4, atol=1e-14)
    with pytest.raises(ValueError, match="1 sample shows no covariance about its mean: give two at least"):
        accumulate(Covariance, x[:1]).gaussian()


def test_single_numbers_have_no_power_spectrum():
    with pytest.raises(ValueError, match="needs samples of at least one axis, these are single numbers"):
        accumulate(PowerSpectrum, np.ones(5)).gaussian()
