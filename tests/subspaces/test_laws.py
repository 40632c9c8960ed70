"""Subspaces: the laws over a registry of kinds, then every kind against an independent computation."""

import re
import tracemalloc
from functools import reduce
from itertools import accumulate
from math import cos, prod, sin

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import dctn, idctn

from subspace_sde.subspaces import (
    Basis,
    Composition,
    Downsampling,
    Identity,
    LowPass,
    NestedSubspaces,
    PatchBasis,
    Relative,
    Separable,
    Subspace,
    Wavelet,
)
from subspace_sde.testing import check_subspace

shapes = st.one_of(st.tuples(*[st.integers(1, most)] * ndim) for ndim, most in ((1, 12), (2, 7), (3, 4)))
seeds = st.integers(0, 2**32 - 1)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def orthonormal(seed, d, n):
    return np.linalg.qr(normal(seed, d, n))[0]


@st.composite
def some_axes(draw, ndim):
    """Any axes, each once, in any order, counted from either end."""
    chosen = draw(st.lists(st.integers(0, ndim - 1), min_size=1, max_size=ndim, unique=True))
    return tuple(a - ndim if draw(st.booleans()) else a for a in chosen)


@st.composite
def bases(draw, ambient=None):
    ambient = draw(shapes) if ambient is None else ambient
    n = draw(st.integers(1, min(prod(ambient), 12)))
    return Basis(orthonormal(draw(seeds), prod(ambient), n), ambient, draw(st.sampled_from([None, (n, 1)])))


@st.composite
def spans(draw):
    """Vectors that are neither orthogonal nor of one length."""
    d = draw(st.integers(1, 30))
    n = draw(st.integers(1, min(d, 6)))
    vectors = normal(draw(seeds), d, n) + 3.0
    return Basis.spanning(vectors * 10.0 ** np.arange(n))


@st.composite
def downsamplings(draw, ambient=None):
    if ambient is None:
        coarse = draw(shapes.filter(lambda shape: prod(shape) <= 24))
        axes = draw(some_axes(len(coarse)))
        factors = tuple(draw(st.integers(1, 3)) for _ in axes)
        ambient = list(coarse)
        for f, a in zip(factors, axes):
            ambient[a] *= f
    else:
        axes = draw(some_axes(len(ambient)))
        factors = tuple(draw(st.sampled_from([f for f in range(1, 8) if ambient[a] % f == 0])) for a in axes)
    return Downsampling(ambient, factors, axes)


@st.composite
def low_passes(draw, ambient=None):
    ambient = draw(shapes) if ambient is None else ambient
    axes = draw(some_axes(len(ambient)))
    return LowPass(ambient, tuple(draw(st.integers(1, ambient[a])) for a in axes), axes)


@st.composite
def separables(draw, ambient=None):
    ambient = draw(shapes) if ambient is None else ambient
    axes = draw(some_axes(len(ambient)))
    return Separable(ambient, {a: orthonormal(draw(seeds), ambient[a], draw(st.integers(1, ambient[a]))) for a in axes})


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
def patch_bases(draw, ambient=None):
    if ambient is None:
        coarse = draw(shapes.filter(lambda shape: prod(shape) <= 24))
        patch = tuple(draw(st.integers(1, 3)) for _ in range(draw(st.integers(1, len(coarse)))))
        leading, tiled = coarse[: -len(patch)], coarse[-len(patch) :]
        ambient = (*leading, *(n * p for n, p in zip(tiled, patch)))
    else:
        tiled = ambient[-draw(st.integers(1, len(ambient))) :]
        patch = tuple(draw(st.sampled_from([p for p in range(1, 8) if n % p == 0])) for n in tiled)
    numbers = prod(ambient[: -len(patch)]) * prod(patch)
    return PatchBasis(ambient, patch, orthonormal(draw(seeds), numbers, draw(st.integers(1, min(numbers, 6)))))


def inside(shape):
    """Any subspace of the arrays of that shape."""
    kinds = (bases, downsamplings, low_passes, separables, patch_bases)
    return st.one_of(st.just(Identity(shape)), *(kind(shape) for kind in kinds))


@st.composite
def compositions(draw):
    outer = draw(shapes.flatmap(inside))
    middle = draw(inside(outer.shape))
    return outer @ middle @ draw(inside(middle.shape))


