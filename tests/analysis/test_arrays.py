"""`analyse` of arrays of any shape: against independent computations, at any scale, from files in one pass."""

import os

import numpy as np
import pytest
import zarr
from scipy.fft import dctn, idctn

from subspace_sde import VE, VP, Downsampling, LowPass, Wavelet, gaussian_divergence, patch_pca, plan, rmsd
from subspace_sde.analysis import analyse, candidate_subspaces, subspace_named
from subspace_sde.array_data import ArrayData
from subspace_sde.images import Images
from subspace_sde.oracles import DCTGaussian, Gaussian
from subspace_sde.statistics import PowerSpectrum, accumulate, ve_for


def smooth(num, *shape, axes=None, seed=0):
    """Samples whose power falls with the square of the frequency along these axes, about a mean."""
    axes = tuple(range(-len(shape), 0)) if axes is None else axes
    rng, decay = np.random.default_rng(seed), np.ones(shape)
    for a in axes:
        frequencies = np.arange(shape[a]) ** 2 / 2
        decay = decay + frequencies.reshape([-1 if a == i - len(shape) else 1 for i in range(len(shape))])
    x = idctn(rng.standard_normal((num, *shape)) / decay, axes=axes, norm="ortho")
    return x + 0.1 * np.linspace(-1, 1, shape[-1])


CASES = {  # numbers, axes, and the Gaussian that stands for them
    "signals": (smooth(200, 40), None, "covariance"),
    "few signals": (smooth(30, 40), None, "power spectrum"),
    "stereo": (smooth(60, 2, 48, axes=(-1,)), None, "power spectrum"),
    "volumes": (smooth(12, 8, 12, 16), None, "power spectrum"),
    "video": (smooth(12, 8, 3, 8, 16, axes=(-4, -2, -1)), None, "power spectrum"),
    "time alone": (smooth(12, 8, 8, 12), -3, "power spectrum"),
    "channels last": (smooth(12, 8, 16, 3, axes=(-3, -2)), None, "power spectrum"),
}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    x, axes, model = CASES[request.param]
    data = ArrayData(x, axes=axes)
    found = analyse(data, multiple_of=2)
    assert found.model == model and found.count == len(x) and found.axes == data.axes
    return x, found


def law(x, model):
    if model == "covariance":
        return Gaussian(x.mean(axis=0), np.cov(x.reshape(len(x), -1).T, bias=True))
    return DCTGaussian(x.mean(axis=0), dctn(x, axes=tuple(range(1, x.ndim)), norm="ortho").var(axis=0))


def test_every_row_against_the_data(case):
    x, found = case
    known = [row for row in found.rows if row.subspace is not None]
    kinds = {row.name.partition(":")[0] for row in known}
    assert {"lowpass", "downsampling", "db2"} <= kinds
    assert ("patch-pca" in kinds) == (found.axes == tuple(range(-len(found.axes), 0)))
    for row in known:
        u = row.subspace
        assert all(u.shape[a] == u.ambient_shape[a] for a in range(-len(x.shape) + 1, 0) if a not in found.axes) or (
            row.name.startswith(("pca", "patch-pca"))
        )
        assert row.rmsd == pytest.approx(tuple(rmsd(u, x, center) for center in (False, True)), rel=1e-8), row.name
        same = gaussian_divergence(law(x, found.model), found.sde, [u], row.curve.times)[0]
        np.testing.assert_allclose(row.curve.values, same.values, rtol=1e-6, atol=1e-12, err_msg=row.name)
        if row.cost is not None:
            assert row.cost == pytest.approx(plan([u], [row.curve], found.threshold).cost, rel=1e-12)


def test_the_plan_is_the_best_of_the_candidates(case):
    x, found = case
    candidates = candidate_subspaces(x.shape[1:], 2, found.axes, apart=True)
    assert found.candidates == tuple(candidates)
    given = list(candidates.values())
    curves = gaussian_divergence(law(x, found.model), found.sde, given, found.rows[0].curve.times)
    for k, best in enumerate(found.by_levels, start=1):
        assert best.cost == pytest.approx(plan(given, curves, found.threshold, max_levels=k).cost, abs=1e-6)
        for name, level in zip(found.names(best), best.subspaces[1:], strict=True):
            expected = subspace_named(name, x.shape[1:], found.axes)
            np.testing.assert_allclose(level.project(x[:2]), expected.project(x[:2]), atol=1e-10)
    suited = ve_for(accumulate(PowerSpectrum, x))
    assert (found.sde.sigma_min, found.sde.sigma_max) == pytest.approx((suited.sigma_min, suited.sigma_max), rel=1e-9)
    assert found.summary().endswith("of the full model's numbers.")


