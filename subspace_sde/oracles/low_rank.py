"""The Gaussian of few factors, N(μ, FFᵀ + diag(δ)): what factor analysis and probabilistic PCA fit, at any size.

With D = α²δ + σ² and M = I + α²FᵀD⁻¹F, which is small (Woodbury's identity and the determinant lemma),

    w = αM⁻¹FᵀD⁻¹(x − αμ),    ∇ log p(x, t) = −D⁻¹(x − αμ − αFw),
    log det(α²(FFᵀ + diag(δ)) + σ²I) = Σ log D + log det M
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from ..arrays import at_least_single, over, part
from ..backend import Constant, host
from ..border import checked
from ..sdes import IsotropicSDE
from ..subspaces import Identity, Subspace
from .gaussian import Gaussian, Normal, norms

_NUMBERS = 2**24  # in memory at once, where every element of a batch has a t and thus an M of its own


@checked
class LowRankGaussian(Normal):
    """N(mean, FFᵀ + diag(δ)), never with a d × d matrix.

    Parameters
    ----------
    mean: an array of the data's shape, d numbers.
    factors: F, (d, r), r ≪ d.
    diagonal: δ >= 0, an array of the data's shape, or one number for all.

    Raises ValueError for shapes that do not fit, NaN, infinity, or a negative diagonal.

    >>> from subspace_sde import VE
    >>> # common to all pixels
    >>> brightness = LowRankGaussian(np.zeros((3, 64, 64)), np.ones((3 * 64 * 64, 1)), 0.1)
    >>> x, sigma = np.ones((1, 3, 64, 64)), VE().sigma(0.5)
    >>> bool(
    ...     np.allclose(brightness.score(VE())(x, 0.5), -1 / (3 * 64 * 64 + 0.1 + sigma**2))
    ... )
    True
    """

    def __init__(self, mean: Any, factors: Any, diagonal: Any) -> None:
        super().__init__(mean)
        self.factors, diagonal = host(factors), host(diagonal)
        if self.factors.ndim != 2 or self.factors.shape[0] != self.mean.size:
            raise ValueError(
                f"a mean with {self.mean.size} numbers needs factors of shape ({self.mean.size}, r), "
                f"got {self.factors.shape}"
            )
        if diagonal.shape not in ((), self.shape):
            raise ValueError(
                f"the diagonal is one number or has the mean's shape {self.shape}, got shape {diagonal.shape}"
            )
        if not all(np.all(np.isfinite(a)) for a in (self.mean, self.factors, diagonal)):
            raise ValueError("the mean, the factors or the diagonal hold NaN or infinity")
        if np.min(diagonal) < 0:
            raise ValueError(f"the diagonal holds variances, which are not negative, got {np.min(diagonal)}")
        self.diagonal = np.array(np.broadcast_to(diagonal, self.shape))
        # orthogonal factors with the same FFᵀ: where δ is one number M is then diagonal, whatever the factors' sizes
        left, sizes, _ = np.linalg.svd(self.factors, full_matrices=False)
        self._factors, self._diagonal = Constant(left * sizes), Constant(self.diagonal.reshape(-1))
        self._directions, self._sizes = left, sizes

    @property
    def eigenvalues(self) -> np.ndarray[Any, Any]:  # type: ignore[override]
        """Of the factors' directions, and last the one that all others share; ValueError where δ is not one number."""
        least, most = np.min(self.diagonal), np.max(self.diagonal)
        if least < most:
            raise ValueError(
                f"where the diagonal is not one number ({least:.3g} to {most:.3g} here) the eigenvectors are not those "
                "of the factors: take its `dense()`, or the mean of the diagonal"
            )
        found: np.ndarray[Any, Any] = np.append(self._sizes**2, 0.0) + most
        return found

    def captured(self, subspace: Subspace) -> np.ndarray[Any, Any]:
        (each,) = norms([subspace], self._directions)
        return np.append(each, subspace.dim - np.sum(each))

    @checked
    def restrict(self, subspace: Subspace) -> LowRankGaussian | Gaussian:
        """The law of Uᵀx: of low rank again where δ is the same everywhere (or U = I), else dense.

        Raises ValueError where it would be dense with more than 2¹³ coordinates.
        """
        mean = subspace.restrict(self.mean)
        if isinstance(subspace, Identity):
            return self
        least, most = np.min(self.diagonal), np.max(self.diagonal)
        if least < most:
            return self.dense(subspace)
        columns = self.factors.T.reshape(-1, *self.shape)
        return LowRankGaussian(mean, subspace.restrict(columns).reshape(-1, subspace.dim).T, most)

    def _log_density(self, x: Any, t: Any, sde: IsotropicSDE) -> Any:
        split, xp = self._split(x, t, sde)
        # ‖w‖² is the part that the factors explain: a sum of squares, where Woodbury's formula takes a difference
        square = xp.sum(split.rest**2 / split.variance, axis=-1) + xp.sum(split.explained**2, axis=-1)
        volume = xp.sum(xp.log(2 * math.pi * split.variance), axis=-1) + xp.linalg.slogdet(split.small)[1][:, None]
        found = xp.reshape(-0.5 * (square + volume), tuple(x.shape[: x.ndim - len(self.shape)]))
        return xp.astype(found, x.dtype, copy=False)

    def _score(self, x: Any, t: Any, sde: IsotropicSDE) -> Any:
        split, xp = self._split(x, t, sde)
        return xp.astype(xp.reshape(-split.rest / split.variance, x.shape), x.dtype, copy=False)

    @property
    def _numbers(self) -> int:
        return math.prod(self.shape) + int(self._factors.value.shape[1])

    def _draw(self, z: Any, xp: Any) -> Any:
        factors, d = self._factors.like(z), math.prod(self.shape)
        flat = z[:, :d] * xp.sqrt(self._diagonal.like(z)) + xp.matmul(z[:, d:], xp.matrix_transpose(factors))
        return xp.reshape(flat, (-1, *self.shape)) + self._mean.like(z)

    def _covary(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        flat = x.reshape(len(x), -1)
        found: np.ndarray[Any, Any] = flat @ self.factors @ self.factors.T + flat * self.diagonal.reshape(-1)
        return found.reshape(x.shape)

    def _split(self, x: Any, t: Any, sde: IsotropicSDE) -> tuple[_Split, Any]:
        xp, trailing, x = array_api_compat.array_namespace(x), len(self.shape), at_least_single(x)
        factors, d = self._factors.like(x), math.prod(self.shape)
        alpha, sigma = (over(c, x, trailing) for c in (sde.alpha(t), sde.sigma(t)))
        y = x - alpha * self._mean.like(x)
        times = 1
        if not isinstance(alpha, float):  # a t, and so an M, for each element
            times = math.prod(alpha.shape)
            alpha, sigma = xp.reshape(alpha, (times, 1, 1)), xp.reshape(sigma, (times, 1, 1))
        y = xp.reshape(y, (times, math.prod(x.shape) // (d * times) if times else 1, d))
        variance = xp.reshape(alpha**2 * self._diagonal.like(x) + sigma**2, (times, 1, d))
        small = xp.eye(factors.shape[1], dtype=x.dtype, device=array_api_compat.device(x)) + alpha**2 * self._gram(
            factors, variance, xp
        )
        seen = alpha * xp.matmul(y / variance, factors)
        explained = xp.matrix_transpose(xp.linalg.solve(small, xp.matrix_transpose(seen)))
        rest = y - alpha * xp.matmul(explained, xp.matrix_transpose(factors))
        return _Split(rest, explained, variance, small), xp

    @staticmethod
    def _gram(factors: Any, variance: Any, xp: Any) -> Any:
        """FᵀD⁻¹F, (times, r, r), some times at once."""
        rows, some = xp.matrix_transpose(factors), max(1, _NUMBERS // max(1, math.prod(factors.shape)))
        starts = range(0, max(1, variance.shape[0]), some)
        return xp.concat([xp.matmul(rows / part(variance, i, some), factors) for i in starts], axis=0)


class _Split(NamedTuple):
    """x − αμ as αFw and the rest, where the rest is D times minus the score; (times, elements of each, …)."""

    rest: Any  # (times, n, d)
    explained: Any  # w, (times, n, r)
    variance: Any  # D, (times, 1, d)
    small: Any  # M, (times, r, r)
