"""Gaussians whose divergence (eq. 14) is known, and scores that are counted."""

import math

import numpy as np

from subspace_sde import EDM, VE, VP, RectifiedFlow
from subspace_sde.oracles import Gaussian

SHAPE, D = (3, 4), 12
SDES = [VE(), VP(), EDM(), RectifiedFlow()]


def gaussian(scale=1.0):
    rng = np.random.default_rng(1)
    root = scale * rng.standard_normal((D, D)) / math.sqrt(D)
    return Gaussian(scale * rng.standard_normal(SHAPE), root @ root.T + 0.05 * np.eye(D))


def closed_form_within(law, sde, outer, inner, t, center):
    """The same expectation with matrices, in the coordinates of `outer`: what the score says beyond y is averaged."""
    u, w = outer.matrix(), outer.matrix().T @ inner.matrix()
    off = np.eye(len(w)) - w @ w.T
    n = len(w) - w.shape[1]
    mu = np.zeros(len(off)) if center else off @ u.T @ law.mean.ravel()
    a, s = sde.alpha(t) ** 2, sde.sigma(t) ** 2
    variance = a * (np.trace(off @ u.T @ law.covariance @ u) + mu @ mu) / n + s
    marginal = a * law.covariance + s * np.eye(D)
    gap = off @ (u.T / variance - u.T @ np.linalg.inv(marginal))
    return variance / n * (np.trace(gap @ marginal @ gap.T) + a * mu @ mu / variance**2)


def borrowed_error(law, sde, subspace, believed, t):
    """e_k of the score of `believed` on a level, and the ratio: σ s + ε is affine in what has known second moments."""
    a, s, u = sde.alpha(t), sde.sigma(t), subspace.matrix()

    def error(c, mu, believed, out):
        """Of the prediction for data N(mu, c) by the score of `believed`, seen through `out`."""
        gain = s * np.linalg.inv(a**2 * believed.covariance + s**2 * np.eye(len(c)))
        bias = a * (mu - believed.mean.ravel())
        data, noise = out.T @ gain, out.T @ (s * gain - np.eye(len(c)))
        return np.trace(data @ (a**2 * c + np.outer(bias, bias)) @ data.T) + np.trace(noise @ noise.T)

    n = subspace.dim
    own = error(law.covariance, law.mean.ravel(), law, u) / n
    borrowed = error(u.T @ law.covariance @ u, u.T @ law.mean.ravel(), believed, np.eye(n)) / n
    return borrowed - own, borrowed / own


class Table(np.random.Generator):
    """Hands out the same prescribed draws every time."""

    def __init__(self, draws):
        super().__init__(np.random.PCG64(0))
        self.draws = draws

    def standard_normal(self, shape, dtype=np.float64):
        return self.draws.reshape(shape).astype(dtype)


def cubature(law):
    """x(0) and ε on the corners ±√d of their axes, every pair once: the first two moments of the law, exactly.

    What is averaged is quadratic for a Gaussian, so that the average over these points is the expectation.
    """
    values, vectors = np.linalg.eigh(law.covariance)
    axes = math.sqrt(D) * np.concatenate([np.eye(D), -np.eye(D)])
    x0 = law.mean.ravel() + axes @ (vectors * np.sqrt(values)).T
    return np.repeat(x0, 2 * D, axis=0).reshape(-1, *SHAPE), Table(np.tile(axes, (2 * D, 1)))


class Counted:
    def __init__(self, score):
        self.score, self.times, self.rows = score, [], 0

    def __call__(self, x, t):
        assert type(t) is float
        self.times.append(t)
        self.rows += x.shape[0]
        return self.score(x, t)
