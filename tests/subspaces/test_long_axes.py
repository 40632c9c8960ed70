"""Long axes go through transforms and filters: the same numbers as by matrices, in little memory."""

import tracemalloc

import array_api_compat
import numpy as np
import pytest
import pywt
import torch
from scipy.fft import dct, idct

from subspace_sde.oracles import DCTGaussian, dct_basis
from subspace_sde.specification import build, specify
from subspace_sde.statistics import PowerSpectrum
from subspace_sde.subspaces import Downsampling, LowPass, Wavelet
from subspace_sde.subspaces.axis_maps import SHORT, Chained, Dense, Whole, Within
from subspace_sde.subspaces.cosines import _ELSEWHERE, _ON_NUMPY, CosineBasis, LowestCosines, Transform
from subspace_sde.subspaces.downsampling import _Blocks
from subspace_sde.subspaces.wavelet import _Band, _Halving, _scaling_filter
from subspace_sde.testing import check_subspace

MAPS = {
    **{f"lowest-{n}-{m}": LowestCosines(n, m) for n, m in ((7, 3), (8, 8), (9, 8), (12, 7), (13, 6), (5, 1), (1, 1))},
    **{f"cosines-{n}": CosineBasis(n) for n in (1, 2, 7, 12)},
    **{f"halving-{name}": _Halving(n, _scaling_filter(name)) for name, n in (("haar", 2), ("db3", 6), ("sym4", 20))},
    "blocks": _Blocks(12, 3),
    "chained": Chained(LowestCosines(12, 8), _Halving(8, _scaling_filter("db2"))),
    "within": Within(LowestCosines(12, 8), LowestCosines(12, 5)),
    "whole": Whole(4),
}
"""Short, and yet by the transform: what the long ones do."""


def by_scipy(n, m):
    return idct(np.pad(dct(np.eye(m), axis=0, norm="ortho"), ((0, n - m), (0, 0))), axis=0, norm="ortho")


@pytest.mark.parametrize("axis", [-1, -2])
@pytest.mark.parametrize("name", MAPS)
def test_a_map_is_its_matrix_on_every_library(name, axis, array, host, eps):
    each = MAPS[name]
    u, rng = each.matrix(), np.random.default_rng(0)
    for method, before, factor in (("restrict", each.n, u.T), ("embed", each.m, u)):
        x = rng.standard_normal((3, 2, before) if axis == -1 else (3, before, 2))
        given = array(x)
        expected = np.moveaxis(np.moveaxis(x, axis, -1) @ factor.T, -1, axis)
        for way in (
            method,
            *([{"restrict": "_forth", "embed": "_back"}[method]] if isinstance(each, Transform) else []),
        ):
            found = getattr(each, way)(given, axis, array_api_compat.array_namespace(given))
            assert found.dtype == given.dtype
            np.testing.assert_allclose(host(found), expected, atol=50 * eps)
    np.testing.assert_allclose(u.T @ u, np.eye(each.m), atol=1e-14)


def test_the_maps_are_what_scipy_and_pywavelets_say():
    for n, m in ((7, 3), (12, 12), (13, 6)):
        np.testing.assert_allclose(LowestCosines(n, m).matrix(), by_scipy(n, m), atol=1e-15)
        np.testing.assert_allclose(CosineBasis(n).matrix().T, dct(np.eye(n), axis=0, norm="ortho"), atol=1e-15)
    x = np.random.default_rng(0).standard_normal(24)
    band = _Halving(24, _scaling_filter("db4")).restrict(x, -1, np)
    np.testing.assert_allclose(band, pywt.dwt(x, "db4", mode="periodization")[0], atol=1e-11)