@st.composite
def pairs(draw):
    """(outer, the step inside it, its composition): the last lies in the first."""
    outer = draw(shapes.flatmap(inside))
    step = draw(inside(outer.shape))
    return outer, step, outer @ step


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


class Broken(Subspace):
    """A subspace whose every method can be replaced."""

    def __init__(self, shape=(2,), **methods):
        super().__init__((4,), shape)
        for name, method in methods.items():
            setattr(self, name, method)

    def _restrict(self, x, xp):
        return x[..., :2]

    def _embed(self, z, xp):
        return xp.concat([z, 0 * z], axis=-1)


class InPlace(Broken):
    def _restrict(self, x, xp):
        x[..., 0] = 1.0
        return x[..., :2]


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (Broken(_embed=lambda z, xp: 2 * xp.concat([z, 0 * z], axis=-1)), "UᵀU = I"),
        (Broken(_embed=lambda z, xp: xp.concat([z, z], axis=-1)), "adjointness"),
        (Broken(_project=lambda x, xp: 2 * x), "P = UUᵀ"),
        (Broken(_reject=lambda x, xp: 0 * x), "project + reject = identity"),
        (Broken(_restrict=lambda x, xp: x[..., :2] + x[..., :2] ** 3 * 1e-3), "UᵀU = I"),
        (Broken(shape=(3,)), "restrict gives (*batch, *shape)"),
        (Broken(_restrict=lambda x, xp: np.float64(1) * x[..., :2]), "same library, dtype and device"),
        (Broken(matrix=lambda: np.zeros((4, 2))), "matrix()"),
        (Broken(axis_matrices=lambda: (np.eye(4)[:, 1:3],)), "Kronecker product of axis_matrices()"),
        (
            Broken(axis_matrices=lambda: (np.eye(4),)),
            "one matrix (n_a, m_a) for each axis: does not hold: got [(4, 4)]",
        ),
        (Broken(_restrict=lambda x, xp: x[..., 7]), "restrict gives (*batch, *shape): raises IndexError"),
        (
            Broken(_restrict=lambda x, xp: xp.astype(x[..., :2], xp.float64)),
            "restrict gives (*batch, *shape), in the same",
        ),
        (Broken(_reject=lambda x, xp: x.nothing), "reject gives the shape of x: raises AttributeError"),
        (InPlace(), "the input is left as it was"),
    ],
)
def test_check_subspace_names_the_broken_law(broken, law):
    like = np.zeros((), dtype=np.float32)
    with pytest.raises(AssertionError, match=re.escape(law)) as failure:
        check_subspace(broken, like)
    assert "default_rng" in str(failure.value)


def test_check_subspace_passes_what_is_right():
    check_subspace(Broken())
    check_subspace(Broken(axis_matrices=lambda: (np.eye(4)[:, :2],)), outer=Basis(np.eye(4)[:, [2, 0, 1]]))


def swapped(step):
    return Separable((3,), {0: step[:, ::-1]})


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (Broken(_within=lambda outer: swapped(np.eye(3)[:, :2])), "nesting, U_j U_{k|j} z = U_k z"),
        (Broken(_within=lambda outer: Basis(np.eye(4)[:, :2])), "the step embeds into the coordinates of outer"),
        (
            Broken(
                _embed=lambda z, xp: xp.concat([0 * z, z], axis=-1),
                _restrict=lambda x, xp: x[..., 2:],
            ),
            "within(outer): raises ValueError: the subspaces are not nested",
        ),
    ],
)
def test_check_subspace_names_the_broken_nesting(broken, law):
    check_subspace(broken)  # an isometry, and so are the steps
    with pytest.raises(AssertionError, match=re.escape(law)):
        check_subspace(broken, outer=Basis(np.eye(4)[:, :3]))


def test_check_subspace_takes_subspaces():
    with pytest.raises(TypeError, match="takes a Subspace, got int"):
        check_subspace(3)


# -- against independent computations ------------------------------------------------------------------------------


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


# -- nesting -------------------------------------------------------------------------------------------------------


@given(data=st.data())
def test_composition_is_the_product_of_matrices(data):
    outer, step, both = data.draw(pairs())
    np.testing.assert_allclose(both.matrix(), outer.matrix() @ step.matrix(), atol=1e-13)
    last = data.draw(inside(step.shape))
    np.testing.assert_allclose((both @ last).matrix(), (outer @ (step @ last)).matrix(), atol=1e-13)


