"""The model that the stages make of Gaussian data, which is a Gaussian itself, and its scores."""

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from subspace_sde import EDM, VE, VP, Downsampling, LowPass, NestedSubspaces, RectifiedFlow, SubspaceSDE, SubVP
from subspace_sde.oracles import Gaussian
from subspace_sde.solvers import DormandPrince

D, SIZES = 7, (7, 5, 3, 2)
SDES = [VE(), VP(), SubVP(), EDM(), RectifiedFlow()]
FINE = DormandPrince(1e-9, 1e-9)
each_sde = pytest.mark.parametrize("sde", SDES)
each_k = pytest.mark.parametrize("k", [0, 1, 2, 3], ids=lambda k: f"K={k}")


class Known:
    """A Gaussian's score, with its own derivative: the Jacobian is the score of the centred law."""

    def __init__(self, law, sde):
        self.score, self.linear = law.score(sde), Gaussian(0 * law.mean, law.covariance).score(sde)

    def __call__(self, x, t):
        return self.score(x, t)

    def vjp(self, x, t, v):
        return self.linear(v, t)


def data(seed=0, d=D):
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((d, d)) / math.sqrt(d)
    return Gaussian(rng.standard_normal(d), (root * np.geomspace(2, 0.02, d)) @ root.T + 0.01 * np.eye(d))


def made(sde, k, mean=None, sizes=SIZES):
    steps = [LowPass((a,), b, axes=(-1,)) for a, b in zip(sizes, sizes[1:])]
    nested = NestedSubspaces(steps[:k], ambient_shape=(sizes[0],))
    return SubspaceSDE(sde, nested, [sde.time_at_log_snr(v) for v in (0.5, -0.5, -1.5)[:k]], (0.1, 0.2, 0.4)[:k], mean)


def scores_of(process, law, kind=Known):
    return [kind(law.restrict(u), process.sde) for u in process.subspaces]


def plain(law, sde):
    """Without a derivative of its own."""
    score = law.score(sde)
    return lambda x, t: score(x, t)


def power(matrix, exponent):
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**exponent) @ vectors.T


def composite(process, law):
    """Mean and covariance of the model: white noise at T, pushed down by the exact affine flows and the injections."""
    sde, mean, covariance = process.sde, None, None
    for k in reversed(range(process.K + 1)):
        level, n = law.restrict(process.subspaces[k]), process.subspaces[k].dim
        low, high = process.ends(k)
        if mean is None:
            mean, covariance = np.zeros(n), sde.prior_std**2 * np.eye(n)
        else:
            u, at = process.subspaces.steps[k].matrix(), process.times[k]
            off = np.eye(n) - u @ u.T
            mean, covariance = u @ mean, u @ covariance @ u.T + process.complement_variance(k + 1, at) * off
            if process.mean is not None:
                mean = mean + sde.alpha(at) * off @ process.subspaces[k].restrict(process.mean)
        before, after = (
            sde.alpha(s) ** 2 * level.covariance + sde.sigma(s) ** 2 * np.eye(n) for s in process.ends(k)[::-1]
        )
        a = power(after, 0.5) @ power(before, -0.5)
        mean = sde.alpha(low) * level.mean + a @ (mean - sde.alpha(high) * level.mean)
        covariance = a @ covariance @ a.T
    return mean, (covariance + covariance.T) / 2


def truth(process, law, x):
    return multivariate_normal(*composite(process, law)).logpdf(x)


def quantised(law, num, bins, rng=0):
    x = np.clip(np.round((law.sample(num, rng) - bins.low) / (bins.high - bins.low) * (bins.count - 1)), 0, 255)
    return bins.low + (bins.high - bins.low) * x / (bins.count - 1)


def images():
    sde = VE(0.01, 50.0)
    law = Gaussian(np.full(4, 0.5), 0.01 * (np.eye(4) + 0.5))
    return SubspaceSDE(sde, NestedSubspaces([Downsampling((4,), 2, axes=(-1,))]), [0.4], [0.01]), law
