"""Data distributions whose score is known in closed form, on the full space and on every level.

Under x = α x(0) + σ ε a Gaussian N(μ, C) becomes N(α μ, α²C + σ²I), and a mixture stays a mixture; the coordinates Uᵀx
of either are again one (`Gaussian.restrict`). Solvers, divergences and likelihoods are tested against them.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import reduce
from typing import Any

import array_api_compat
import numpy as np
from scipy.fft import dct

from .arrays import Score, over
from .backend import RNG, Constant, Noise
from .sdes import IsotropicSDE
from .subspaces import Basis, Separable, Subspace


class _Normal(ABC):
    """N(mean, V diag(eigenvalues) Vᵀ): what the Gaussians share; V is a rotation, a `Subspace` of all dimensions.

    Attributes
    ----------
    shape: of one draw.
    mean: of that shape.
    axes: V; `restrict` gives the coordinates along the eigenvectors.
    eigenvalues: of the covariance, an array of those coordinates.
    """

    def __init__(self, mean: Any, eigenvalues: np.ndarray[Any, Any], axes: Subspace, tolerance: float = 1e-10) -> None:
        self.mean = np.array(mean, dtype=np.float64)
        self.shape = tuple(self.mean.shape)
        if not (np.all(np.isfinite(self.mean)) and np.all(np.isfinite(eigenvalues))):
            raise ValueError("the mean or the covariance holds NaN or infinity")
        least, most = float(eigenvalues.min()), float(eigenvalues.max())
        if least < -tolerance * max(most, 1e-300):
            raise ValueError(f"the covariance is not positive semi-definite: its smallest eigenvalue is {least}")
        self.eigenvalues = np.maximum(eigenvalues, 0.0)
        self.axes, self._mean, self._eigenvalues = axes, Constant(self.mean), Constant(self.eigenvalues)

    @abstractmethod
    def captured(self, subspace: Subspace) -> np.ndarray[Any, Any]:
        """‖Uᵀv_j‖² of every eigenvector v_j, an array like `eigenvalues`."""

    def sample(self, num: int, rng: RNG, like: Any = None) -> Any:
        """Exact draws, (num, *shape). Noise drawn elsewhere from the same integer repeats theirs: take another."""
        like = np.zeros(()) if like is None else like
        xp = array_api_compat.array_namespace(like)
        z = Noise(rng, (num,), like).normal(self.axes.shape)
        return self.axes._embed(z * xp.sqrt(self._eigenvalues.like(z)), xp) + self._mean.like(z)

    def log_density(self, x: Any, t: Any, sde: IsotropicSDE) -> Any:
        """log p(x, t) in nats, (*batch,)."""
        y, variance, xp = self._rotated(x, t, sde)
        return -0.5 * xp.sum(y * y / variance + xp.log(2 * math.pi * variance), axis=self._trailing)

    def score(self, sde: IsotropicSDE) -> Score:
        """∇ log p(x, t), exact."""

        def score(x: Any, t: Any) -> Any:
            y, variance, xp = self._rotated(x, t, sde)
            return self.axes._embed(-y / variance, xp)

        return score

    @property
    def _trailing(self) -> tuple[int, ...]:
        return tuple(range(-len(self.axes.shape), 0))

    def _rotated(self, x: Any, t: Any, sde: IsotropicSDE) -> tuple[Any, Any, Any]:
        """The centred x in the eigenvectors' basis, and the variances there."""
        xp = array_api_compat.array_namespace(x)
        alpha = over(sde.alpha(t), x, len(self.shape))
        y = self.axes._restrict(x - alpha * self._mean.like(x), xp)
        alpha, sigma = (over(c, y, len(self.axes.shape)) for c in (sde.alpha(t), sde.sigma(t)))
        return y, alpha**2 * self._eigenvalues.like(x) + sigma**2, xp


class Gaussian(_Normal):
    """N(mean, covariance) over arrays of shape ``mean.shape``.

    Parameters
    ----------
    mean: an array of the data's shape, d numbers.
    covariance: (d, d), symmetric and positive semi-definite.
    tolerance: eigenvalues that far below 0, relative to the largest, are taken for rounding and count as 0.

    >>> from subspace_sde import VE
    >>> normal = Gaussian(np.zeros(2), np.eye(2))
    >>> normal.score(VE())(np.ones((1, 2)), 0.5).round(3)
    array([[-0.667, -0.667]])
    """

    def __init__(self, mean: Any, covariance: Any, tolerance: float = 1e-10) -> None:
        mean, self.covariance = np.asarray(mean, dtype=np.float64), np.array(covariance, dtype=np.float64)
        d = mean.size
        if self.covariance.shape != (d, d):
            raise ValueError(
                f"a mean with {d} numbers needs a covariance of shape {(d, d)}, got {self.covariance.shape}"
            )
        if not np.all(np.isfinite(self.covariance)):
            raise ValueError("the mean or the covariance holds NaN or infinity")
        if np.max(np.abs(self.covariance - self.covariance.T), initial=0.0) > 1e-10 * np.max(
            np.abs(self.covariance), initial=0.0
        ):
            raise ValueError("the covariance is not symmetric")
        eigenvalues, vectors = np.linalg.eigh(self.covariance)
        super().__init__(mean, eigenvalues, Basis(vectors, mean.shape), tolerance)

    def restrict(self, subspace: Subspace) -> Gaussian:
        """The law of Uᵀx: N(Uᵀμ, UᵀCU)."""
        u = subspace.matrix()
        return Gaussian(subspace.restrict(self.mean), _symmetric(u.T @ self.covariance @ u))

    def captured(self, subspace: Subspace) -> np.ndarray[Any, Any]:
        vectors = self.axes.matrix().T.reshape(-1, *self.shape)
        return _norms(subspace, vectors)