def test_identity_is_neutral():
    subspace = Downsampling((4, 6), 2)
    assert Identity((4, 6)) @ subspace is subspace
    assert subspace @ Identity((2, 3)) is subspace
    assert subspace.within(Identity((4, 6))) is subspace
    assert subspace.__matmul__(3) is NotImplemented


@given(data=st.data())
def test_within_is_the_step(data):
    """U_{k|j} = U_jᵀU_k, whatever kinds the two are, and it is again a subspace."""
    outer, step, both = data.draw(pairs())
    check_subspace(both, outer=outer)
    relative = both.within(outer)
    assert (relative.ambient_shape, relative.shape) == (outer.shape, step.shape)
    np.testing.assert_allclose(relative.matrix(), outer.matrix().T @ both.matrix(), atol=1e-13)
    np.testing.assert_allclose(relative.matrix(), step.matrix(), atol=1e-13)


@st.composite
def nested_downsamplings(draw):
    step = draw(downsamplings())
    ambient, ndim = list(step.ambient_shape), len(step.ambient_shape)
    first = {a: draw(st.integers(1, 2)) for a in range(-ndim, 0)}
    ambient = [n * first[a] for n, a in zip(ambient, range(-ndim, 0))]
    total = {a: first[a] * dict(zip(step.axes, step.factor)).get(a, 1) for a in first}
    outer = Downsampling(ambient, tuple(first.values()), tuple(first))
    return outer, Downsampling(ambient, tuple(total.values()), tuple(total))


@st.composite
def nested_low_passes(draw):
    inner = draw(low_passes())
    outer_axes = tuple(a for a in inner.axes if draw(st.booleans())) or inner.axes[:1]
    outer_size = tuple(draw(st.integers(inner.shape[a], inner.ambient_shape[a])) for a in outer_axes)
    return LowPass(inner.ambient_shape, outer_size, outer_axes), inner


@st.composite
def nested_separables(draw):
    """The outer one of any kind that acts axis by axis."""
    shape = draw(shapes.filter(lambda shape: max(shape) > 1))
    kind = draw(st.sampled_from([downsamplings, low_passes, separables]))
    outer = draw(kind(shape).filter(lambda outer: outer.dim > 1))
    axis = draw(st.sampled_from([a for a, m in enumerate(outer.shape) if m > 1]))
    u = orthonormal(draw(seeds), outer.shape[axis], draw(st.integers(1, outer.shape[axis] - 1)))
    product = [a @ b for a, b in zip(outer.axis_matrices(), Separable(outer.shape, {axis: u}).axis_matrices())]
    return outer, Separable(shape, dict(enumerate(product)))


@st.composite
def nested_bases(draw):
    outer, _, both = draw(pairs())
    return outer, Basis(both.matrix(), both.ambient_shape, both.shape)


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        (nested_downsamplings, Downsampling),
        (nested_low_passes, LowPass),
        (nested_separables, Separable),
        (nested_bases, Basis),
    ],
)
@given(data=st.data())
def test_the_structure_of_a_step_is_kept(family, kind, data):
    """Block means within block means are block means, and so on: the same map as the general one, never slower."""
    outer, inner = data.draw(family())
    check_subspace(inner, outer=outer)
    step = inner.within(outer)
    assert type(step) is kind
    np.testing.assert_allclose(step.matrix(), Relative(outer, inner).matrix(), atol=1e-13)
    np.testing.assert_allclose(step.matrix(), outer.matrix().T @ inner.matrix(), atol=1e-13)


def tilted(angle, n=6, m=3):
    """The first m unit vectors of n, one of them turned by the angle out of their span."""
    u = np.eye(n)[:, :m]
    u[m - 1, m - 1], u[m, m - 1] = cos(angle), sin(angle)
    return u


@pytest.mark.parametrize("angle", [2e-6, 1e-3, 1.0])
def test_nesting_of_products_is_decided_exactly(angle):
    """The worst vector of the subspace, one in 3·3·1000, sticks out by √(1 − cos² cos²) of its length."""
    shape = (6, 6, 1000)
    outer = Separable(shape, {0: np.eye(6)[:, :3], 1: np.eye(6)[:, :3]})
    one, both = (
        Separable(shape, {0: tilted(angle), 1: np.eye(6)[:, :3]}),
        Separable(shape, dict.fromkeys((0, 1), tilted(angle))),
    )
    for inner, length in ((one, sin(angle)), (both, (1 - cos(angle) ** 4) ** 0.5)):
        with pytest.raises(
            ValueError, match=re.escape(f"sticks out of the one with 9000 by {length:.1e} of its length")
        ):
            inner.within(outer)
    almost = Separable(shape, {0: tilted(1e-7), 1: np.eye(6)[:, :2]})
    np.testing.assert_allclose(almost.within(outer).axis_matrices()[0], np.eye(3), atol=1e-13)


