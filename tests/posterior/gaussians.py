"""Gaussian data, what is measured of them, and the exact law of a method's samples.

For Gaussian data every method is affine in the numbers it draws, so that draws that are unit vectors tell mean and
covariance of its samples, without Monte Carlo.
"""

import math

import numpy as np
import pytest

from subspace_sde import VE, VP, Downsampling, LowPass, NestedSubspaces, SubspaceSDE
from subspace_sde.measurements import Blur, Mask, Pooling
from subspace_sde.oracles import Gaussian
from subspace_sde.posterior import Observation, sample_posterior
from subspace_sde.sampling.solver_law import _UnitDraws
from subspace_sde.solvers import Heun

SHAPE = (8,)
NESTED = {
    "means": NestedSubspaces([Downsampling(SHAPE, 2, axes=(-1,)), Downsampling((4,), 2, axes=(-1,))]),
    "low-pass": NestedSubspaces([LowPass(SHAPE, 5, axes=(-1,)), LowPass((5,), 3, axes=(-1,))]),
}
SEEN = {
    "mask": Mask([1, 1, 1, 1, 1, 0, 0, 0], SHAPE),
    "pooling": Pooling(SHAPE, 4, axes=(-1,)),
    "blur": Blur(SHAPE, [0.25, 0.5, 0.25], axes=(-1,)),
}
each_sde = pytest.mark.parametrize("sde", [VE(), VP()])
staged_and_full = pytest.mark.parametrize("full", [False, True], ids=["staged", "full"])


def make(nested, sde, variances, top, mean=None):
    """A process whose Gaussian data have its own complements, and `top` as the covariance of level K."""
    process = SubspaceSDE(sde, nested, [sde.time_at_log_snr(v) for v in (1.0, -2.0)], variances, mean)
    u = [level.matrix() for level in nested]
    covariance = u[-1] @ top @ u[-1].T
    for v, outer, inner in zip(variances, u, u[1:]):
        covariance = covariance + v * (outer @ outer.T - inner @ inner.T)
    law = Gaussian(np.zeros(SHAPE) if mean is None else mean, (covariance + covariance.T) / 2)
    return process, law, [law.restrict(level).score(sde) for level in nested]


def uneven(nested, sde):
    n = nested[-1].dim
    root = np.random.default_rng(1).standard_normal((n, n)) / math.sqrt(n)
    return make(nested, sde, (0.1, 0.3), 0.5 * root @ root.T + 0.3 * np.eye(n))


def observed(measurement, law, noise):
    """What is seen of one draw, the same on every machine: Cholesky's factor is unique, eigenvectors are not."""
    root = np.linalg.cholesky(law.covariance)
    x = law.mean + (root @ np.random.default_rng(5).standard_normal(len(root))).reshape(law.mean.shape)
    y = measurement.apply(x)
    return Observation(measurement, y + noise * np.random.default_rng(2).standard_normal(y.shape), noise)


def law_of(process, scores, observation, method, steps, solver=None, **more):
    """Mean and covariance of the samples."""
    solver, count = Heun() if solver is None else solver, _UnitDraws(0)
    sample_posterior(process, scores, observation, 1, method, solver, steps, count, **more)
    draws = _UnitDraws(count.drawn)
    x = sample_posterior(process, scores, observation, 1 + count.drawn, method, solver, steps, draws, **more).x
    x = x.reshape(len(x), -1)
    return x[0], (x[1:] - x[0]).T @ (x[1:] - x[0])


def off(found, expected):
    return [float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in zip(found, expected)]
