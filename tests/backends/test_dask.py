"""On Dask nothing is computed before it is asked for."""

import dask
import dask.array as da
import numpy as np
import pytest

from subspace_sde import VE, VP, LowPass, NestedSubspaces, PatchBasis, SubspaceSDE, Wavelet, rmsd
from subspace_sde.measurements import Pooling
from subspace_sde.oracles import Gaussian
from subspace_sde.scores import from_noise
from subspace_sde.statistics import Covariance, accumulate

X = np.random.default_rng(0).standard_normal((40, 2, 8, 8))
NESTED = NestedSubspaces([Wavelet((2, 8, 8), "haar"), LowPass((2, 4, 4), 2)])
PROCESS = SubspaceSDE(VP(), NESTED, [0.3, 0.6], [0.4, 0.5], np.ones((2, 8, 8)))


@pytest.fixture
def lazy():
    return da.from_array(X, chunks=(10, 2, 8, 8))


@pytest.fixture
def computed():
    """The graphs that were computed, one entry each."""
    graphs = []

    def scheduler(graph, keys, **options):
        graphs.append(keys)
        return dask.get(graph, keys, **options)

    with dask.config.set(scheduler=scheduler):
        yield graphs


LAZY = {
    "project": lambda x: NESTED[2].project(x),
    "reject": lambda x: PatchBasis((2, 8, 8), 2, np.full((8, 1), 8**-0.5)).reject(x),
    "full score": lambda x: PROCESS.full_score([lambda x, t: -x] * 3)(x, 0.4),
    "drift": lambda x: PROCESS.drift(x, 0.4),
    "perturb": lambda x: PROCESS.perturb(x, 0.4, 1),
    "an adapted score": lambda x: from_noise(lambda x, t: x, VE())(x, x[:, 0, 0, 0] * 0 + 0.5),
    "a curve": lambda x: VE().sigma(x),
    "a known score": lambda x: Gaussian(np.zeros((2, 8, 8)), np.eye(128)).score(VE())(x, 0.5),
    "a measurement": lambda x: Pooling((2, 8, 8), 2).apply(x),
}


@pytest.mark.parametrize("name", list(LAZY))
def test_nothing_is_computed(name, lazy, computed):
    found = LAZY[name](lazy)
    assert isinstance(found, da.Array) and not computed
    np.testing.assert_allclose(found.compute(), LAZY[name](X), rtol=1e-9, atol=1e-12)
    assert len(computed) == 1


@pytest.mark.parametrize(
    "statistic",
    [lambda x: accumulate(Covariance, x).result(), lambda x: rmsd(NESTED[1], x)],
    ids=["covariance", "rmsd"],
)
def test_statistics_compute_each_chunk_once(statistic, lazy, computed):
    np.testing.assert_allclose(statistic(lazy), statistic(X), rtol=1e-9)
    assert len(computed) == lazy.numblocks[0]


def test_a_time_outside_becomes_nan_instead_of_being_looked_at(lazy, computed):
    t = da.from_array(np.linspace(0.5, 1.5, 40), chunks=10)
    found = PROCESS.drift(lazy, t)
    assert not computed
    finite = np.isfinite(found.compute()).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(finite, np.linspace(0.5, 1.5, 40) <= 1)
