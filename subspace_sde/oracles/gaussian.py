"""Gaussians: under x = α x(0) + σ ε, N(μ, C) becomes N(α μ, α²C + σ²I), and Uᵀx(0) has the law N(Uᵀμ, UᵀCU)."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import array_api_compat
import numpy as np

from ..arrays import over
from ..backend import Constant, host
from ..border import checked
from ..sdes import IsotropicSDE
from ..subspaces import Basis, Identity, Subspace
from ..subspaces.base import maps_of
from .base import KnownScore, Oracle

_LARGEST = 2**13  # coordinates with a covariance as a matrix: 512 MB
_ROWS = 512  # vectors at a time where a matrix is taken column by column


class Normal(Oracle):
    """N(mean, C) with C in any form that can be applied to a vector: what all Gaussians share.

    Attributes
    ----------
    eigenvalues: of the covariance.
    """

    eigenvalues: np.ndarray[Any, Any]

    def __init__(self, mean: Any) -> None:
        self.mean = host(mean)
        self.shape = tuple(self.mean.shape)
        self._mean = Constant(self.mean)

    @checked
    def score(self, sde: IsotropicSDE) -> KnownScore:
        # affine in x, and 0 at the mean
        def product(x: Any, t: Any, v: Any) -> Any:
            return self._score(over(sde.alpha(t), v, len(self.shape)) * self._mean.like(v) + v, t, sde)

        return KnownScore(lambda x, t: self._score(x, t, sde), product, self.shape)

    @abstractmethod
    def _score(self, x: Any, t: Any, sde: IsotropicSDE) -> Any:
        """∇ log p(x, t)."""

    @abstractmethod
    def captured(self, subspace: Subspace) -> np.ndarray[Any, Any]:
        """‖Uᵀv_j‖² of every eigenvector v_j, an array like `eigenvalues`; summed where one stands for several."""

    def captured_by(self, subspaces: Sequence[Subspace]) -> list[np.ndarray[Any, Any]]:
        """`captured` of each of the subspaces; what they have in common is computed once."""
        return [self.captured(subspace) for subspace in subspaces]

    @abstractmethod
    def _covary(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Cx for numpy arrays x of shape (n, *shape)."""

    @checked
    def dense(self, subspace: Subspace | None = None) -> Gaussian:
        """The law of Uᵀx, or of x without a subspace, with its covariance as a matrix.

        Raises ValueError for more than 2¹³ coordinates.

        >>> from subspace_sde.oracles import LowRankGaussian
        >>> LowRankGaussian(np.zeros(2), [[1.0], [2.0]], 1.0).dense().covariance
        array([[2., 2.],
               [2., 5.]])
        """
        u = Identity(self.shape) if subspace is None else subspace
        mean = u.restrict(self.mean)
        if u.dim > _LARGEST:
            raise ValueError(
                f"the law of these {u.dim} coordinates needs a matrix, and they are too many for one: "
                f"take a subspace of at most {_LARGEST} dimensions"
            )
        covariance = np.empty((u.dim, u.dim))
        for start in range(0, u.dim, _ROWS):
            unit = np.eye(min(_ROWS, u.dim - start), u.dim, start).reshape(-1, *u.shape)
            covariance[start : start + _ROWS] = u.restrict(self._covary(u.embed(unit))).reshape(-1, u.dim)
        return Gaussian(mean, symmetric(covariance))


