"""What y says on the levels, from one matrix: on the largest level that is small enough to have one.

With the covariance W of x(0) given x_k(t), every S of `subspace_sde.posterior.view` is σ_y² I + A W Aᵀ. On a level
b ≤ k, and with what does not depend on k and r²,

    T = σ_y² I + A [Σ_{j<b} v_j (P_{j−1} − P_j) + v_b P_{b−1}] Aᵀ,
    G = (A U_b)ᵀ T⁻¹ A U_b,

S = T + A U_b D U_bᵀ Aᵀ, where in the coordinates of b D = Σ_{b<j≤k} v_j (P_{j−1} − P_j) + r² P_k − v_b I. So (Woodbury)

    (A U_k)ᵀ S⁻¹ A U_k = U_{k|b}ᵀ (I + G D)⁻¹ G U_{k|b},
    (A U_k)ᵀ S⁻¹ y = U_{k|b}ᵀ (I + G D)⁻¹ (A U_b)ᵀ T⁻¹ y.

For b = 1, T is σ_y² I + v_1 AAᵀ: no subspace is in it, and where AAᵀ is a multiple of I nothing has to be solved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import array_api_compat
import numpy as np

from ..arrays import device
from ..backend import backend_of
from ..measurements import LinearMeasurement
from ..process import SubspaceSDE
from ..statistics.moments import has_float64
from .linear_systems import conjugate_gradients

_COLUMNS = 256  # systems at a time where a matrix is taken column by column


class Information:
    """G on one level, as its eigenvectors and eigenvalues; of A, σ_y and the process alone, for any y.

    Parameters
    ----------
    measurement, iterations: A, and how long conjugate gradients may take.
    process: whose subspaces they are.
    level: b >= 1.
    floor, weights: σ_y² and v_1 … v_K, or what stands for them.
    like: an array whose library and device are used, in float32 or wider.

    What it gives is in float64, on the host where the device has none (`back`).

    Raises ValueError for σ_y and v_b of 0, where nothing is left of T.
    """

    def __init__(
        self,
        measurement: LinearMeasurement,
        iterations: int,
        process: SubspaceSDE,
        level: int,
        floor: float,
        weights: Sequence[float],
        like: Any,
    ) -> None:
        self._measurement, self._iterations, self._process = measurement, iterations, process
        self.level, self._floor, self._weights = level, floor, tuple(weights)
        if not floor and not weights[level - 1]:
            raise ValueError(
                "y has no noise and the complement no variance, so that what y says is not bounded: give the "
                "observation noise, or a variance above 0"
            )
        like = _wide(like)
        xp, shape = array_api_compat.array_namespace(like), process.shape(level)
        n, parts = math.prod(shape), []
        for start in range(0, n, _COLUMNS):
            unit = np.eye(min(_COLUMNS, n - start), n, start).reshape(-1, *shape)
            column = process.subspaces[level]._embed(backend_of(like).from_numpy(unit, like), xp)
            parts.append(self._seen(self._solved(measurement._apply(column, xp), xp), xp))
        matrix = xp.concat(parts)
        values, self._vectors = xp.linalg.eigh((matrix + xp.matrix_transpose(matrix)) / 2)
        most = 1 / weights[level - 1] if weights[level - 1] else math.inf  # as T ≥ v_b A P_b Aᵀ; beyond is rounding
        self.values = xp.clip(values, 0.0, most)

    def on(self, k: int, variance: float) -> tuple[Any, Any]:
        """(A U_k)ᵀ S(r²)⁻¹ A U_k as eigenvalues and eigenvectors, (n_k,) and (n_k, n_k); `variance` is r²."""
        xp = array_api_compat.array_namespace(self.values)
        if k == self.level:
            return self.values / (1 + (variance - self._weights[k - 1]) * self.values), self._vectors
        # symmetric: with G = RRᵀ it is (U_{k|b}ᵀR)(I + RᵀDR)⁻¹(U_{k|b}ᵀR)ᵀ
        root, inner = self._root(xp), self._inner(k, variance, xp)
        seen = self._restricted(root, k, xp)
        matrix = xp.matmul(seen, xp.linalg.solve(inner, xp.matrix_transpose(seen)))
        values, vectors = xp.linalg.eigh((matrix + xp.matrix_transpose(matrix)) / 2)
        return xp.where(values > 0, values, xp.zeros_like(values)), vectors

    def of(self, y: Any, k: int, variance: float) -> Any:
        """(A U_k)ᵀ S(r²)⁻¹ y, (num, n_k), of y (num, *measurement.shape)."""
        y = _wide(y)
        xp = array_api_compat.array_namespace(y)
        h = self._seen(self._solved(y, xp), xp)
        if k == self.level:
            along = xp.matmul(h, self._vectors) / (1 + (variance - self._weights[k - 1]) * self.values)
            return xp.matmul(along, xp.matrix_transpose(self._vectors))
        # (I + GD)⁻¹ = I − R(I + RᵀDR)⁻¹RᵀD
        root, inner = self._root(xp), self._inner(k, variance, xp)
        rest = xp.linalg.solve(
            inner, xp.matmul(xp.matrix_transpose(root), xp.matrix_transpose(self._spread(h, k, variance, xp)))
        )
        return xp.matrix_transpose(self._restricted(xp.matrix_transpose(h) - xp.matmul(root, rest), k, xp))

    def _root(self, xp: Any) -> Any:
        return self._vectors * xp.sqrt(self.values)

    def _inner(self, k: int, variance: float, xp: Any) -> Any:
        """I + RᵀDR."""
        root = self._root(xp)
        spread = self._spread(xp.matrix_transpose(root), k, variance, xp)
        inner = xp.matmul(spread, root)
        return (inner + xp.matrix_transpose(inner)) / 2 + xp.eye(
            inner.shape[0], dtype=inner.dtype, device=device(inner)
        )

    def _spread(self, rows: Any, k: int, variance: float, xp: Any) -> Any:
        """D of every row, (…, n_b)."""
        b, shape = self.level, self._process.shape(self.level)
        x = xp.reshape(rows, (rows.shape[0], *shape))
        spread = weigh(self._process, b, k, x, self._weights[b:k], variance) - self._weights[b - 1] * x
        return xp.reshape(spread, rows.shape)

    def _restricted(self, columns: Any, k: int, xp: Any) -> Any:
        """U_{k|b}ᵀ of every column, (n_b, …) to (n_k, …)."""
        rows = xp.reshape(xp.matrix_transpose(columns), (columns.shape[1], *self._process.shape(self.level)))
        for step in self._process.subspaces.steps[self.level : k]:
            rows = step._restrict(rows, xp)
        return xp.matrix_transpose(xp.reshape(rows, (columns.shape[1], math.prod(rows.shape[1:]))))

    def _solved(self, y: Any, xp: Any) -> Any:
        b = self.level
        return solved(
            self._measurement,
            self._iterations,
            self._process,
            y,
            self._floor,
            self._weights[: b - 1],
            self._weights[b - 1],
        )

    def _seen(self, y: Any, xp: Any) -> Any:
        """(A U_b)ᵀ of y, flattened."""
        z = self._process.subspaces[self.level]._restrict(self._measurement._adjoint(y, xp), xp)
        return xp.reshape(z, (z.shape[0], math.prod(z.shape[1:])))


def solved(
    measurement: LinearMeasurement,
    iterations: int,
    process: SubspaceSDE,
    y: Any,
    floor: float,
    weights: Sequence[float],
    last: float,
) -> Any:
    """(floor · I + A [Σ_{j≤k} w_j (P_{j−1} − P_j) + last · P_k] Aᵀ)⁻¹ y, k the number of weights.

    At once for k = 0 and an AAᵀ that is a multiple of I, else by conjugate gradients.
    """
    xp = array_api_compat.array_namespace(y)
    if not weights and measurement.gram_scale is not None:
        return y / (floor + last * measurement.gram_scale)

    def covariance(u: Any) -> Any:
        if not weights:
            return floor * u + last * measurement._gram(u, xp)
        spread = weigh(process, 0, len(weights), measurement._adjoint(u, xp), weights, last)
        return floor * u + measurement._apply(spread, xp)

    return conjugate_gradients(covariance, y, len(measurement.shape), iterations)


def weigh(process: SubspaceSDE, b: int, k: int, x: Any, weights: Sequence[float], last: float) -> Any:
    """Σ_{b<j≤k} w_j (P_{j−1} − P_j) x + last · P_k x, of arrays of level b."""
    xp, steps, parts = array_api_compat.array_namespace(x), process.subspaces.steps[b:k], []
    for weight, step in zip(weights, steps):
        inner = step._restrict(x, xp)
        parts.append(weight * (x - step._embed(inner, xp)))
        x = inner
    x = last * x
    for step, part in zip(reversed(steps), reversed(parts)):
        x = step._embed(x, xp) + part
    return x


def _wide(x: Any) -> Any:
    """In float64, on the host where there is none: a G near its bound leaves little of 1 + (r² − v) G."""
    xp = array_api_compat.array_namespace(x)
    return xp.astype(x, xp.float64, copy=False) if has_float64(x) else backend_of(x).to_numpy(x).astype(np.float64)


def back(x: Any, like: Any) -> Any:
    """What `Information` gives, in the library and dtype of `like`."""
    backend, xp = backend_of(like), array_api_compat.array_namespace(like)
    return xp.astype(x, like.dtype, copy=False) if backend_of(x) is backend else backend.from_numpy(x, like)
