"""Chunks and processes change nothing, and a sample is drawn again from its seed."""

import subprocess
import sys

import numpy as np
import pytest

from subspace_sde import sample
from subspace_sde.backend import backend_of, streams
from subspace_sde.solvers import DPMSolver, EulerMaruyama, Heun, Langevin, PredictorCorrector
from tests.sampling.standard_normal import PROCESS, SCORES


@pytest.mark.parametrize("chunk", [1, 2, 3, 6, 7, 50])
@pytest.mark.parametrize(
    ("solver", "langevin"),
    [(EulerMaruyama(), Langevin(1)), (PredictorCorrector(), None), (DPMSolver(3, 1.0), None), (Heun(0.1), Langevin(1))],
    ids=["Euler-Maruyama", "predictor-corrector", "3M", "churn"],
)
def test_chunks_change_nothing(chunk, solver, langevin, like, host):
    whole = sample(PROCESS, SCORES, 7, solver, 10, 8, like, langevin, trajectory=True)
    found = sample(PROCESS, SCORES, 7, solver, 10, 8, like, langevin, trajectory=True, chunk=chunk)
    np.testing.assert_array_equal(host(found.x), host(whole.x))
    assert found.evaluations == whole.evaluations and found.seeds == whole.seeds == streams(8, 0, 7)
    assert [(t, k) for t, k, _ in found.trajectory] == [(t, k) for t, k, _ in whole.trajectory]
    for (_, _, a), (_, _, b) in zip(found.trajectory, whole.trajectory):
        np.testing.assert_array_equal(host(a), host(b))
    assert all(s > 0 for s in found.seconds)


def test_a_sample_is_drawn_again_from_its_seed(like, host):
    whole = sample(PROCESS, SCORES, 5, steps=8, rng=3, like=like)
    again = sample(PROCESS, SCORES, 1, steps=8, rng=[whole.seeds[4]], like=like)
    np.testing.assert_array_equal(host(again.x)[0], host(whole.x)[4])
    given = sample(PROCESS, SCORES, 2, steps=8, rng=[11, 12], like=like)
    assert given.seeds == (11, 12)
    generator = backend_of(like).generator(0, like)
    assert sample(PROCESS, SCORES, 2, steps=8, rng=generator, like=like).seeds is None


_PART = """
import sys
import numpy as np
from subspace_sde import VE, Downsampling, NestedSubspaces, SubspaceSDE, sample
from subspace_sde.backend import streams
sde, start, stop = VE(), int(sys.argv[1]), int(sys.argv[2])
nested = NestedSubspaces([Downsampling((3, 4, 6), 2), Downsampling((3, 2, 3), 3, axes=(-1,))])
process = SubspaceSDE(sde, nested, [0.4, 0.6], [0.4, 0.7])
scores = [lambda x, t: -x / (1 + sde.sigma(t) ** 2)] * 3
x = sample(process, scores, stop - start, steps=9, rng=streams(8, start, stop), chunk=2).x
sys.stdout.buffer.write(x.tobytes())
"""


def test_processes_change_nothing():
    parts = [
        subprocess.run([sys.executable, "-c", _PART, a, b], capture_output=True, check=True).stdout
        for a, b in (("0", "3"), ("3", "7"))
    ]
    found = np.frombuffer(b"".join(parts)).reshape(7, 3, 4, 6)
    np.testing.assert_array_equal(found, sample(PROCESS, SCORES, 7, steps=9, rng=8).x)