def test_patch_pca_is_that_of_the_data():
    x = CASES["stereo"][0]
    rows = {row.name: row for row in analyse(ArrayData(x)).rows}
    expected = patch_pca(x, (4,), 2)
    np.testing.assert_allclose(rows["patch-pca:12"].subspace.project(x[:3]), expected.project(x[:3]), atol=1e-9)
    assert rows["patch-pca:12"].subspace.shape == (2, 12)


@pytest.mark.parametrize("scale", [1e-7, 32768.0])
def test_data_of_another_scale_have_the_same_plan(scale):
    x = smooth(60, 48)
    found, other = analyse(ArrayData(x)), analyse(ArrayData(scale * x))
    assert other.plan.times == pytest.approx(found.plan.times, rel=1e-9) and other.plan.cost < 1
    assert other.names(other.plan) == found.names(found.plan)
    divided = analyse(ArrayData(scale * x, scale=scale))
    assert divided.sde.sigma_max == pytest.approx(found.sde.sigma_max, rel=1e-9)
    assert analyse(ArrayData(x), sde=VP()).sde == VP()


def test_integers_are_what_they_are_divided_by():
    x = np.round(1000 * smooth(60, 48)).astype(np.int16)
    found, same = analyse(ArrayData(x, scale=1000)), analyse(ArrayData(x / 1000))
    assert found.plan.times == pytest.approx(same.plan.times, rel=1e-4)
    assert found.sde.sigma_max == pytest.approx(same.sde.sigma_max, rel=1e-5)


def test_images_are_the_same_as_arrays_of_pixels():
    pixels = np.clip(128 + 300 * smooth(40, 3, 8, 16, axes=(-2, -1)), 0, 255).astype(np.uint8)
    images = analyse(Images("x", pixels, pixels[:1]))
    arrays = analyse(ArrayData(pixels, 255), sde=VE(0.01, 50.0))
    alone = {row.name: (row.rmsd, row.t) for row in arrays.rows}
    assert all(alone[row.name] == (row.rmsd, row.t) for row in images.rows if row.name in alone)
    assert arrays.by_levels[0].cost <= images.by_levels[0].cost
    assert (images.unit, arrays.unit) == (("images", "pixels"), ("arrays", "numbers"))


def test_samples_that_are_all_alike():
    with pytest.raises(ValueError, match="the 9 samples of x are all alike: nothing varies"):
        analyse(ArrayData(np.full((9, 16), 0.1), name="x"))
    assert analyse(ArrayData(np.eye(16)[:9] * 1e-100)).sde.sigma_max > 0


# --------------------------------------------------------------------------------------------------------- from files


@pytest.mark.parametrize("num", [200, 30])
def test_a_file_is_read_once(tmp_path, monkeypatch, num):
    x, read_at, get = smooth(num, 40), [], zarr.Array.__getitem__

    def recorded(stored, index):
        read_at.extend([index[0].start] if index[0].stop else [])  # Dask asks for the kind of an empty part
        return get(stored, index)

    zarr.create_array(str(tmp_path / "x.zarr"), data=x, chunks=(10, 40))
    monkeypatch.setattr(zarr.Array, "__getitem__", recorded)
    found = analyse(ArrayData.open(tmp_path / "x.zarr"))
    assert sorted(read_at) == list(range(0, num, 10))
    assert found.plan == analyse(ArrayData(x)).plan


def test_a_file_larger_than_the_disk(tmp_path):
    """A terabyte, of which nothing was ever written but what is read: no copy is made, and no more is read."""
    shape, stat = (2**25, 64, 128), os.statvfs(tmp_path)
    path = tmp_path / "x.npy"
    try:
        x = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    except OSError:
        pytest.skip("no file of that size can be made here")
    assert path.stat().st_size > stat.f_bavail * stat.f_frsize
    data = ArrayData.open(path)
    size = 2**20 // data.dim
    for start, stop in data._parts(2**20):
        x[start:stop] = smooth(stop - start, 64, 128, seed=start)
    x.flush()
    del x
    found = np.concatenate(list(data.batches(2**20)))
    path.unlink()
    assert len(found) == data.samples_of(2**20) and size <= len(found) < 2 * size
    assert found.any(axis=(1, 2)).all() and data._parts(2**20)[-1][1] > 2**24


# --------------------------------------------------------------------------------------------------- names, candidates


