"""Large images are nested on their axes, without large matrices and without many copies."""

import tracemalloc

import numpy as np
import pytest

from subspace_sde.subspaces import Downsampling, Identity, LowPass, PatchBasis, Separable, Wavelet
from tests.subspaces.kinds import orthonormal

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


@pytest.mark.parametrize(
    ("subspace", "copies"),
    [
        (Downsampling(LARGE, 4), 2.5),
        (LowPass(LARGE, 512), 2.5),
        (Wavelet(LARGE, "db4"), 4.1),  # even and odd entries apart, the sum so far and the next
        (Separable(LARGE, {-2: COSINES, -1: COSINES}), 2.5),
        (PatchBasis(LARGE, 8, orthonormal(0, 192, 24)), 2.5),
    ],
)
def test_large_arrays_are_copied_a_few_times_at_most(subspace, copies):
    x = np.random.default_rng(0).standard_normal((1, *LARGE), dtype=np.float32)
    z = subspace.restrict(x)  # its constants are now float32 too
    for apply, argument in ((subspace.restrict, x), (subspace.project, x), (subspace.embed, z)):
        tracemalloc.start()
        apply(argument)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak <= copies * x.nbytes