LARGE = (3, 1024, 1024)
COSINES = LowPass((1024,), 256, axes=(-1,)).axis_matrices()[0]


@pytest.mark.parametrize(
    ("inner", "outer"),
    [
        (LowPass(LARGE, 256), LowPass(LARGE, 512)),
        (Downsampling(LARGE, 8), Downsampling(LARGE, 4)),
        (Downsampling(LARGE, 4), Wavelet(LARGE, "haar", 1)),
        (Separable(LARGE, {-3: np.ones((3, 1)) / 3**0.5, -1: COSINES}), LowPass(LARGE, 512, axes=(-1,))),
        (LowPass(LARGE, 256), Separable(LARGE, {-1: COSINES})),
    ],
    ids=str,
)
def test_nesting_of_large_images_is_decided_on_the_axes(inner, outer):
    """No array of the images' own size is made: eight of them in float64 would take 200 MB."""
    tracemalloc.start()
    step = inner.within(outer)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (step.ambient_shape, step.shape) == (outer.shape, inner.shape)
    assert peak < 100e6
    with pytest.raises(ValueError, match="not nested"):
        outer.within(inner)


def test_long_axes_are_compared_without_matrices():
    """Block means of 10⁶ numbers as a matrix would fill terabytes."""
    whole = (2**20,)
    coarse, fine = (Downsampling(whole, f, axes=(-1,)) for f in (2**12, 2**10))
    assert coarse.within(fine).factor == (4,)
    with pytest.raises(ValueError, match="not nested"):
        fine.within(coarse)


def test_the_same_axes_leave_nothing_to_do():
    outer = Separable((4, 6), {0: np.eye(4)[:, :2]})
    assert isinstance(Separable((4, 6), {0: np.eye(4)[:, :2]}).within(outer), Identity)


@st.composite
def chains(draw):
    """NestedSubspaces of one to three steps, each losing dimensions."""
    shape = draw(shapes.filter(lambda shape: prod(shape) > 1))
    steps = []
    for _ in range(draw(st.integers(1, 3))):
        if prod(shape) == 1:
            break
        step = draw(inside(shape).filter(lambda s: s.dim < s.ambient_dim))
        steps.append(step)
        shape = step.shape
    return NestedSubspaces(steps)


@given(data=st.data())
def test_algebra_of_the_projections(data):
    """The paper's Notation, with every level as a matrix."""
    nested = data.draw(chains())
    u = [level.matrix() for level in nested]
    products = accumulate((step.matrix() for step in nested.steps), np.matmul, initial=np.eye(nested[0].dim))
    for level, product in zip(u, products):
        np.testing.assert_allclose(level, product, atol=1e-13)
    for k in range(len(nested)):
        for j in range(k + 1):
            relative = nested.between(j, k)
            assert (relative.ambient_shape, relative.shape) == (nested[j].shape, nested[k].shape)
            np.testing.assert_allclose(relative.matrix(), u[j].T @ u[k], atol=1e-13)
            p_j, p_k, p_kj = u[j] @ u[j].T, u[k] @ u[k].T, relative.matrix() @ relative.matrix().T
            np.testing.assert_allclose(p_k @ p_j, p_k, atol=1e-13)
            np.testing.assert_allclose(p_j @ p_k, p_k, atol=1e-13)
            np.testing.assert_allclose(u[j] @ p_kj @ u[j].T, p_k, atol=1e-13)
            for i in range(j + 1):
                through = nested.between(i, j) @ nested.between(j, k)
                np.testing.assert_allclose(through.matrix(), nested.between(i, k).matrix(), atol=1e-13)