@pytest.mark.parametrize(
    ("name", "shape", "axes", "expected"),
    [
        ("lowpass:20x28", (3, 32, 48), (-2, -1), LowPass((3, 32, 48), (20, 28))),
        ("lowpass:32x28", (3, 32, 48), (-2, -1), LowPass((3, 32, 48), (32, 28))),
        ("lowpass:40", (2, 160), -1, LowPass((2, 160), 40, axes=-1)),
        ("downsampling:4x16x8", (8, 16, 24), (-3, -2, -1), Downsampling((8, 16, 24), (2, 1, 3), (-3, -2, -1))),
        ("db2:8x16", (16, 16), (0, 1), Wavelet((16, 16), "db2", 1, axes=0)),
        ("haar:4", (8, 3, 32), (0, 2), Wavelet((8, 3, 32), "haar", 1, axes=(0, 2))),
    ],
)
def test_names(name, shape, axes, expected):
    found, x = subspace_named(name, shape, axes), np.random.default_rng(0).standard_normal((2, *shape))
    assert found.shape == expected.shape and type(found) is type(expected)
    np.testing.assert_allclose(found.project(x), expected.project(x), atol=1e-12)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("lowpass:4x4", "lowpass:4x4 gives 2 sizes, for 3 axes: give one, or one for each"),
        ("lowpass:8x16x24", "lowpass:8x16x24 is no smaller array: the edges of these are 8 × 16 × 24"),
        ("lowpass:8x17x2", "is no smaller array"),
        ("lowpass:8xx2", "unknown level"),
        ("downsampling:8x16x7", "7 does not divide the edges"),
        ("db1:8x16x8", "a wavelet halves the edges, but 24 / 8 = 3 is no power of two"),
    ],
)
def test_names_that_mean_nothing(name, message):
    with pytest.raises(ValueError, match=message):
        subspace_named(name, (8, 16, 24), (-3, -2, -1))


SHAPES = [((3, 32, 50), 4), ((3, 28, 100), 4), ((1, 36, 64), 4), ((3, 32, 48), 8), ((3, 30, 7), 3), ((1, 5, 9), 1)]


@pytest.mark.parametrize(("shape", "multiple"), SHAPES)
@pytest.mark.parametrize("apart", [False, True])
def test_candidates_of_any_form(shape, multiple, apart):
    """Each name makes its subspace; what got shorter is a multiple; low-passes of both edges at once nest."""
    found = candidate_subspaces(shape, multiple, apart=apart)
    for name, u in found.items():
        assert u == subspace_named(name, shape) and u.dim < u.ambient_dim
        assert not any(n % multiple for n, whole in zip(u.shape[1:], shape[1:]) if n < whole)
    if not apart:
        lowest = [u for u in found.values() if isinstance(u, LowPass)]
        for inner, outer in zip(lowest, lowest[1:]):
            assert inner.within(outer).shape == inner.shape
        for u in lowest:  # in proportion to the longest, as far as multiples allow
            share = next(n / whole for n, whole in zip(u.shape[1:], shape[1:]) if whole == max(shape[1:]))
            for n, whole in zip(u.shape[1:], shape[1:]):
                assert n in (whole, multiple) or abs(n - share * whole) <= multiple / 2


@pytest.mark.parametrize(
    ("shape", "least"), [((3, 32, 50), 9), ((3, 28, 100), 13), ((3, 36, 64), 11), ((3, 32, 48), 9), ((3, 32, 32), 7)]
)
def test_plans_that_are_not_square_keep_their_variety(shape, least):
    """Rounded edges cost hardly more than the best edges of any length; those alone that divide cost far more."""
    lowest = [u for u in candidate_subspaces(shape, 4).values() if isinstance(u, LowPass)]
    assert len(lowest) >= least
    h, w = shape[1:]
    decay = 1 / (1 + np.add.outer((np.arange(h) / h * 32) ** 2, (np.arange(w) / w * 32) ** 2))
    gaussian, sde = DCTGaussian(np.zeros(shape), np.broadcast_to(3 * h * w * decay**2, shape)), VE()
    costs = {}
    exact = candidate_subspaces(shape, 1)
    every = {"rounded": lowest, "any": [u for u in exact.values() if isinstance(u, LowPass)]}
    for name, candidates in every.items():
        curves = gaussian_divergence(gaussian, sde, candidates, np.linspace(0.02, 0.98, 49).tolist())
        costs[name] = plan(candidates, curves, 3e-3, max_levels=3).cost
    assert costs["rounded"] < 1.1 * costs["any"]


def test_each_axis_alone():
    found = candidate_subspaces((8, 32, 32), 4, (-3, -2, -1), apart=True)
    assert {"lowpass:4x32x32", "lowpass:8x12x32", "downsampling:4x32x32", "downsampling:8x32x8"} <= found.keys()
    together = candidate_subspaces((8, 32, 32), 4, (-3, -2, -1))
    assert together.keys() < found.keys() and len(candidate_subspaces((16000,), 4, -1)) < 100
    assert candidate_subspaces((64,), 4, -1, apart=True).keys() == candidate_subspaces((64,), 4, -1).keys()
