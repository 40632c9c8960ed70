"""An SDE from tables of α and σ: log α and the log-SNR v = log(α²/σ²) by monotone cubics (scipy's PCHIP).

With a = log α: α = eᵃ, σ = e^(a − v/2), and the two identities become f = a' and g² = −v' σ², so that f and g are those
of the curves that are computed with, whatever the table.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Self

import array_api_compat
import numpy as np

from ..arrays import Array, exp, sqrt
from ..backend import Constant, host
from ..border import checked
from ..specification import register
from .base import IsotropicSDE

_HALVINGS = 60


@checked
@register
class Tabulated(IsotropicSDE):
    """α and σ at given times, and smoothly between them: the schedules that networks were trained with.

    Parameters
    ----------
    times: increasing, at least two.
    alphas: α there, positive.
    sigmas: σ there, positive; log(α²/σ²) decreases strictly.
    t_min, T: ends inside of the table, where it is not used as a whole; its own ends without them.

    The table agrees with a formula to the error of a monotone cubic between its points, and exactly at them.

    Raises ValueError for tables that are too short, of different lengths, not finite, or not as said above.

    >>> sde = Tabulated([0.0, 0.5, 1.0], alphas=[1.0, 0.8, 0.1], sigmas=[0.01, 0.6, 0.99])
    >>> round(sde.alpha(0.5), 12), round(sde.sigma(0.5), 12)
    (0.8, 0.6)
    """

    def __init__(
        self,
        times: Sequence[float] | Array,
        alphas: Sequence[float] | Array,
        sigmas: Sequence[float] | Array,
        t_min: float | None = None,
        T: float | None = None,
    ) -> None:
        from scipy.interpolate import PchipInterpolator  # takes a while to import

        self.times, self.alphas, self.sigmas = tables = [host(values) for values in (times, alphas, sigmas)]
        shapes = {values.shape for values in tables}
        if len(shapes) > 1 or self.times.ndim != 1 or len(self.times) < 2:
            got = ", ".join(str(values.shape) for values in tables)
            raise ValueError(f"times, alphas and sigmas are tables of one length, two or more, got shapes {got}")
        _check("times", self.times, np.isfinite(self.times), "be finite")
        _check("alphas", self.alphas, (self.alphas > 0) & (self.alphas < np.inf), "be positive and finite")
        _check("sigmas", self.sigmas, (self.sigmas > 0) & (self.sigmas < np.inf), "be positive and finite")
        _check("times", self.times[1:], np.diff(self.times) > 0, "increase", 1)
        log_alpha = np.log(self.alphas)
        log_snr = 2 * (log_alpha - np.log(self.sigmas))
        _check("log(alphas²/sigmas²)", log_snr[1:], np.diff(log_snr) < 0, "decrease strictly", 1)
        first, last = float(self.times[0]), float(self.times[-1])
        super().__init__(first if t_min is None else t_min, last if T is None else T)
        if not first <= self.t_min < self.T <= last:
            raise ValueError(f"the table reaches from {first:g} to {last:g}, got t_min = {t_min} and T = {T}")
        self._a, self._v = (_Cubic(PchipInterpolator(self.times, y)) for y in (log_alpha, log_snr))

    @classmethod
    def from_betas(cls, betas: Sequence[float] | Array) -> Self:
        """The schedule of a discrete chain (Ho et al. 2020): α² = Π(1 − β) and σ² = 1 − α² at step i, t = (i + 1)/N.

        Parameters
        ----------
        betas: β_0 … β_{N−1}, in (0, 1).

        Raises ValueError for others; at β = 1, "zero terminal SNR", nothing of the data is left.

        >>> sde = Tabulated.from_betas([1e-4 + i * (0.02 - 1e-4) / 999 for i in range(1000)])
        >>> sde.t_min, sde.T, round(sde.alpha(0.5), 4)
        (0.001, 1.0, 0.2803)
        """
        beta = host(betas)
        if beta.ndim != 1 or len(beta) < 2 or not np.all((beta > 0) & (beta < 1)):
            wrong = np.atleast_1d(beta)[~((np.atleast_1d(beta) > 0) & (np.atleast_1d(beta) < 1))]
            raise ValueError(
                "betas are at least two numbers between 0 and 1, got "
                + (f"{wrong[0]:g} (where beta is 1 no data is left: leave that step out)" if len(wrong) else "fewer")
            )
        log_alpha_bar = np.cumsum(np.log1p(-beta))
        steps = np.arange(1, len(beta) + 1) / len(beta)
        return cls(steps, np.exp(log_alpha_bar / 2), np.sqrt(-np.expm1(log_alpha_bar)))

    def alpha(self, t: Any) -> Any:
        return exp(self._a(t))

    def sigma(self, t: Any) -> Any:
        return exp(self._a(t) - self._v(t) / 2)

    def f(self, t: Any) -> Any:
        return self._a.slope(t)

    def g(self, t: Any) -> Any:
        return self.sigma(t) * sqrt(-self._v.slope(t))

    def _time_at_log_snr(self, v: Any) -> Any:
        return self._v.inverse(v)

    def arguments(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("times", "alphas", "sigmas", "t_min", "T")}


class _Cubic:
    """A piecewise cubic through a table, its derivative, and the inverse of a falling one; of floats and of arrays."""

    def __init__(self, interpolant: Any) -> None:
        self._knots, self._pieces = Constant(interpolant.x), [Constant(c) for c in interpolant.c]  # the cubes first
        self._steps, self._last = Constant(np.diff(interpolant.x)), len(interpolant.x) - 2
        self._heights = Constant(-interpolant.c[3])  # of the left ends, rising
        self._floats = interpolant.x.tolist(), interpolant.c.T.tolist()

    def __call__(self, t: Any) -> Any:
        u, (c3, c2, c1, c0) = self._piece(t)
        return ((c3 * u + c2) * u + c1) * u + c0

    def slope(self, t: Any) -> Any:
        """The derivative at t."""
        u, (c3, c2, c1, _) = self._piece(t)
        return (3 * c3 * u + 2 * c2) * u + c1

    def inverse(self, v: Any) -> Any:
        """The t with self(t) = v: halvings of the piece, then a step of Newton, through which gradients go."""
        if isinstance(v, (int, float)):
            index = bisect_right(self._heights.value.tolist(), -v) - 1
            index = min(max(index, 0), self._last)
            start, step, pieces = self._floats[0][index], float(self._steps.value[index]), self._floats[1][index]
            low, high = 0.0, step
        else:
            index = self._index(self._heights, -v)
            start, step = _taken(self._knots, index, v), _taken(self._steps, index, v)
            pieces = [_taken(c, index, v) for c in self._pieces]
            low, high = 0 * step, step
        c3, c2, c1, c0 = pieces
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            later = ((c3 * middle + c2) * middle + c1) * middle + c0 > v
            low, high = _where(later, middle, low), _where(later, high, middle)
        u = (low + high) / 2
        slope = (3 * c3 * u + 2 * c2) * u + c1
        missing = v - (((c3 * u + c2) * u + c1) * u + c0)
        drop = ((c3 * step + c2) * step + c1) * step
        steep = slope * step < 1e-6 * drop  # at an end that is flat there is nothing to divide by
        return start + u + _where(steep, missing, 0 * missing) / _where(steep, slope, 0 * slope - 1)

    def _piece(self, t: Any) -> tuple[Any, Sequence[Any]]:
        """How far t lies behind the left end of its piece, and the piece."""
        if isinstance(t, (int, float)):
            knots, pieces = self._floats
            index = min(max(bisect_right(knots, t) - 1, 0), self._last)
            return float(t) - knots[index], pieces[index]
        if not array_api_compat.is_array_api_obj(t):
            raise TypeError(f"a table has no formula: t is a number or an array, got {type(t).__name__}")
        index = self._index(self._knots, t)
        return t - _taken(self._knots, index, t), [_taken(c, index, t) for c in self._pieces]

    def _index(self, rising: Constant, t: Any) -> Any:
        xp = array_api_compat.array_namespace(t)
        packed = xp.reshape(t, (-1,)) + 0.0  # torch complains of a view with gaps
        found = xp.searchsorted(rising.like(t), packed, side="right") - 1
        return xp.clip(found, 0, self._last)


def _taken(table: Constant, index: Any, t: Any) -> Any:
    xp = array_api_compat.array_namespace(t)
    return xp.reshape(xp.take(table.like(t), index, axis=0), t.shape)


def _where(condition: Any, a: Any, b: Any) -> Any:
    if isinstance(condition, bool):
        return a if condition else b
    return array_api_compat.array_namespace(condition).where(condition, a, b)


def _check(name: str, values: np.ndarray[Any, Any], right: np.ndarray[Any, Any], what: str, first: int = 0) -> None:
    if not np.all(right):
        i = int(np.argmin(right))
        raise ValueError(f"{name} must {what}, got {values[i]:g} at {first + i}")
