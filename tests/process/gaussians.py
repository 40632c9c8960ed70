"""Processes, and Gaussian data that match them."""

import math

import numpy as np
import pytest
import torch

from subspace_sde import EDM, VE, VP, Basis, Downsampling, LowPass, NestedSubspaces, RectifiedFlow, SubspaceSDE, SubVP
from subspace_sde.arrays import namespace
from subspace_sde.backend import backend_of, library
from subspace_sde.oracles import Gaussian

NESTED = [  # K = 1, 2, 3 in one, two and three dimensions, odd sizes
    NestedSubspaces([LowPass((5,), 3, axes=(-1,))]),
    NestedSubspaces(
        [Basis.spanning(np.random.default_rng(0).standard_normal((6, 4)), (3, 2), (2, 2)), LowPass((2, 2), (1, 2))]
    ),
    NestedSubspaces(
        [Downsampling((2, 3, 4), 2, axes=(0, -1)), LowPass((1, 3, 2), (2, 1)), Downsampling((1, 2, 1), 2, axes=(-2,))]
    ),
]
SDES = [VE(), VP(), SubVP(), EDM(), RectifiedFlow()]
each_nested = pytest.mark.parametrize("nested", NESTED, ids=lambda n: f"K={len(n) - 1}")
each_sde = pytest.mark.parametrize("sde", SDES)


def check(found, expected, like, scale=1.0):
    """Library, dtype, and values to a few hundred roundings of the numbers' scale."""
    assert found.dtype == like.dtype and library(found) == library(like)
    eps = float(namespace(like).finfo(like.dtype).eps)
    tolerance = 300 * eps * scale * max(1.0, float(np.max(np.abs(expected), initial=0)))
    np.testing.assert_allclose(backend_of(found).to_numpy(found), expected, rtol=0, atol=tolerance)


def times_of(sde, count):
    """Times at which noise and data are of one size, where a mistake in either shows."""
    return [sde.time_at_log_snr(v) for v in (1.5, 0.0, -1.5)[:count]]


def make(sde, nested, mean=None, variances=(0.7, 0.4, 0.9)):
    k = len(nested) - 1
    return SubspaceSDE(sde, nested, times_of(sde, k), variances[:k], mean)


def matrices(nested):
    """U_k and P_k of the full space."""
    u = [level.matrix() for level in nested]
    return u, [m @ m.T for m in u]


def matching_gaussian(process, seed=0):
    """U_K A U_Kᵀ + Σ_k v_k (P_{k-1} − P_k): the complements are isotropic and independent, as the model has them."""
    u, p = matrices(process.subspaces)
    n = u[-1].shape[1]
    root = np.random.default_rng(seed).standard_normal((n, n)) / math.sqrt(n)
    covariance = u[-1] @ (root @ root.T + 0.1 * np.eye(n)) @ u[-1].T
    for v, outer, inner in zip(process.complement_variances, p, p[1:]):
        covariance = covariance + v * (outer - inner)
    mean = np.zeros(process.subspaces.ambient_shape) if process.mean is None else process.mean
    return Gaussian(mean, (covariance + covariance.T) / 2)


def any_gaussian(nested, seed=1):
    d = nested[0].dim
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((d, d)) / math.sqrt(d)
    return Gaussian(rng.standard_normal(nested.ambient_shape), root @ root.T + 0.1 * np.eye(d))


def some_mean(nested):
    return np.random.default_rng(2).standard_normal(nested.ambient_shape)


def mixed_times(process, batch):
    """Times over the batch, from every stage, t_k and the ends included."""
    ends = [process.sde.t_min, *process.times, process.sde.T]
    inner = [a + w * (b - a) for a, b in zip(ends, ends[1:]) for w in (0.3, 0.8)]
    return np.random.default_rng(3).permutation(np.resize([*inner, *ends], batch))


class Scripted(np.random.Generator):
    """Draws that are unit vectors: row r of all the draws together is e_r (and zeros in the rows before `first`).

    What is done with the noise is affine, so that the rows of the result are its matrix, and its law is exact.
    """

    def __init__(self, first):
        super().__init__(np.random.PCG64(0))
        self.used = first

    def standard_normal(self, shape, dtype=np.float64):
        numbers = math.prod(shape[1:])
        draws = np.eye(shape[0], dtype=dtype)[:, self.used : self.used + numbers]
        assert draws.shape[1] == numbers, "more rows are needed"
        self.used += numbers
        return draws.reshape(shape)


def rows(gaussian, noise):
    """x(0) for `Scripted`: the mean, the d columns of a root of the covariance about it, `noise` times the mean."""
    d = gaussian.mean.size
    values, vectors = np.linalg.eigh(gaussian.covariance)
    deviations = np.concatenate([np.zeros((1, d)), (vectors * np.sqrt(values)).T, np.zeros((noise, d))])
    return gaussian.mean + deviations.reshape(-1, *gaussian.shape)


def law(x):
    """Mean, and covariance of x, from the rows of `Scripted`."""
    flat = x.reshape(x.shape[0], -1)
    return flat[0], (flat[1:] - flat[0]).T @ (flat[1:] - flat[0])


def wiggly(k):
    """Any function will do as a score: eq. 11 does not ask where it comes from."""

    def score(x, t):
        xp = torch if isinstance(x, torch.Tensor) else np
        t = t if isinstance(t, float) else t.reshape(*t.shape, *(1,) * (x.ndim - t.ndim))
        return xp.sin((k + 1) * x) * (1.0 + t) - 0.3 * k

    return score
