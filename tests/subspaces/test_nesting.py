"""Composition, nesting and the steps of nested subspaces, against their matrices."""

import re
from itertools import accumulate
from math import cos, prod, sin

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subspace_sde.subspaces import (
    Basis,
    Composition,
    Downsampling,
    Identity,
    LowPass,
    NestedSubspaces,
    Relative,
    Separable,
)
from subspace_sde.testing import check_subspace
from tests.subspaces.kinds import (
    downsamplings,
    inside,
    low_passes,
    normal,
    orthonormal,
    pairs,
    seeds,
    separables,
    shapes,
)


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
