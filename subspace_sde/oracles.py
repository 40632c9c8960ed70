"""Data distributions whose score is known in closed form, on the full space and on every level.

Under x = α x(0) + σ ε a Gaussian N(μ, C) becomes N(α μ, α²C + σ²I), and a mixture stays a mixture; the coordinates Uᵀx
of either are again one (`Gaussian.restrict`). Solvers, divergences and likelihoods are tested against them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import array_api_compat
import numpy as np

from .arrays import Score, over
from .backend import RNG, Constant, Noise
from .sdes import IsotropicSDE
from .subspaces import Subspace


class Gaussian:
    """N(mean, covariance) over arrays of shape ``mean.shape``.

    Parameters
    ----------
    mean: an array of the data's shape, d numbers.
    covariance: (d, d), symmetric and positive semi-definite.

    >>> from subspace_sde import VE
    >>> normal = Gaussian(np.zeros(2), np.eye(2))
    >>> normal.score(VE())(np.ones((1, 2)), 0.5).round(3)
    array([[-0.667, -0.667]])
    """

    def __init__(self, mean: Any, covariance: Any) -> None:
        mean, covariance = np.asarray(mean, dtype=np.float64), np.asarray(covariance, dtype=np.float64)
        self.shape = tuple(mean.shape)
        d = math.prod(self.shape)
        if covariance.shape != (d, d):
            raise ValueError(f"a mean with {d} numbers needs a covariance of shape {(d, d)}, got {covariance.shape}")
        if not (np.all(np.isfinite(mean)) and np.all(np.isfinite(covariance))):
            raise ValueError("the mean or the covariance holds NaN or infinity")
        if not np.allclose(covariance, covariance.T, rtol=1e-10, atol=1e-12):
            raise ValueError("the covariance is not symmetric")
        eigenvalues, vectors = np.linalg.eigh(covariance)
        if d and eigenvalues[0] < -1e-10 * max(eigenvalues[-1], 1e-300):
            raise ValueError(
                f"the covariance is not positive semi-definite: its smallest eigenvalue is {eigenvalues[0]}"
            )
        self.mean, self.covariance = mean, covariance
        self._mean, self._vectors = Constant(mean.reshape(-1)), Constant(vectors)
        self._eigenvalues = Constant(np.maximum(eigenvalues, 0.0))

    def restrict(self, subspace: Subspace) -> Gaussian:
        """The law of Uᵀx: N(Uᵀμ, UᵀCU)."""
        u = subspace.matrix()
        return Gaussian(subspace.restrict(self.mean), _symmetric(u.T @ self.covariance @ u))

    def sample(self, num: int, rng: RNG, like: Any = None) -> Any:
        """Exact draws, (num, *shape)."""
        like = np.zeros(()) if like is None else like
        xp = array_api_compat.array_namespace(like)
        z = Noise(rng, (num,), like).normal((math.prod(self.shape),))
        x = xp.matmul(z * xp.sqrt(self._eigenvalues.like(z)), xp.matrix_transpose(self._vectors.like(z)))
        return xp.reshape(x + self._mean.like(z), (num, *self.shape))

    def log_density(self, x: Any, t: Any, sde: IsotropicSDE) -> Any:
        """log p(x, t) in nats, (*batch,)."""
        y, variance, xp = self._whitened(x, t, sde)
        return -0.5 * xp.sum(y * y / variance + xp.log(2 * math.pi * variance), axis=-1)

    def score(self, sde: IsotropicSDE) -> Score:
        """∇ log p(x, t), exact."""

        def score(x: Any, t: Any) -> Any:
            y, variance, xp = self._whitened(x, t, sde)
            return xp.reshape(-xp.matmul(y / variance, xp.matrix_transpose(self._vectors.like(x))), x.shape)

        return score

    def _whitened(self, x: Any, t: Any, sde: IsotropicSDE) -> tuple[Any, Any, Any]:
        """The centred x in the eigenvectors' basis, (*batch, d), and the variances there."""
        xp = array_api_compat.array_namespace(x)
        batch = x.shape[: x.ndim - len(self.shape)]
        flat = xp.reshape(x, (*batch, math.prod(self.shape)))
        alpha, sigma = over(sde.alpha(t), flat, 1), over(sde.sigma(t), flat, 1)
        y = xp.matmul(flat - alpha * self._mean.like(x), self._vectors.like(x))
        return y, alpha**2 * self._eigenvalues.like(x) + sigma**2, xp


