"""The plug-in, put to the laws that subspace_sde ships; and subspace_sde, run on its arrays."""

import counting_arrays
import numpy as np
import pytest

from subspace_sde import EDM, VE, Downsampling, LowPass, NestedSubspaces, SubspaceSDE, sample
from subspace_sde.backend import backend_of
from subspace_sde.oracles import Gaussian
from subspace_sde.solvers import Heun
from subspace_sde.testing import laws

LIKE = {dtype: counting_arrays.Array(np.zeros((), dtype)) for dtype in ("float32", "float64")}
NORMAL = Gaussian(np.zeros((4, 4)), np.eye(16))


def cases(dtype):
    """The laws of every noun, on its arrays."""
    like = LIKE[dtype]
    yield from laws(backend_of(like), like)
    yield from laws(LowPass((3, 9, 8), 5), like, outer=LowPass((3, 9, 8), 7))
    yield from laws(EDM(), like)
    yield from laws(Heun(), like, order=2)
    yield from laws(NORMAL.score(VE()), like, sde=VE(), shape=(4, 4))


@pytest.mark.parametrize(
    "law", [law for dtype in LIKE for law in cases(dtype)], ids=lambda law: f"{law.subject}: {law.name}"
)
def test_laws(law):
    """One law at a time, by its name."""
    law()


def test_it_is_found_by_its_arrays():
    """By the entry point, of which nobody told subspace_sde."""
    assert type(backend_of(LIKE["float32"])).__name__ == "CountingBackend"


def test_a_level_of_half_the_size_writes_less():
    """What subspace diffusion saves, in numbers written: half of the steps run on a quarter of the numbers."""
    written = {}
    for times in ((), (0.5,)):
        steps = [Downsampling((4, 4), 2)][: len(times)]
        process = SubspaceSDE(VE(), NestedSubspaces(steps, ambient_shape=(4, 4)), times, [1.0] * len(times))
        scores = [lambda x, t: -x / (1 + VE().sigma(t) ** 2)] * (len(times) + 1)
        with counting_arrays.counted() as so_far:
            found = sample(process, scores, num=8, steps=40, rng=0, like=LIKE["float32"])
        written[times] = so_far()
        assert found.x.shape == (8, 4, 4) and found.x.dtype == np.float32
    assert 0.5 < written[(0.5,)] / written[()] < 0.75
