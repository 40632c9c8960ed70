"""The laws of a subspace over the registry of kinds."""

from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subspace_sde.subspaces import Basis, Composition, Downsampling, Identity, Relative, Wavelet
from subspace_sde.testing import check_subspace
from tests.subspaces.kinds import (
    bases,
    downsamplings,
    inside,
    low_passes,
    normal,
    pairs,
    patch_bases,
    seeds,
    separables,
    shapes,
    some_axes,
)


@st.composite
def spans(draw):
    """Vectors that are neither orthogonal nor of one length."""
    d = draw(st.integers(1, 30))
    n = draw(st.integers(1, min(d, 6)))
    vectors = normal(draw(seeds), d, n) + 3.0
    return Basis.spanning(vectors * 10.0 ** np.arange(n))


FILTERS = {"haar": 2, "db2": 4, "db3": 6, "db4": 8, "sym4": 8, "coif1": 6}


@st.composite
def wavelets(draw):
    """One or two levels, on axes from just as long as the filter, odd multiples of 2^levels among them."""
    wavelet = draw(st.sampled_from(list(FILTERS)))
    ndim = draw(st.integers(1, 3))
    chosen = draw(some_axes(ndim).filter(lambda axes: len(axes) < 3))
    levels = tuple(draw(st.integers(1, 2)) for _ in chosen)
    ambient = [draw(st.integers(1, 3)) for _ in range(ndim)]
    for a, l in zip(chosen, levels):
        ambient[a] = 2**l * draw(st.integers(FILTERS[wavelet] // 2, FILTERS[wavelet] // 2 + 3))
    return Wavelet(ambient, wavelet, levels, chosen)


@st.composite
def compositions(draw):
    outer = draw(shapes.flatmap(inside))
    middle = draw(inside(outer.shape))
    return outer @ middle @ draw(inside(middle.shape))


# a new kind of subspace goes through every law by one line here
KINDS = {
    "Identity": shapes.map(Identity),
    "Basis": bases(),
    "Basis.spanning": spans(),
    "Downsampling": downsamplings(),
    "LowPass": low_passes(),
    "Separable": separables(),
    "Wavelet": wavelets(),
    "PatchBasis": patch_bases(),
    "composition": compositions(),
    "Relative": pairs().map(lambda pair: Relative(pair[0], pair[2])),
}


@pytest.mark.also_on("strict", "read-only")
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_laws(kind, like, eps, data):
    check_subspace(data.draw(KINDS[kind]), like, tolerance=100 * eps)


@given(data=st.data())
def test_reject_is_the_complement_of_project(like, eps, array, host, data):
    """`_reject` has shortcuts of its own; the matrix has none."""
    subspace = data.draw(st.one_of(*KINDS.values()))
    u = subspace.matrix()
    x = normal(data.draw(seeds), 2, subspace.ambient_dim)
    expected = x - x @ u @ u.T
    found = host(subspace.reject(array(x.reshape(2, *subspace.ambient_shape)))).reshape(x.shape)
    assert np.max(np.abs(found - expected)) <= 100 * eps * np.max(np.abs(x))


@given(data=st.data())
def test_axis_matrices_are_the_factors_of_the_matrix(data):
    subspace = data.draw(st.one_of(*KINDS.values()))
    matrices = subspace.axis_matrices()
    if matrices is not None:
        assert [u.shape for u in matrices] == list(zip(subspace.ambient_shape, subspace.shape))
        np.testing.assert_allclose(reduce(np.kron, matrices), subspace.matrix(), atol=1e-13)
        matrices[0][...] = 7.0  # a copy
        np.testing.assert_allclose(reduce(np.kron, subspace.axis_matrices()), subspace.matrix(), atol=1e-13)


@pytest.mark.parametrize("kind", ["Identity", "Downsampling", "LowPass", "Separable", "Wavelet"])
@given(data=st.data())
def test_what_acts_axis_by_axis_says_so(kind, data):
    outer, step = data.draw(KINDS[kind]), Downsampling((2, 1), (2, 1))
    assert outer.axis_matrices() is not None
    inner = outer @ Identity(outer.shape)
    assert Composition(outer, inner.within(outer)).axis_matrices() is not None
    assert Relative(outer, inner).axis_matrices() is not None
    opaque = Basis(np.eye(2), (2, 1), (2, 1)) @ step
    assert opaque.axis_matrices() is None and Relative(Identity((2, 1)), opaque).axis_matrices() is None