@pytest.mark.parametrize("n", [_ON_NUMPY, _ON_NUMPY + 1, SHORT, SHORT + 1, SHORT + 2, _ELSEWHERE, _ELSEWHERE + 1])
def test_nothing_changes_where_the_matrix_ends(n):
    x = np.random.default_rng(0).standard_normal((2, n))
    for given in (x, torch.from_numpy(x)):
        z = LowPass((n,), n // 3, axes=-1).restrict(given)
        np.testing.assert_allclose(z, x @ by_scipy(n, n // 3), atol=1e-13)
    if n % 2 == 0:
        band = Wavelet((n,), "sym4", axes=-1).restrict(x)
        np.testing.assert_allclose(band, x @ _Halving(n, _scaling_filter("sym4")).matrix(), atol=1e-13)


@pytest.mark.parametrize("like", [np.zeros((), np.float32), torch.zeros((), dtype=torch.float64)])
@pytest.mark.parametrize(
    ("u", "outer"),
    [
        (LowPass((2, 700), 233, axes=-1), LowPass((2, 700), 234, axes=-1)),
        (LowPass((701, 3), 350, axes=-2), None),
        (Wavelet((1, 2000), "db4", 3, axes=-1), Wavelet((1, 2000), "db4", 1, axes=-1)),
        (LowPass((1500,), 750, axes=-1) @ Wavelet((750,), "haar", axes=-1), LowPass((1500,), 750, axes=-1)),
    ],
)
def test_long_axes_obey_the_laws(u, outer, like):
    check_subspace(u, like=like, **({} if outer is None else {"outer": outer}))
    again = build(specify(u))
    assert again == u and hash(again) == hash(u)


@pytest.mark.parametrize("name", ["lowest-9-8", "halving-db3", "cosines-7"])
def test_gradients_go_through_transforms(name):
    each, xp = MAPS[name], array_api_compat.array_namespace(torch.zeros(()))
    forth, back = (each._forth, each._back) if isinstance(each, Transform) else (each.restrict, each.embed)
    for method, n in ((forth, each.n), (back, each.m)):
        x = torch.randn(2, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
        assert torch.autograd.gradcheck(lambda y, method=method: method(y, -1, xp), x)


def test_half_precision_is_transformed_in_single():
    x = torch.randn(2, 3000, generator=torch.Generator().manual_seed(0))
    u = LowPass((3000,), 900, axes=-1)
    for dtype, off in ((torch.float16, 2e-3), (torch.bfloat16, 2e-2)):
        z = u.restrict(x.to(dtype))
        assert z.dtype == dtype and float((z.float() - u.restrict(x)).abs().max()) < off * 4


@pytest.mark.parametrize("n", [12, 700])
def test_what_is_captured_of_cosines_has_a_closed_form(n):
    cosines = CosineBasis(n)
    for each in (_Blocks(n, 2), _Blocks(n, n // 4), _Blocks(n, n), _Blocks(n, 1), LowestCosines(n, 5), Whole(n)):
        expected = np.sum((cosines.matrix().T @ each.matrix()) ** 2, axis=1)
        np.testing.assert_allclose(each.captured(cosines), expected, atol=1e-12)
        assert each.keeps_lowest() == Dense(each.matrix()).keeps_lowest()
    for each in (_Halving(n, _scaling_filter("db2")), Chained(LowestCosines(n, 6), LowestCosines(6, 3))):
        expected = np.sum((cosines.matrix().T @ each.matrix()) ** 2, axis=1)
        np.testing.assert_allclose(each.captured(cosines), expected, atol=1e-12)


@pytest.mark.parametrize(("n", "p"), [(12, 3), (15, 5), (15, 3), (8, 8), (7, 1), (1, 1), (700, 7)])
def test_the_products_within_patches_are_those_of_the_matrix(n, p):
    cosines = CosineBasis(n)
    v = cosines.matrix()
    expected = sum(np.einsum("im,jm->ijm", part, part) for part in v.reshape(n // p, p, n))
    for each in (cosines, Dense(v)):
        np.testing.assert_allclose(each.products(p), expected, rtol=0, atol=1e-13)
    other = Chained(cosines, Dense(np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0]))
    expected = sum(np.einsum("im,jm->ijm", part, part) for part in other.matrix().reshape(n // p, p, n))
    np.testing.assert_allclose(other.products(p), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("n", "levels", "wavelet"),
    # columns that all go over the end, none, some; strides that share factors with n, and lengths that are no powers
    [
        (2, 1, "haar"),
        (6, 1, "db3"),
        (48, 4, "haar"),
        (12, 1, "db2"),
        (60, 2, "sym4"),
        (88, 3, "coif1"),
        (84, 2, "db10"),
    ],
)
def test_what_a_wavelet_captures_of_cosines_is_what_dense_algebra_says(n, levels, wavelet):
    band, cosines = _Band(n, levels, _scaling_filter(wavelet)), CosineBasis(n)
    expected = np.sum((cosines.matrix().T @ band.matrix()) ** 2, axis=1)
    np.testing.assert_allclose(band.captured(cosines), expected, rtol=0, atol=1e-13)
    turned = Dense(np.linalg.qr(np.random.default_rng(0).standard_normal((n, n)))[0])  # of another basis
    expected = np.sum((turned.matrix().T @ band.matrix()) ** 2, axis=1)
    np.testing.assert_allclose(band.captured(turned), expected, rtol=0, atol=1e-13)


def test_a_wavelet_captures_of_white_noise_as_much_as_it_has_dimensions_on_a_long_axis():
    n = 2**17
    kept = DCTGaussian(np.zeros(n), np.ones(n)).captured(Wavelet((n,), "db2", 2, axes=-1))
    assert abs(kept.sum() - n // 4) < 1e-6 and kept.min() > -1e-12 and kept.max() < 1 + 1e-9
    each = [np.cos(np.pi * f * (2 * np.arange(n) + 1) / (2 * n)) * (2 / n) ** 0.5 for f in (1, 30_001, n - 1)]
    for f, v in zip((1, 30_001, n - 1), each):
        expected = np.sum(pywt.wavedec(v, "db2", mode="periodization", level=2)[0] ** 2)
        assert abs(kept[f] - expected) < 1e-9


def test_what_would_have_to_be_tried_a_hundred_thousand_times_is_refused():
    with pytest.raises(ValueError, match=r"of length 131072 .* try each of their 65536 coordinates, at most 32768"):
        lowest = LowPass((2**17,), 2**16, axes=-1)
        DCTGaussian(np.zeros(2**17), np.ones(2**17)).captured(lowest @ Downsampling((2**16,), 1, axes=-1))


def test_an_axis_that_no_memory_holds_is_refused():
    with pytest.raises(ValueError, match=r"an axis of 1000000000 numbers is too long for a cosine transform"):
        LowPass((10**9,), 10**8, axes=-1)


def test_a_million_numbers_take_a_few_copies():
    n, m = 2**20, 2**18
    x = np.random.default_rng(0).standard_normal((1, n)).astype(np.float32)
    tracemalloc.start()
    low, band = LowPass((n,), m, axes=-1), Wavelet((n,), "db4", 2, axes=-1)
    projected = [u.embed(u.restrict(x)) for u in (low, band)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * x.nbytes
    coefficients = dct(x.astype(np.float64), norm="ortho")
    coefficients[:, m:] = 0
    np.testing.assert_allclose(projected[0], idct(coefficients, norm="ortho"), atol=1e-5)
    assert low.restrict(x).dtype == np.float32
    expected = pywt.wavedec(x[0], "db4", mode="periodization", level=2)[0]
    np.testing.assert_allclose(band.restrict(x)[0], expected, atol=1e-4)


def test_spectra_and_their_laws_on_long_axes():
    shape = (1, 16000)
    power = PowerSpectrum(shape).update(np.random.default_rng(0).standard_normal((40, *shape)))
    law = power.gaussian()
    assert abs(law.eigenvalues.mean() - 39 / 40) < 0.01  # about the mean of 40; five standard deviations are 0.009
    level = law.restrict(LowPass(shape, 4000, axes=-1))
    np.testing.assert_array_equal(level.eigenvalues, law.eigenvalues[:, :4000])
    blocks = law.captured(Downsampling(shape, 4, axes=-1))
    assert blocks.shape == shape and abs(blocks.sum() - 4000) < 1e-8
    assert build(specify(dct_basis((3,)))) == dct_basis((3,))


@pytest.mark.parametrize(
    "subspace", [LowPass((600, 520), (40, 30)), LowPass((600,), 550, axes=-1), Wavelet((1024,), "db2", 2, axes=-1)]
)
def test_half_precision_and_vmap(subspace):
    x = np.random.default_rng(0).standard_normal((2, *subspace.ambient_shape))
    z = subspace.restrict(x)
    half = subspace.restrict(x.astype(np.float16))
    assert half.dtype == np.float16 and subspace.embed(half).dtype == np.float16
    np.testing.assert_allclose(half, z, atol=0.02)
    there, back = (torch.func.vmap(f)(torch.as_tensor(a)) for f, a in ((subspace.restrict, x), (subspace.embed, z)))
    np.testing.assert_allclose(there, z, atol=1e-12)
    np.testing.assert_allclose(back, subspace.embed(z), atol=1e-12)
