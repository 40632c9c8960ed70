"""`coordinate_scale`: which coordinates are c times a smaller array of the same kind."""

import math

import numpy as np
import pytest

from subspace_sde import (
    Basis,
    Downsampling,
    Identity,
    LowPass,
    NestedSubspaces,
    PatchBasis,
    Separable,
    Subspace,
    Wavelet,
)
from subspace_sde.subspaces import Relative
from subspace_sde.testing import check_subspace
from tests.subspaces.kinds import orthonormal

SHAPE = (3, 15, 12)
KNOWN = {
    "the whole": (Identity(SHAPE), 1.0),
    "block means": (Downsampling(SHAPE, 3), 3.0),
    "blocks of 5 × 2": (Downsampling(SHAPE, (5, 2)), math.sqrt(10)),
    "blocks of one axis": (Downsampling(SHAPE, 4, axes=(-1,)), 2.0),
    "odd sizes": (LowPass(SHAPE, (7, 5)), math.sqrt(15 / 7 * 12 / 5)),
    "three axes": (LowPass(SHAPE, (2, 11, 9), axes=(0, 1, 2)), math.sqrt(3 / 2 * 15 / 11 * 12 / 9)),
    "nothing lost": (LowPass(SHAPE, (15, 12)), 1.0),
    "a wavelet": (Wavelet((3, 20, 24), "db2", levels=(1, 2)), math.sqrt(2) ** 3),
    "a composition": (Downsampling(SHAPE, 3) @ LowPass((3, 5, 4), (4, 3)), 3 * math.sqrt(5 / 4 * 4 / 3)),
    "three of them": (LowPass(SHAPE, 12) @ Downsampling((3, 12, 12), 2) @ Wavelet((3, 6, 6), "haar"), math.sqrt(20)),
    "relative": (Relative(LowPass(SHAPE, 10), LowPass(SHAPE, 7)), 10 / 7),
}


@pytest.mark.parametrize("kind", KNOWN)
def test_ones_have_coordinates_of_that_size(kind, array, host, eps):
    subspace, c = KNOWN[kind]
    assert subspace.coordinate_scale == pytest.approx(c, rel=1e-14)
    assert subspace.coordinate_scale == pytest.approx(math.sqrt(subspace.ambient_dim / subspace.dim), rel=1e-14)
    found = host(subspace.restrict(array(np.ones((2, *subspace.ambient_shape)))))
    assert np.max(np.abs(found - c)) <= 100 * eps * c


def test_what_is_no_smaller_array_has_none():
    basis, patches = Basis(orthonormal(0, 16, 4)), PatchBasis((1, 4, 4), 2, np.full((4, 1), 0.5))
    grey, rotated = Separable(SHAPE, {0: np.full((3, 1), 3**-0.5)}), Separable(SHAPE, {0: orthonormal(1, 3, 3)})
    for subspace in (
        basis,
        patches,
        grey,
        rotated,
        grey @ LowPass(grey.shape, 5),
        Downsampling(SHAPE, 3) @ (Separable((3, 5, 4), {-1: orthonormal(2, 4, 2)})),
        Relative(LowPass(SHAPE, 10), LowPass(SHAPE, 10) @ Separable((3, 10, 10), {-1: orthonormal(3, 10, 2)})),
    ):
        assert subspace.coordinate_scale is None


def test_every_level_of_a_chain_has_its_own():
    nested = NestedSubspaces.from_subspaces([LowPass(SHAPE, 11), LowPass(SHAPE, 7), LowPass(SHAPE, 3)])
    assert [u.coordinate_scale for u in nested] == pytest.approx([1, *(math.sqrt(180) / n for n in (11, 7, 3))])
    # what steps know of each other's kinds is not needed: a Downsampling inside of haar is the ratio
    mixed = NestedSubspaces.from_subspaces([Wavelet((8, 8), "haar"), Downsampling((8, 8), 4)])
    assert [u.coordinate_scale for u in mixed] == pytest.approx([1, 2, 4])


def test_the_shipped_law_sees_a_wrong_one():
    class Twice(LowPass):
        @property
        def coordinate_scale(self):
            return 2.0

    assert isinstance(Twice((6,), 3, axes=(-1,)), Subspace)
    with pytest.raises(AssertionError, match="restrict takes ones to coordinate_scale"):
        check_subspace(Twice((6,), 3, axes=(-1,)))
