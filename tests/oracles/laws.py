"""Laws of every kind and shape whose score is known."""

import math

import numpy as np
import pytest
from scipy.fft import dct

from subspace_sde import Basis, Downsampling, LowPass
from subspace_sde.oracles import DCTGaussian, Empirical, Gaussian, LowRankGaussian, Mixture

SHAPES = [(3,), (2, 3), (2, 1, 2)]


def gaussian(shape, seed=0, rank=None):
    d, rng = math.prod(shape), np.random.default_rng(seed)
    root = rng.standard_normal((d, rank or d)) / math.sqrt(d)
    return Gaussian(rng.standard_normal(shape), root @ root.T)


def diagonal(shape, seed=0):
    rng = np.random.default_rng(seed)
    return DCTGaussian(rng.standard_normal(shape), rng.exponential(size=shape))


def low_rank(shape, seed=0):
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((math.prod(shape), 2)) * [1.0, 0.1]
    return LowRankGaussian(rng.standard_normal(shape), factors, 0.1 + rng.random(shape))


def isotropic_low_rank(shape, seed=0):
    some = low_rank(shape, seed)
    return LowRankGaussian(some.mean, some.factors, 0.3)


def data_set(shape, seed=0):
    return Empirical(np.random.default_rng(seed).standard_normal((5, *shape)))


def mixture(shape):
    return Mixture([0.2, 0.5, 0.3], [gaussian(shape, 1), gaussian(shape, 2), gaussian(shape, 3, rank=1)])


def every_kind(shape):
    kinds = (gaussian, diagonal, low_rank, isotropic_low_rank, data_set, mixture)
    weights = (0.3, 0.2, 0.1, 0.15, 0.2, 0.05)
    return Mixture(weights, [kind(shape) if kind is mixture else kind(shape, 4) for kind in kinds])


KINDS = (gaussian, diagonal, low_rank, isotropic_low_rank, data_set, mixture, every_kind)
LAWS = {f"{kind.__name__}{shape}": kind(shape) for kind in KINDS for shape in SHAPES}
each_law = pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
each_kind = pytest.mark.parametrize("law", [kind((2, 3)) for kind in KINDS])


def covariance_of(law):
    """Of a Gaussian, from what it was made of."""
    if isinstance(law, LowRankGaussian):
        return law.factors @ law.factors.T + np.diag(law.diagonal.ravel())
    if isinstance(law, DCTGaussian):
        axes = np.ones((1, 1))
        for n in law.shape:
            axes = np.kron(axes, dct(np.eye(n), axis=0, norm="ortho").T)
        return axes @ np.diag(law.eigenvalues.ravel()) @ axes.T
    return law.covariance


def parts(law):
    """The law as a mixture of Gaussians: weights, means and covariances."""
    if isinstance(law, Mixture):
        return [(w * v, m, c) for w, one in zip(law.weights, law.components) for v, m, c in parts(one)]
    if isinstance(law, Empirical):
        n, d = len(law.data), math.prod(law.shape)
        return [(1 / n, y.ravel(), np.zeros((d, d))) for y in law.data]
    return [(1.0, law.mean.ravel(), covariance_of(law))]


SUBSPACES = [
    LowPass((2, 3), (1, 2)),
    Downsampling((2, 3), 3, axes=(-1,)),
    Basis.spanning(np.random.default_rng(8).standard_normal((6, 4)), (2, 3), (2, 2)),
]
