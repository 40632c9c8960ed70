"""One basis for every patch, against loops over the patches."""

import re
import tracemalloc
from itertools import product
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from subspace_sde import Downsampling, NestedSubspaces
from subspace_sde.subspaces import PatchBasis, Relative


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def orthonormal(seed, d, n):
    return np.linalg.qr(normal(seed, d, n))[0]


def patch_by_patch(x, shape, patch, matrix):
    """x (batch, *shape) to (batch, m, *grid): the definition, in loops."""
    leading = shape[: -len(patch)]
    grid = [n // p for n, p in zip(shape[len(leading) :], patch)]
    z = np.zeros((len(x), matrix.shape[1], *grid))
    for place in product(*map(range, grid)):
        window = tuple(slice(g * p, (g + 1) * p) for g, p in zip(place, patch))
        z[(slice(None), slice(None), *place)] = x[(..., *window)].reshape(len(x), -1) @ matrix
    return z


@st.composite
def drawn(draw):
    """(shape, patch, matrix): signals, images, videos, volumes, with channel axes or without."""
    leading = draw(st.lists(st.integers(1, 3), max_size=2))
    patch = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    shape = (*leading, *(p * draw(st.integers(1, 3)) for p in patch))
    numbers = prod(leading) * prod(patch)
    return shape, tuple(patch), orthonormal(draw(st.integers(0, 2**32 - 1)), numbers, draw(st.integers(1, numbers)))


@given(drawn())
def test_every_patch_is_multiplied_by_the_matrix(like, eps, array, host, drawn):
    shape, patch, matrix = drawn
    subspace, x = PatchBasis(shape, patch, array(matrix)), normal(0, 2, *shape)
    z = host(subspace.restrict(array(x)))
    expected = patch_by_patch(x, shape, patch, matrix)
    assert z.shape == (2, *subspace.shape) == expected.shape
    assert np.max(np.abs(z - expected)) <= 100 * eps * np.max(np.abs(x))


def test_an_image_is_a_convolution_with_a_stride(torch_like):
    matrix, x = orthonormal(0, 3 * 4 * 2, 5), torch.asarray(normal(1, 2, 3, 8, 6)).to(torch_like)
    kernel = torch.asarray(matrix.T.reshape(5, 3, 4, 2).copy()).to(torch_like)
    subspace = PatchBasis((3, 8, 6), (4, 2), matrix)
    torch.testing.assert_close(subspace.restrict(x), torch.nn.functional.conv2d(x, kernel, stride=(4, 2)))
    z = subspace.restrict(x)
    torch.testing.assert_close(subspace.embed(z), torch.nn.functional.conv_transpose2d(z, kernel, stride=(4, 2)))


def test_one_number_is_for_the_last_two_axes_or_the_last():
    assert PatchBasis((12,), 3, np.eye(3)[:, :2]).shape == (2, 4)
    assert PatchBasis((12, 6), 3, np.eye(9)[:, :2]).shape == (2, 4, 2)
    assert PatchBasis((3, 12, 6), 3, np.eye(27)[:, :4]).shape == (4, 4, 2)
    assert PatchBasis((2, 5, 12, 6), 3, np.eye(90)[:, :4]).shape == (4, 4, 2)
    assert PatchBasis((2, 12), (3,), np.eye(6)[:, :4]).shape == (4, 4)
    assert PatchBasis((2, 4, 12, 6), (2, 3, 3), np.eye(36)[:, :4]).shape == (4, 2, 4, 2)


def test_constant_patches_are_block_means():
    mean = np.full((16, 1), 0.25)
    x = normal(0, 2, 8, 12)
    found = PatchBasis((8, 12), 4, mean).restrict(x)
    np.testing.assert_allclose(found[:, 0], Downsampling((8, 12), 4).restrict(x), atol=1e-14)


def test_the_whole_matrix_loses_nothing():
    x = normal(0, 2, 3, 4, 6)
    rotated = PatchBasis((3, 4, 6), 2, orthonormal(1, 12, 12))
    assert rotated.shape == (12, 2, 3)
    np.testing.assert_allclose(rotated.project(x), x, atol=1e-14)


# -- nesting -------------------------------------------------------------------------------------------------------


@given(drawn(), st.data())
def test_a_part_of_the_matrix_is_a_subspace(drawn, data):
    shape, patch, matrix = drawn
    m = matrix.shape[1]
    part = matrix @ orthonormal(3, m, data.draw(st.integers(1, m)))
    outer, inner = PatchBasis(shape, patch, matrix), PatchBasis(shape, patch, part)
    step = inner.within(outer)
    assert type(step) is PatchBasis and step.patch == (1,) * len(patch)
    assert (step.ambient_shape, step.shape) == (outer.shape, inner.shape)
    np.testing.assert_allclose(step.matrix(), Relative(outer, inner).matrix(), atol=1e-13)


def test_how_far_patches_stick_out_is_that_of_the_worst_patch():
    u = np.eye(12)[:, :3]
    for angle in (2e-6, 1e-3, 1.0):
        tilted = u.copy()
        tilted[2, 2], tilted[3, 2] = np.cos(angle), np.sin(angle)
        with pytest.raises(ValueError, match=re.escape(f"sticks out of the one with 48 by {np.sin(angle):.1e} of its")):
            PatchBasis((3, 8, 8), 2, tilted).within(PatchBasis((3, 8, 8), 2, u))


@pytest.mark.parametrize(
    ("make", "most"),
    [
        (lambda shape, u: PatchBasis(shape, 8, u), 1e6),  # two small matrices
        (lambda shape, u: Downsampling(shape, 8), 6 * 3 * 512 * 512 * 8),  # a few copies of one vector
    ],
)
def test_nesting_of_patches_of_large_images_takes_little_memory(make, most):
    u = np.linalg.qr(np.concatenate([np.kron(np.eye(3), np.ones((64, 1))), normal(0, 192, 20)], axis=1))[0]
    shape = (3, 512, 512)
    inner, outer = make(shape, u[:, :3]), PatchBasis(shape, 8, u)
    tracemalloc.start()
    step = inner.within(outer)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert step.shape == inner.shape and peak < most


def test_a_flag_of_patches_and_of_blocks():
    u = np.concatenate([np.full((16, 1), 0.25), normal(0, 16, 5)], axis=1)
    u = np.linalg.qr(u)[0]
    levels = [PatchBasis((8, 8), 4, u), PatchBasis((8, 8), 4, u[:, :2]), Downsampling((1, 8, 8), 4)]
    nested = NestedSubspaces.from_subspaces(levels[:2])
    assert [step.shape for step in nested.steps] == [(6, 2, 2), (2, 2, 2)]
    blocks = Downsampling((8, 8), 4).within(levels[1])  # the constant is among the columns
    np.testing.assert_allclose(blocks.matrix(), levels[1].matrix().T @ Downsampling((8, 8), 4).matrix(), atol=1e-14)


# -- refusals ------------------------------------------------------------------------------------------------------

REFUSALS = {
    "a patch that does not divide": (
        lambda: PatchBasis((3, 8, 9), 2, np.eye(12)),
        "the patch of 2 does not divide axis -1 of length 9: take another, or crop the arrays",
    ),
    "a matrix for other patches": (
        lambda: PatchBasis((3, 8, 8), 2, np.eye(4)[:, :2]),
        "a patch of shape (3, 2, 2) holds 12 numbers, but the matrix has 4 rows",
    ),
    "too many axes": (
        lambda: PatchBasis((8, 8), (1, 2, 2), np.eye(4)),
        "patch must be one number or one for each of the last axes of (8, 8), got (1, 2, 2)",
    ),
    "no axes": (lambda: PatchBasis((8, 8), (), np.eye(4)), "patch must be one number or one for each of the last"),
    "a patch of nothing": (lambda: PatchBasis((8, 8), 0, np.eye(4)), "patch must hold positive integers, got (0, 0)"),
    "columns too long": (
        lambda: PatchBasis((8,), 2, np.eye(2) * 1.001),
        "the columns of the matrix are not orthonormal: UᵀU differs from the identity by 2.0e-03; "
        "Basis.spanning(vectors) or np.linalg.qr makes them so",
    ),
    "more columns than numbers": (
        lambda: PatchBasis((8,), 2, np.ones((2, 3))),
        "the columns of the matrix cannot be orthonormal: they are 3 vectors of length 2",
    ),
    "NaN": (lambda: PatchBasis((8,), 1, np.asarray([[np.nan]])), "the basis holds NaN or infinity"),
    "other columns": (
        lambda: PatchBasis((8,), 2, np.eye(2)[:, :1]).within(PatchBasis((8,), 2, np.eye(2)[:, 1:])),
        "the subspaces are not nested: the one with 4 dimensions sticks out of the one with 4 by 1.0e+00 of its length",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSALS.values(), ids=REFUSALS)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
