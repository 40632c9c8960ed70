"""What is masked, complex or no number is refused wherever numbers come in: nothing is dropped without a word."""

import math

import dask.array as da
import numpy as np
import pytest
import torch

from subspace_sde import (
    VE,
    Basis,
    DivergenceCurve,
    Downsampling,
    NestedSubspaces,
    PatchBasis,
    Separable,
    SubspaceSDE,
    orthogonal_fisher_divergence,
    patch_pca,
    pca,
    randomised_pca,
    rmsd,
)
from subspace_sde.backend import host
from subspace_sde.measurements import Blur, Dense, Mask, Mixing
from subspace_sde.oracles import DCTGaussian, Empirical, Gaussian, LowRankGaussian, Mixture
from subspace_sde.statistics import (
    ComplementEnergies,
    Covariance,
    PatchCovariance,
    PowerSpectrum,
    accumulate,
    complement_moments,
)

U = Downsampling((1, 2, 2), 2)
NESTED = NestedSubspaces([U])

DATA = {  # what reads data (N, 1, 2, 2)
    "pca": lambda x: pca(x, 2),
    "patch_pca": lambda x: patch_pca(x, 2, 2),
    "randomised_pca": lambda x: randomised_pca(x, 2),
    "rmsd": lambda x: rmsd(U, x),
    "Covariance": lambda x: accumulate(Covariance, x),
    "PatchCovariance": lambda x: accumulate(lambda shape: PatchCovariance(shape, 2), x),
    "PowerSpectrum": lambda x: accumulate(PowerSpectrum, x),
    "ComplementEnergies": lambda x: accumulate(lambda _: ComplementEnergies([U]), x),
    "complement_moments": lambda x: complement_moments(NESTED, x),
    "SubspaceSDE.fit": lambda x: SubspaceSDE.fit(VE(), NESTED, [0.5], x),
    "orthogonal_fisher_divergence": lambda x: orthogonal_fisher_divergence(lambda y, t: -y, x, VE(), [U], [0.5]),
}
DENSE = DATA | {"Empirical": Empirical, "project": U.project}
FOUR = np.arange(4.0)
NUMBERS = {  # what takes four numbers, or a matrix with them on its diagonal
    "Gaussian, mean": lambda v, m: Gaussian(v, np.eye(4)),
    "Gaussian, covariance": lambda v, m: Gaussian(np.zeros(4), m),
    "LowRankGaussian, mean": lambda v, m: LowRankGaussian(v, np.ones((4, 1)), 1.0),
    "LowRankGaussian, factors": lambda v, m: LowRankGaussian(np.zeros(4), m, 1.0),
    "LowRankGaussian, diagonal": lambda v, m: LowRankGaussian(np.zeros(4), np.ones((4, 1)), v),
    "DCTGaussian, mean": lambda v, m: DCTGaussian(v, np.ones(4)),
    "DCTGaussian, power": lambda v, m: DCTGaussian(np.zeros(4), v),
    "Basis": lambda v, m: Basis(m),
    "Basis.spanning": lambda v, m: Basis.spanning(m),
    "Separable": lambda v, m: Separable((4,), {0: m}),
    "PatchBasis": lambda v, m: PatchBasis((1, 2, 2), 2, m),
    "Dense": lambda v, m: Dense(m),
    "Blur": lambda v, m: Blur((4,), v[:3], axes=(-1,)),
    "Mixing": lambda v, m: Mixing((4, 1, 1), m),
    "Mask": lambda v, m: Mask(v, (4,)),
    "SubspaceSDE, mean": lambda v, m: SubspaceSDE(VE(), NESTED, [0.5], [1.0], mean=v),
    "host": lambda v, m: host(v),
}


def masked(num=12):
    x = np.random.default_rng(0).standard_normal((num, 1, 2, 2))
    return np.ma.masked_greater(x, 1.0)


