"""Every kind of subspace against an independent computation."""

from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import dctn, idctn

from subspace_sde.subspaces import Basis, Downsampling, LowPass, NestedSubspaces, PatchBasis, Separable
from tests.subspaces.kinds import bases, low_passes, normal, orthonormal, seeds


@given(data=st.data())
def test_downsampling_is_the_mean_of_blocks(torch_like, data):
    """Eq. 12: 𝒟x is the mean over blocks times √(product of the factors), which is 2 for 2 × 2."""
    ndim = data.draw(st.integers(1, 3))
    factors = tuple(data.draw(st.integers(1, 3)) for _ in range(ndim))
    coarse = tuple(data.draw(st.integers(1, 4)) for _ in range(ndim))
    fine = tuple(f * n for f, n in zip(factors, coarse))
    pool = [torch.nn.functional.avg_pool1d, torch.nn.functional.avg_pool2d, torch.nn.functional.avg_pool3d][ndim - 1]
    x = torch.asarray(normal(data.draw(seeds), 2, 3, *fine)).to(torch_like)
    subspace = Downsampling((3, *fine), factors, tuple(range(-ndim, 0)))
    gain = prod(factors) ** 0.5
    torch.testing.assert_close(subspace.restrict(x), pool(x, factors) * gain)
    spread = pool(x, factors)
    for axis, f in enumerate(factors, start=2):
        spread = spread.repeat_interleave(f, dim=axis)
    torch.testing.assert_close(subspace.project(x), spread)
    torch.testing.assert_close(subspace.embed(subspace.restrict(x)), spread)
    torch.testing.assert_close(subspace.reject(x), x - spread)


def test_eq_12_on_an_image(torch_like):
    x = torch.asarray(normal(0, 2, 3, 10, 6)).to(torch_like)
    torch.testing.assert_close(Downsampling((3, 10, 6), 2).restrict(x), 2 * torch.nn.functional.avg_pool2d(x, 2))


@given(data=st.data())
def test_low_pass_is_a_smaller_dct(like, eps, array, host, data):
    subspace = data.draw(low_passes())
    x = normal(data.draw(seeds), 2, *subspace.ambient_shape)
    lowest = (slice(None), *(slice(n) for n in subspace.shape))
    z = idctn(dctn(x, axes=subspace.axes, norm="ortho")[lowest], axes=subspace.axes, norm="ortho")
    assert np.max(np.abs(host(subspace.restrict(array(x))) - z)) <= 100 * eps * np.max(np.abs(x))
    spectrum = np.zeros(x.shape)
    spectrum[lowest] = dctn(z, axes=subspace.axes, norm="ortho")
    expected = idctn(spectrum, axes=subspace.axes, norm="ortho")
    assert np.max(np.abs(host(subspace.embed(array(z))) - expected)) <= 100 * eps * np.max(np.abs(z))


def test_low_pass_keeps_a_constant_image():
    """Its coordinates are an image: a constant c becomes c √(N/size) on every axis."""
    z = LowPass((9, 8), (4, 5)).restrict(np.full((9, 8), 3.0))
    np.testing.assert_allclose(z, 3.0 * (9 / 4 * 8 / 5) ** 0.5, rtol=1e-14)


@given(data=st.data())
def test_basis_is_its_matrix(like, eps, array, host, data):
    basis = data.draw(bases())
    u, x = basis.matrix(), normal(data.draw(seeds), 3, basis.ambient_dim)
    restricted = host(basis.restrict(array(x.reshape(3, *basis.ambient_shape))))
    assert restricted.shape == (3, *basis.shape)
    assert np.max(np.abs(restricted.reshape(3, -1) - x @ u)) <= 100 * eps * np.max(np.abs(x))