class Mixture:
    """A mixture of Gaussians of one shape.

    >>> from subspace_sde import VE
    >>> two = Mixture([0.5, 0.5], [Gaussian([-1.0], [[0.1]]), Gaussian([1.0], [[0.1]])])
    >>> float(two.score(VE())(np.zeros((1, 1)), 0.3)[0, 0]).__round__(6)
    0.0
    """

    def __init__(self, weights: Sequence[float], components: Sequence[Gaussian]) -> None:
        self.weights = tuple(float(w) for w in weights)
        self.components = tuple(components)
        if len(self.weights) != len(self.components) or not self.components:
            raise ValueError("a mixture needs one weight for each component, and at least one")
        if not (all(w > 0 for w in self.weights) and abs(sum(self.weights) - 1) <= 1e-9):
            raise ValueError(f"the weights must be positive and sum to 1, got {self.weights}")
        if len({c.shape for c in self.components}) > 1:
            raise ValueError("the components must have one shape")
        self.shape = self.components[0].shape

    @property
    def mean(self) -> np.ndarray[Any, Any]:
        """The mean of the mixture."""
        mean: np.ndarray[Any, Any] = np.sum([w * c.mean for w, c in zip(self.weights, self.components)], axis=0)
        return mean

    def restrict(self, subspace: Subspace) -> Mixture:
        """The law of Uᵀx."""
        return Mixture(self.weights, [c.restrict(subspace) for c in self.components])

    def sample(self, num: int, rng: int, like: Any = None) -> Any:
        """Exact draws, (num, *shape)."""
        like = np.zeros(()) if like is None else like
        xp = array_api_compat.array_namespace(like)
        which = np.random.default_rng((rng, 1)).choice(len(self.weights), size=num, p=self.weights)
        x = None
        for i, component in enumerate(self.components):
            draws = component.sample(num, rng, like)  # the same streams: sample i is one draw, whatever its component
            chosen = Constant((which == i).astype(np.float64).reshape(num, *(1,) * len(self.shape))).like(like)
            x = draws * chosen if x is None else x + draws * chosen
        return xp.asarray(x)

    def log_density(self, x: Any, t: Any, sde: IsotropicSDE) -> Any:
        """log p(x, t) in nats, (*batch,)."""
        logs, xp = self._joint(x, t, sde)
        highest = xp.max(logs, axis=0)
        return highest + xp.log(xp.sum(xp.exp(logs - highest), axis=0))

    def score(self, sde: IsotropicSDE) -> Score:
        """∇ log p(x, t): the components' scores, weighted by their posteriors."""
        component_scores = [c.score(sde) for c in self.components]

        def score(x: Any, t: Any) -> Any:
            logs, xp = self._joint(x, t, sde)
            weights = xp.exp(logs - xp.max(logs, axis=0))
            weights = weights / xp.sum(weights, axis=0)
            return sum(over(w, x, len(self.shape)) * s(x, t) for w, s in zip(weights, component_scores))

        return score

    def _joint(self, x: Any, t: Any, sde: IsotropicSDE) -> tuple[Any, Any]:
        xp = array_api_compat.array_namespace(x)
        return xp.stack([math.log(w) + c.log_density(x, t, sde) for w, c in zip(self.weights, self.components)]), xp


def _symmetric(matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    symmetric: np.ndarray[Any, Any] = (matrix + matrix.T) / 2
    return symmetric