@pytest.mark.parametrize("name", DENSE)
def test_masked_data_are_refused(name):
    with pytest.raises(
        TypeError, match="a masked array cannot be used, as what is masked would count: fill it or leave"
    ):
        DENSE[name](masked())


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("given", ["batches", "dask", "late"])
def test_masked_batches_and_chunks_are_refused(name, given):
    x = masked()
    plain = x.filled(0.0)
    data = {
        "batches": [plain[:6], x[6:]],
        "dask": da.from_array(x, chunks=(4, 1, 2, 2)),
        "late": da.from_array(plain, chunks=(4, 1, 2, 2)).map_blocks(lambda b: np.ma.masked_greater(b, 1.0)),
    }[given]
    with pytest.raises(TypeError, match="a masked array cannot be used"):
        DATA[name](data)


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("dtype", [complex, str, object, bool])
def test_data_that_are_no_real_numbers_are_refused(name, dtype):
    with pytest.raises(ValueError, match="floating-point numbers"):
        DATA[name](np.ones((12, 1, 2, 2)).astype(dtype))


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("kind", ["complex", "torch complex", "list", "strings", "objects", "masked"])
def test_constants_keep_all_of_their_numbers_or_are_refused(name, kind):
    vector, matrix = FOUR.copy(), np.diag(FOUR)
    turn = {
        "complex": lambda a: a + 0j,
        "torch complex": lambda a: torch.as_tensor(a + 1j),
        "list": lambda a: (a + 1j).tolist(),
        "strings": lambda a: a.astype(str).tolist(),
        "objects": lambda a: a.astype(object),
        "masked": lambda a: np.ma.masked_equal(a, 2.0),
    }[kind]
    expected = TypeError if kind == "masked" else ValueError
    words = {"masked": "a masked array cannot be used"}.get(kind, r"real (floating-point )?numbers, got")
    with pytest.raises(expected, match=words):
        NUMBERS[name](turn(vector), turn(matrix))


def test_lists_of_masked_rows():
    with pytest.raises(TypeError, match="masked"):
        host([np.ma.masked_equal(row, 2.0) for row in np.diag(FOUR)])


def test_plain_numbers_stay_what_they_are(array):
    for given in (FOUR, FOUR.tolist(), array(FOUR), FOUR.astype(np.int32), range(4)):
        np.testing.assert_array_equal(host(given), FOUR)
    mean = FOUR.copy()
    law = Gaussian(mean, np.eye(4))
    mean[0] = 7.0  # a copy was kept
    assert law.mean[0] == 0.0


FOREIGN = [3, "abc", None, {"a": 1}, object(), U, Downsampling]


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"passes": 10**30}, ValueError, "at most 1000 passes over the data, got 1000000000000000000000000000000"),
        ({"passes": 1}, ValueError, "at least 2 passes"),
        ({"oversampling": -1}, ValueError, "oversampling must not be negative, got -1"),
    ],
)
def test_randomised_pca_ends(options, kind, message):
    with pytest.raises(kind, match=message):
        randomised_pca(np.random.default_rng(0).standard_normal((20, 5)), 2, **options)


def test_weights_that_are_no_real_numbers():
    for weights in (np.full(2, 0.5 + 0j), np.ma.masked_array([0.5, 0.5], mask=[True, False]), ["0.5", "0.5"], 1.0):
        with pytest.raises(TypeError, match="`weights` takes a sequence of numbers, got"):
            Mixture(weights, [Gaussian([0.0], [[1.0]])] * 2)


def test_accumulators_of_another_kind():
    with pytest.raises(TypeError, match="`make` gives an accumulator like Covariance"):
        accumulate(lambda shape: shape, np.ones((3, 2)))


def test_what_is_finite_is_not_nan():
    with pytest.raises(ValueError, match="a curve needs finite times"):
        DivergenceCurve((math.nan,), (1.0,))
    for tolerance in (math.nan, -1.0):
        with pytest.raises(ValueError, match="the tolerance is relative to the largest eigenvalue"):
            Gaussian([0.0, 0.0], [[1.0, 0.0], [0.0, -1.0]], tolerance)