@given(data=st.data())
def test_from_subspaces_finds_the_steps(like, eps, array, host, data):
    nested = data.draw(chains())
    again = NestedSubspaces.from_subspaces(nested[1:])
    assert len(again) == len(nested) and again.ambient_shape == nested.ambient_shape
    x = normal(data.draw(seeds), 2, *nested.ambient_shape)
    for one, other in zip(nested, again):
        difference = host(one.restrict(array(x))) - host(other.restrict(array(x)))
        assert np.max(np.abs(difference)) <= 100 * eps * np.max(np.abs(x))
    for level in again:
        check_subspace(level, like, tolerance=100 * eps)


def test_nested_subspaces_are_a_sequence():
    steps = [Downsampling((3, 8, 8), 2), LowPass((3, 4, 4), 3)]
    nested = NestedSubspaces(steps)
    assert (len(nested), nested.steps, nested.ambient_shape) == (3, tuple(steps), (3, 8, 8))
    assert isinstance(nested[0], Identity) and nested[1] is steps[0] and isinstance(nested[-1], Composition)
    assert list(nested) == nested[0:3]
    assert repr(nested) == "NestedSubspaces((3, 8, 8) ⊃ (3, 4, 4) ⊃ (3, 3, 3))"
    assert repr(nested[2]) == "Downsampling((3, 8, 8) -> (3, 4, 4)) @ LowPass((3, 4, 4) -> (3, 3, 3))"
    full = NestedSubspaces([], ambient_shape=(3, 8))
    assert len(full) == 1 and full[0].shape == (3, 8) and full.between(0, 0).dim == 24


# -- large arrays --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "subspace",
    [
        Downsampling(LARGE, 4),
        LowPass(LARGE, 512),
        Wavelet(LARGE, "db4"),
        Separable(LARGE, {-2: COSINES, -1: COSINES}),
        PatchBasis(LARGE, 8, orthonormal(0, 192, 24)),
    ],
    ids=str,
)
def test_large_arrays_are_copied_a_few_times_at_most(subspace):
    x = np.random.default_rng(0).standard_normal((1, *LARGE), dtype=np.float32)
    z = subspace.restrict(x)  # its constants are now float32 too
    for apply, argument in ((subspace.restrict, x), (subspace.project, x), (subspace.embed, z)):
        tracemalloc.start()
        apply(argument)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak <= 2.5 * x.nbytes


# -- refusals ------------------------------------------------------------------------------------------------------

U = np.eye(4)[:, :2]
NAN = U.copy()
NAN[0, 0] = np.nan
HALVES = Downsampling((4,), 2, axes=-1)
TILTED = Basis(np.asarray([[0.6], [0.0], [0.8], [0.0]]))