class Diagonalised(Normal):
    """N(mean, V diag(eigenvalues) Vᵀ); V is a rotation, a `Subspace` of all dimensions.

    Attributes
    ----------
    axes: V; `restrict` gives the coordinates along the eigenvectors.
    eigenvalues: of the covariance, an array of those coordinates.
    """

    def __init__(self, mean: Any, eigenvalues: np.ndarray[Any, Any], axes: Subspace, tolerance: float = 1e-10) -> None:
        super().__init__(mean)
        if not (np.all(np.isfinite(self.mean)) and np.all(np.isfinite(eigenvalues))):
            raise ValueError("the mean or the covariance holds NaN or infinity")
        least, most = float(eigenvalues.min()), float(eigenvalues.max())
        if not 0 <= tolerance < math.inf:
            raise ValueError(f"the tolerance is relative, finite and not negative, got {tolerance}")
        if least < -tolerance * max(most, 1e-300):
            raise ValueError(f"the covariance is not positive semi-definite: its smallest eigenvalue is {least}")
        self.eigenvalues = np.maximum(eigenvalues, 0.0)
        self.axes, self._eigenvalues = axes, Constant(self.eigenvalues)

    def _log_density(self, x: Any, t: Any, sde: IsotropicSDE) -> Any:
        y, variance, xp = self._rotated(x, t, sde)
        return -0.5 * xp.sum(y * y / variance + xp.log(2 * math.pi * variance), axis=self._trailing)

    def _score(self, x: Any, t: Any, sde: IsotropicSDE) -> Any:
        y, variance, xp = self._rotated(x, t, sde)
        return self.axes._embed(-y / variance, xp)

    @property
    def _numbers(self) -> int:
        return self.axes.dim

    def _draw(self, z: Any, xp: Any) -> Any:
        z = xp.reshape(z, (-1, *self.axes.shape))
        return self.axes._embed(z * xp.sqrt(self._eigenvalues.like(z)), xp) + self._mean.like(z)

    def _covary(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        found: np.ndarray[Any, Any] = self.axes.embed(self.eigenvalues * self.axes.restrict(x))
        return found

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


@checked
class Gaussian(Diagonalised):
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
        mean, self.covariance = host(mean), host(covariance)
        d = mean.size
        if self.covariance.shape != (d, d):
            raise ValueError(
                f"a mean with {d} numbers needs a covariance of shape {(d, d)}, got {self.covariance.shape}"
            )
        if not 0 <= tolerance < np.inf:
            raise ValueError(f"the tolerance is relative to the largest eigenvalue, and not negative, got {tolerance}")
        if not np.all(np.isfinite(self.covariance)):
            raise ValueError("the mean or the covariance holds NaN or infinity")
        if np.max(np.abs(self.covariance - self.covariance.T), initial=0.0) > 1e-10 * np.max(
            np.abs(self.covariance), initial=0.0
        ):
            raise ValueError("the covariance is not symmetric")
        eigenvalues, vectors = np.linalg.eigh(self.covariance)
        super().__init__(mean, eigenvalues, Basis(vectors, mean.shape), tolerance)

    @checked
    def dense(self, subspace: Subspace | None = None) -> Gaussian:
        return self if subspace is None else self.restrict(subspace)

    @checked
    def restrict(self, subspace: Subspace) -> Gaussian:
        u = subspace.matrix()
        return Gaussian(subspace.restrict(self.mean), symmetric(u.T @ self.covariance @ u))

    def captured(self, subspace: Subspace) -> np.ndarray[Any, Any]:
        return self.captured_by([subspace])[0]

    def captured_by(self, subspaces: Sequence[Subspace]) -> list[np.ndarray[Any, Any]]:
        return norms(subspaces, self.axes.matrix())


def norms(subspaces: Sequence[Subspace], columns: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """‖Uᵀv‖² of every column v (d, n), for each of the subspaces.

    Some hundred columns at a time go through all the subspaces. Those that keep the lowest frequencies, as low-passes
    of any size do, share one DCT: their energies are sums over parts of its squares.
    """
    from scipy.fft import dctn

    lowest = [keeps_lowest(u) for u in subspaces]
    found: list[list[np.ndarray[Any, Any]]] = [[] for _ in subspaces]
    for start in range(0, columns.shape[1], _ROWS):
        rows = np.ascontiguousarray(columns[:, start : start + _ROWS].T)
        squares: Any = None
        for u, low, energies in zip(subspaces, lowest, found):
            v = rows.reshape(-1, *u.ambient_shape)
            if low:
                squares = dctn(v, axes=range(1, v.ndim), norm="ortho") ** 2 if squares is None else squares
                kept = squares[(slice(None), *map(slice, u.shape))]
            else:
                kept = u.restrict(v) ** 2
            energies.append(np.sum(kept, axis=tuple(range(1, kept.ndim))))
    return [np.concatenate(parts) for parts in found]


def keeps_lowest(subspace: Subspace) -> bool:
    """Whether the DCT of Uᵀx is the part of the lowest frequencies of the DCT of x."""
    maps = maps_of(subspace)
    return maps is not None and all(each.keeps_lowest() for each in maps)


def symmetric(matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The symmetric part of a matrix that is symmetric but for rounding."""
    found: np.ndarray[Any, Any] = (matrix + matrix.T) / 2
    return found