class DCTGaussian(_Normal):
    """The Gaussian whose DCT-II coefficients over all axes are independent: a diagonal instead of a covariance.

    No matrix is larger than an axis, so that it works at (3, 256, 256) and beyond.

    Parameters
    ----------
    mean: an array of the data's shape.
    power: the variance of each orthonormal DCT-II coefficient, of the same shape.

    >>> DCTGaussian(np.zeros((3, 8, 8)), np.ones((3, 8, 8))).sample(2, rng=0).shape
    (2, 3, 8, 8)
    """

    def __init__(self, mean: Any, power: Any) -> None:
        mean, power = np.asarray(mean, dtype=np.float64), np.asarray(power, dtype=np.float64)
        if mean.shape != power.shape:
            raise ValueError(f"the mean has shape {mean.shape}, the power {power.shape}: they must agree")
        super().__init__(mean, power, dct_basis(mean.shape))

    def restrict(self, subspace: Subspace) -> DCTGaussian | Gaussian:
        """The law of Uᵀx: diagonal where its DCT are the lowest frequencies of x (`LowPass`), else dense."""
        mean = subspace.restrict(self.mean)
        matrices = subspace.axis_matrices()
        if matrices is not None and all(_keeps_lowest(u) for u in matrices):
            return DCTGaussian(mean, self.eigenvalues[tuple(slice(n) for n in subspace.shape)])
        if subspace.dim > 2**13:
            raise ValueError(
                f"the law of these {subspace.dim} coordinates is not diagonal, and they are too many for a matrix"
            )
        coordinates = np.eye(subspace.dim).reshape(subspace.dim, *subspace.shape)
        rows = self.axes.restrict(subspace.embed(coordinates)).reshape(subspace.dim, -1)
        return Gaussian(mean, _symmetric(rows * self.eigenvalues.reshape(-1) @ rows.T))

    def captured(self, subspace: Subspace) -> np.ndarray[Any, Any]:
        """Axis by axis where the subspace is a product of maps along the axes; else by every coefficient in turn.

        Raises ValueError for any other subspace of more than 2¹⁵ dimensions, which would take d projections.
        """
        matrices = subspace.axis_matrices()
        if matrices is not None:
            parts = [np.sum(dct(u, axis=0, norm="ortho") ** 2, axis=1) for u in matrices]
            energies: np.ndarray[Any, Any] = reduce(np.multiply.outer, parts, np.ones(()))
            return energies
        d = math.prod(self.shape)
        if d > 2**15:
            raise ValueError(
                f"{subspace!r} is no product of maps along the axes, and {d} dimensions are too many to try one by one"
            )
        energies = np.empty(d)
        for start in range(0, d, 512):
            unit = np.eye(min(512, d - start), d, start).reshape(-1, *self.shape)
            energies[start : start + 512] = _norms(subspace, self.axes.embed(unit))
        return energies.reshape(self.shape)


def dct_basis(shape: Sequence[int]) -> Subspace:
    """The orthonormal DCT-II over all axes, as a rotation: `restrict` gives the coefficients.

    >>> dct_basis((4,)).restrict(np.ones(4)).round(6) + 0.0
    array([2., 0., 0., 0.])
    """
    return Separable(shape, {a: dct(np.eye(n), axis=0, norm="ortho").T for a, n in enumerate(shape)})


def _keeps_lowest(u: np.ndarray[Any, Any]) -> bool:
    """True if the m DCT coefficients of Uᵀx are the lowest m of x, for U (n, m)."""
    n, m = u.shape
    kept = dct(dct(u, axis=0, norm="ortho"), axis=1, norm="ortho")
    return bool(np.max(np.abs(kept - np.eye(n, m))) < 1e-9)


def _norms(subspace: Subspace, vectors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """‖Uᵀv‖² of every v of the batch, some hundred at a time."""
    parts = [subspace.restrict(vectors[i : i + 512]) for i in range(0, len(vectors), 512)]
    return np.concatenate([np.sum(z.reshape(len(z), -1) ** 2, axis=1) for z in parts])


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
        """Exact draws, (num, *shape); `rng` as in `Gaussian.sample`."""
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