REFUSALS = {
    "no size": (lambda: Identity((3, 0)), "ambient_shape must hold positive integers, got (3, 0)"),
    "negative size": (lambda: LowPass((4, -4), 2), "shape must hold positive integers, got (4, -4)"),
    "a float for a size": (lambda: Identity(2.5), "ambient_shape must hold positive integers, got (2.5,)"),
    "a bool for a size": (lambda: Identity((True,)), "ambient_shape must hold positive integers, got (True,)"),
    "a float for a factor": (lambda: Downsampling((4, 4), 2.0), "factor must hold positive integers, got (2.0, 2.0)"),
    "factor 0": (lambda: Downsampling((4, 4), 0), "factor must hold positive integers, got (0, 0)"),
    "size 0": (lambda: LowPass((4, 4), (2, 0)), "size must hold positive integers, got (2, 0)"),
    "factor that does not divide": (
        lambda: Downsampling((3, 8, 9), 2),
        "the factor 2 does not divide axis -1 of length 9: LowPass takes any size",
    ),
    "size too large": (lambda: LowPass((8, 9), 9), "size 9 is larger than axis -2, which has length 8"),
    "axes that are not there": (lambda: LowPass((8,), 3), "axes (-2, -1) do not exist in an array of 1 axes"),
    "half an axis": (lambda: LowPass((8, 8), 3, axes=(-1.5,)), "axes (-1.5,) do not exist in an array of 2 axes"),
    "an axis twice": (
        lambda: Downsampling((8, 8), 2, axes=(1, -1)),
        "axes must name at least one axis, each once, got (1, -1)",
    ),
    "no axes": (lambda: LowPass((8, 8), 2, axes=()), "axes must name at least one axis, each once, got ()"),
    "factors for other axes": (
        lambda: Downsampling((8, 8), (2, 2, 2)),
        "factor must be one number or one for each of the axes (-2, -1), got (2, 2, 2)",
    ),
    "columns too long": (
        lambda: Basis(U * 1.001),
        "the columns are not orthonormal: UᵀU differs from the identity by 2.0e-03; Basis.spanning(vectors)",
    ),
    "columns not orthogonal": (
        lambda: Basis(np.asarray([[1.0, 0.6], [0.0, 0.8]])),
        "the columns are not orthonormal: UᵀU differs from the identity by 6.0e-01",
    ),
    "float32 columns too long": (
        lambda: Basis(torch.asarray(U * 1.001).to(torch.float32)),
        "the columns are not orthonormal: UᵀU differs from the identity by 2.0e-03",
    ),
    "more columns than rows": (
        lambda: Basis(np.ones((2, 3))),
        "a subspace cannot have more dimensions (3) than the space it lies in (2)",
    ),
    "NaN in a basis": (lambda: Basis(NAN), "the basis holds NaN or infinity"),
    "infinity in vectors": (lambda: Basis.spanning(U + np.inf), "the basis holds NaN or infinity"),
    "integers in a basis": (
        lambda: Basis(np.eye(3, dtype=np.int64)),
        "a basis holds real floating-point numbers, got int64",
    ),
    "complex basis": (lambda: Basis(np.eye(3, dtype=complex)), "a basis holds real floating-point numbers"),
    "a vector for a matrix": (
        lambda: Basis(np.ones(4) / 2),
        "a basis is a matrix (d, n) with n >= 1 columns, got shape (4,)",
    ),
    "no columns": (lambda: Basis(np.ones((4, 0))), "a basis is a matrix (d, n) with n >= 1 columns, got shape (4, 0)"),
    "a basis of another shape": (
        lambda: Basis(U, ambient_shape=(2, 3)),
        "a matrix of shape (4, 2) does not fit ambient_shape (2, 3) (6 numbers) and shape (2,) (2 numbers)",
    ),
    "a separable matrix too long": (
        lambda: Separable((2, 4), {1: U * 1.001}),
        "the columns of the matrix of axis -1 are not orthonormal: UᵀU differs from the identity by 2.0e-03; "
        "Basis.spanning(vectors) or np.linalg.qr makes them so",
    ),
    "a separable matrix of another length": (
        lambda: Separable((5, 4), {0: U}),
        "the matrix of axis -2 has 4 rows, but the axis has length 5",
    ),
    "a separable matrix with more columns than rows": (
        lambda: Separable((5, 2), {-1: U.T}),
        "the columns of the matrix of axis -1 cannot be orthonormal: they are 4 vectors of length 2",
    ),
    "no separable matrices": (lambda: Separable((5, 2), {}), "axes must name at least one axis, each once, got ()"),
    "two matrices for an axis": (
        lambda: Separable((5, 4), {1: U, -1: U}),
        "axes must name at least one axis, each once, got (1, -1)",
    ),
    "a matrix for no axis": (lambda: Separable((4,), {-2: U}), "axes (-2,) do not exist in an array of 1 axes"),
    "NaN in a separable matrix": (lambda: Separable((4,), {-1: NAN}), "the basis holds NaN or infinity"),
    "dependent vectors": (
        lambda: Basis.spanning(np.asarray([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])),
        "the vectors are not linearly independent",
    ),
    "a vector of zeros": (lambda: Basis.spanning(U * [1.0, 0.0]), "the vectors are not linearly independent"),
    "more vectors than dimensions": (
        lambda: Basis.spanning(np.ones((2, 3)) + np.eye(3)[:2]),
        "the vectors are not linearly independent",
    ),
    "a product that does not chain": (
        lambda: Downsampling((8, 8), 2) @ LowPass((8, 8), 2),
        "these steps do not chain: the outer one has coordinates of shape (4, 4), the inner one lies in arrays of "
        "shape (8, 8)",
    ),
    "a product with an identity that does not chain": (lambda: Identity((3,)) @ HALVES, "these steps do not chain"),
    "within another space": (
        lambda: HALVES.within(Identity((5,))),
        "the two subspaces lie in different spaces: arrays of shape (4,) and (5,)",
    ),
    # blocks average (0.6, 0, 0.8, 0) to (0.3, 0.3, 0.4, 0.4), so it is off by a vector of length √½
    "not nested": (
        lambda: TILTED.within(HALVES),
        "the subspaces are not nested: the one with 1 dimensions sticks out of the one with 2 by 7.1e-01 of its length",
    ),
    "not nested, in a list": (
        lambda: NestedSubspaces.from_subspaces([HALVES, TILTED]),
        "the subspaces are not nested: the one with 1 dimensions sticks out of the one with 2 by 7.1e-01",
    ),
    "blocks of 6 in blocks of 4": (
        lambda: Downsampling((12,), 6, axes=-1).within(Downsampling((12,), 4, axes=-1)),
        "the subspaces are not nested: the one with 2 dimensions sticks out of the one with 3",
    ),
    "the larger one last": (
        lambda: NestedSubspaces.from_subspaces([LowPass((8,), 3, axes=-1), LowPass((8,), 5, axes=-1)]),
        "the subspaces are not nested: the one with 5 dimensions sticks out of the one with 3",
    ),
    "the same twice": (
        lambda: NestedSubspaces.from_subspaces([HALVES, HALVES]),
        "each step must lose dimensions, but one keeps all 2: leave it out",
    ),
    "an identity for a step": (lambda: NestedSubspaces([Identity((4,))]), "each step must lose dimensions"),
    "no steps": (lambda: NestedSubspaces([]), "no steps: for the full space alone give NestedSubspaces([], ambient"),
    "no subspaces": (lambda: NestedSubspaces.from_subspaces([]), "no subspaces: for the full space alone give"),
    "steps that do not chain": (
        lambda: NestedSubspaces([Downsampling((8, 8), 2), Downsampling((8, 8), 4)]),
        "the steps do not chain: step 1 has coordinates of shape (4, 4), step 2 lies in arrays of shape (8, 8); "
        "for subspaces of one space use from_subspaces",
    ),
    "steps in another space": (
        lambda: NestedSubspaces([HALVES], ambient_shape=(5,)),
        "step 1 lies in arrays of shape (4,), not (5,)",
    ),
    "between, backwards": (
        lambda: NestedSubspaces([HALVES]).between(1, 0),
        "U_k|j needs 0 <= j <= k <= 1, got j = 1, k = 0",
    ),
    "between, too far": (
        lambda: NestedSubspaces([HALVES]).between(0, 2),
        "U_k|j needs 0 <= j <= k <= 1, got j = 0, k = 2",
    ),
}


