"""The empirical distribution of a data set: what a network that has learnt its data by heart would sample.

Under noise it is a mixture of N isotropic Gaussians, p(x, t) = 1/N Σ_n N(x; αy_n, σ²I), with the score

    ∇ log p(x, t) = −Σ_n w_n (x − αy_n)/σ²,  w = softmax(−‖x − αy_n‖²/2σ²)
"""

from __future__ import annotations

import math
from typing import Any

import array_api_compat
import numpy as np

from ..arrays import at_least_single, device, is_floating, namespace, over, part
from ..backend import Constant, backend_of
from ..border import checked
from ..sdes import IsotropicSDE
from ..subspaces import Subspace
from .base import BITS, KnownScore, Oracle, uniform

_NUMBERS = 2**20  # differences in memory at once


@checked
class Empirical(Oracle):
    """The law of a point that is drawn from a data set, each with the same probability.

    Every evaluation looks at all N points, in blocks. It takes their differences from x and no expanded squares, so
    that no digits are lost where σ is small beside the data.

    Parameters
    ----------
    data: (N, *shape), floating-point numbers of any library.

    Raises ValueError for no data, integers, NaN or infinity; and, when evaluated at σ = 0, where there is no density.

    >>> from subspace_sde import VE
    >>> three = Empirical(np.asarray([[0.0], [1.0], [4.0]]))
    >>> # half way between the first two
    >>> three.score(VE())(np.asarray([[0.5]]), 0.2).round(9) + 0.0
    array([[0.]])
    """

    def __init__(self, data: Any) -> None:
        namespace(data)
        if data.ndim < 1 or not data.shape[0]:
            raise ValueError(f"data is an array (N, *shape) with N >= 1, got shape {tuple(data.shape)}")
        if not is_floating(data):
            raise ValueError(
                f"data must be floating-point numbers, got {data.dtype}: convert first, pixels to [0, 1] say"
            )
        self.data = backend_of(data).to_numpy(data).astype(np.float64)
        if not np.all(np.isfinite(self.data)):
            raise ValueError("the data hold NaN or infinity")
        self.shape = tuple(self.data.shape[1:])
        self.mean = self.data.mean(axis=0)
        self._rows = Constant(self.data.reshape(len(self.data), -1))

    @checked
    def restrict(self, subspace: Subspace) -> Empirical:
        """The law of Uᵀx: that of the points' coordinates."""
        return Empirical(subspace.restrict(self.data))

    def _log_density(self, x: Any, t: Any, sde: IsotropicSDE) -> Any:
        (logs, _, _), xp = self._seen(x, t, sde)
        sigma = over(sde.sigma(t), logs, 0)
        log_sigma = math.log(sigma) if isinstance(sigma, float) else xp.log(sigma)
        d = math.prod(self.shape)
        return logs - math.log(len(self.data)) - 0.5 * d * math.log(2 * math.pi) - d * log_sigma

    @checked
    def score(self, sde: IsotropicSDE) -> KnownScore:
        def score(x: Any, t: Any) -> Any:
            (_, gap, _), _ = self._seen(x, t, sde)
            return -gap / over(sde.sigma(t), x, len(self.shape)) ** 2

        def product(x: Any, t: Any, v: Any) -> Any:
            dtype, x, v = x.dtype, at_least_single(x), at_least_single(v)
            (_, gap, along), xp = self._seen(x, t, sde, v)
            axes = tuple(range(-len(self.shape), 0))
            covariance = along - gap * xp.sum(gap * v, axis=axes, keepdims=True)  # of the points, times v
            variance = over(sde.sigma(t), x, len(self.shape)) ** 2
            return xp.astype((covariance / variance - v) / variance, dtype, copy=False)

        return KnownScore(score, product, self.shape)

    @property
    def _numbers(self) -> int:
        return BITS

    def _draw(self, z: Any, xp: Any) -> Any:
        index = xp.asarray((uniform(z) * len(self.data)).astype(np.int64), device=device(z))
        return xp.reshape(xp.take(self._rows.like(z), index, axis=0), (-1, *self.shape))

    def _seen(self, x: Any, t: Any, sde: IsotropicSDE, v: Any = None) -> tuple[tuple[Any, Any, Any], Any]:
        """log Σ_n exp(−‖x − αy_n‖²/2σ²), (*batch,), and with g_n = x − αy_n Σ_n w_n g_n and Σ_n w_n g_n ⟨g_n, v⟩.

        The last two have the shape of x; without a v the last is 0.
        """
        xp = array_api_compat.array_namespace(x)
        batch = tuple(x.shape[: x.ndim - len(self.shape)])
        coefficients = [over(c, x, len(self.shape)) for c in (sde.alpha(t), sde.sigma(t))]
        if isinstance(coefficients[1], float) and coefficients[1] == 0:
            raise ValueError(f"a data set has no density without noise, and σ is 0 at t = {t:g}: take a larger t")
        num, d = math.prod(batch), math.prod(self.shape)
        alpha, sigma = (
            c if isinstance(c, float) else xp.broadcast_to(xp.reshape(c, (-1, 1, 1)), (num, 1, 1)) for c in coefficients
        )
        rows, points = xp.reshape(x, (num, 1, d)), self._rows.like(x)
        along = None if v is None else xp.reshape(v, (num, 1, d))
        columns = min(len(self.data), max(1, _NUMBERS // d))
        some = max(1, _NUMBERS // (columns * d))
        found = []
        for i in range(0, max(1, num), some):
            a, s = (c if isinstance(c, float) else part(c, i, some) for c in (alpha, sigma))
            u = None if along is None else part(along, i, some)
            found.append(self._softmax(part(rows, i, some), u, a, s, points, columns, xp))
        logs, gaps, products = (xp.concat(parts, axis=0) for parts in zip(*found))
        return (xp.reshape(logs, batch), xp.reshape(gaps, x.shape), xp.reshape(products, x.shape)), xp

    @staticmethod
    def _softmax(x: Any, v: Any, alpha: Any, sigma: Any, points: Any, columns: int, xp: Any) -> tuple[Any, Any, Any]:
        """The same for some rows x, (n, 1, d), the points in blocks: weights are rescaled as larger ones come."""
        highest = xp.full_like(x[..., :1], -math.inf)
        total, gap, along = xp.zeros_like(highest), xp.zeros_like(x), xp.zeros_like(x)
        for start in range(0, points.shape[0], columns):
            gaps = x - alpha * part(points, start, columns)
            logs = xp.sum(gaps * gaps, axis=-1, keepdims=True) / (-2 * sigma**2)
            top = xp.maximum(highest, xp.max(logs, axis=1, keepdims=True))
            weights, before = xp.exp(logs - top), xp.exp(highest - top)
            total = total * before + xp.sum(weights, axis=1, keepdims=True)
            gap = gap * before + xp.matmul(xp.matrix_transpose(weights), gaps)
            if v is not None:
                weights = weights * xp.sum(gaps * v, axis=-1, keepdims=True)
                along = along * before + xp.matmul(xp.matrix_transpose(weights), gaps)
            highest = top
        return highest + xp.log(total), gap / total, along / total