@given(data=st.data())
def test_spanning_has_the_span_of_every_prefix(data):
    d = data.draw(st.integers(2, 12))
    n = data.draw(st.integers(1, d))
    vectors = normal(data.draw(seeds), d, n)
    u = Basis.spanning(vectors).matrix()
    for m in range(1, n + 1):
        kept = vectors[:, :m]
        pseudoinverse = np.linalg.pinv(kept)
        np.testing.assert_allclose(
            u[:, :m] @ u[:, :m].T, kept @ pseudoinverse, atol=1e-13 * np.linalg.cond(vectors), rtol=0
        )
    assert np.all(np.sum(u * vectors, axis=0) > 0)  # each column points the way of its vector


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e200, 1e308])
def test_spanning_takes_vectors_of_any_length(size):
    vectors = np.asarray([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    np.testing.assert_allclose(Basis.spanning(vectors * [size, 1.0]).matrix(), Basis.spanning(vectors).matrix())
    np.testing.assert_allclose(Basis.spanning(vectors[:, :1] * size).matrix()[:, 0], [0.5**0.5, 0.5**0.5, 0])


def test_a_float32_basis_is_orthonormal_in_float64():
    """Otherwise the bases that a torch user has at hand would not nest."""
    u = torch.linalg.qr(torch.asarray(normal(0, 20, 8)).to(torch.float32))[0]
    outer, inner = Basis(u), Basis(u[:, :3])
    np.testing.assert_allclose(outer.matrix().T @ outer.matrix(), np.eye(8), atol=1e-14)
    np.testing.assert_allclose(outer.matrix(), u.numpy(), atol=1e-6)
    nested = NestedSubspaces.from_subspaces([outer, inner])
    np.testing.assert_allclose(nested[2].project(np.eye(20)), inner.project(np.eye(20)), atol=1e-12)


def test_a_basis_is_a_copy():
    u = np.eye(4)[:, :2]
    basis = Basis(u)
    u[...] = 7.0
    basis.matrix()[...] = 7.0
    np.testing.assert_array_equal(basis.matrix(), np.eye(4)[:, :2])


@given(data=st.data())
def test_separable_is_a_sum_over_each_axis(like, eps, array, host, data):
    ndim = data.draw(st.integers(1, 3))
    n = [data.draw(st.integers(1, 5)) for _ in range(ndim)]
    matrices = [orthonormal(data.draw(seeds), length, data.draw(st.integers(1, length))) for length in n]
    x = normal(data.draw(seeds), 2, *n)
    sum_over = {1: "bi,ip->bp", 2: "bij,ip,jq->bpq", 3: "bijk,ip,jq,kr->bpqr"}[ndim]
    expected = np.einsum(sum_over, x, *matrices)
    found = host(Separable(n, dict(enumerate(matrices))).restrict(array(x)))
    assert found.shape == expected.shape
    assert np.max(np.abs(found - expected)) <= 100 * eps * np.max(np.abs(x))


def test_separable_rotates_colours(like, eps, array, host):
    """m = n: nothing is lost; and one column of it is a luma channel."""
    rotation = orthonormal(0, 3, 3)
    x = normal(1, 4, 3, 5, 6)
    rotated = np.einsum("bchw,cd->bdhw", x, rotation)
    colours = Separable((3, 5, 6), {-3: array(rotation)})
    assert np.max(np.abs(host(colours.restrict(array(x))) - rotated)) <= 20 * eps
    assert np.max(np.abs(host(colours.project(array(x))) - x)) <= 20 * eps
    luma = Separable((3, 5, 6), {0: array(rotation[:, :1])})
    assert luma.shape == (1, 5, 6)
    assert np.max(np.abs(host(luma.restrict(array(x))) - rotated[:, :1])) <= 20 * eps


@pytest.mark.parametrize(
    "of",
    [
        lambda u: Basis(u),
        lambda u: Separable((2, 20), {-1: u}),
        lambda u: PatchBasis((2, 20), (10,), u),
    ],
    ids=["Basis", "Separable", "PatchBasis"],
)
def test_float32_columns_become_orthonormal_in_float64(of):
    u = torch.linalg.qr(torch.asarray(normal(0, 20, 8)).to(torch.float32))[0]
    matrix = of(u).matrix()
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(matrix.shape[1]), atol=1e-14)


def test_sizes_are_products():
    subspace = Downsampling((3, 8, 6), (4, 2))
    assert (subspace.shape, subspace.dim, subspace.ambient_dim) == ((3, 2, 3), 18, 144)
    assert LowPass((3, 8, 6), (5, 2), axes=(-1, 1)).shape == (3, 2, 5)
    assert LowPass(np.int64(8), 3, axes=-1).shape == (3,)