@pytest.mark.parametrize("call, message", REFUSALS.values(), ids=REFUSALS)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_what_is_no_subspace_is_refused():
    with pytest.raises(TypeError, match="a step is a Subspace, got ndarray"):
        NestedSubspaces([U])
    with pytest.raises(TypeError, match="unsupported operand"):
        HALVES @ 3
    with pytest.raises(TypeError, match=re.escape("matrices is a mapping {axis: matrix}, got ndarray")):
        Separable((4,), U)
    with pytest.raises(TypeError, match=re.escape("expected an array (numpy, torch, ...), got list")):
        HALVES.restrict([1.0, 2.0, 3.0, 4.0])


@pytest.mark.parametrize(
    ("method", "other", "good", "swapped"),
    [
        ("restrict", "embed", (3, 8, 8), (3, 4, 4)),
        ("embed", "restrict", (3, 4, 4), (3, 8, 8)),
        ("project", "embed", (3, 8, 8), (3, 4, 4)),
        ("reject", "embed", (3, 8, 8), (3, 4, 4)),
    ],
)
def test_wrong_arrays_are_refused(like, array, xp, method, other, good, swapped):
    apply = getattr(Downsampling((3, 8, 8), 2), method)
    message = f"`{method}` takes trailing shape {good}, got {swapped}: did you mean `{other}`?"
    with pytest.raises(ValueError, match=re.escape(message)):
        apply(array(np.zeros((5, *swapped))))
    with pytest.raises(ValueError, match=re.escape(f"`{method}` takes trailing shape {good}, got (3, 5, 5)") + "$"):
        apply(array(np.zeros((2, 3, 5, 5))))
    with pytest.raises(ValueError, match=re.escape(f"`{method}` takes trailing shape {good}, got (8,)") + "$"):
        apply(array(np.zeros(8)))
    for dtype in ("uint8", "int64", "bool"):
        with pytest.raises(ValueError, match=f"`{method}` takes floating-point numbers, got .*{dtype}: convert first"):
            apply(xp.astype(array(np.zeros(good)), getattr(xp, dtype)))
