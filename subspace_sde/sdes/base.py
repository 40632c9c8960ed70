"""Isotropic diffusions (eq. 4): dx = f(t) x dt + g(t) dw, with p(x(t) | x(0)) = N(α(t) x(0), σ²(t) I)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from copy import copy
from typing import Any, Self

import array_api_compat
import numpy as np

from ..arrays import Time, is_floating, log, namespace, symbolic
from ..backend import backend_of, readable
from ..border import check, checked
from ..shown import brief
from ..specification import Specified


class IsotropicSDE(Specified, ABC):
    """The pair of curves α(t), σ(t) on [t_min, T], with f = α'/α and g² = (σ²)' − 2fσ².

    The curves take a float or an array; a subclass writes them with `exp`, `log`, ... of `subspace_sde.arrays`, so
    that they take a sympy symbol too (`subspace_sde.sdes.symbolic`). They know nothing of images or subspaces:
    isotropy is why the same curves serve every level (eq. 8). As formulas they go on beyond [t_min, T]; whatever takes
    a time from a user, `log_snr` and all that a `SubspaceSDE` or a loss does, refuses one that lies outside.
    """

    @checked
    def __init__(self, t_min: float, T: float) -> None:
        if not -math.inf < t_min < T < math.inf:
            raise ValueError(f"t_min must lie below T, got t_min = {t_min}, T = {T}")
        self.t_min, self.T = float(t_min), float(T)

    @abstractmethod
    def alpha(self, t: Any) -> Any:
        """α(t), the scale of the perturbation kernel."""

    @abstractmethod
    def sigma(self, t: Any) -> Any:
        """σ(t), the standard deviation of the perturbation kernel."""

    @abstractmethod
    def f(self, t: Any) -> Any:
        """f(t) = α'(t)/α(t), the drift's coefficient."""

    @abstractmethod
    def g(self, t: Any) -> Any:
        """g(t), the diffusion's coefficient: g² = (σ²)' − 2fσ²."""

    @property
    def prior_std(self) -> float:
        """σ(T), the standard deviation from which sampling starts."""
        return float(self.sigma(self.T))

    def log_snr(self, t: Any) -> Any:
        """log(α²/σ²), strictly decreasing; a ValueError outside [t_min, T]."""
        check_inside("t", t, self.t_min, self.T)
        if isinstance(t, (int, float)) and not self.alpha(t) > 0:
            self.check_terminal()
        return 2 * (log(self.alpha(t)) - log(self.sigma(t)))

    @checked
    def time_at_log_snr(self, v: Any, clip: bool = False) -> Any:
        """The inverse of `log_snr`, of a float or an array; beyond its ends a ValueError names them, or `clip` takes
        the end."""
        if symbolic(v):
            return self._time_at_log_snr(v)
        check("v", v, Time)
        low, high = self.log_snr(self.T), self.log_snr(self.t_min)
        if clip:
            v = _clip(v, low, high)  # no check: it would read the device
        else:
            check_inside("log_snr", v, low, high)
        return _clip(self._time_at_log_snr(v), self.t_min, self.T)

    def _time_at_log_snr(self, v: Any) -> Any:
        """By bisection, for curves without a closed form; a subclass that has one overrides it."""
        low, high = self.t_min + 0 * v, self.T + 0 * v
        for _ in range(60):
            middle = (low + high) / 2
            later = 2 * (log(self.alpha(middle)) - log(self.sigma(middle))) > v
            if isinstance(v, (int, float)):
                low, high = (middle, high) if later else (low, middle)
            else:
                xp = array_api_compat.array_namespace(v)
                low, high = xp.where(later, middle, low), xp.where(later, high, middle)
        t = (low + high) / 2
        if isinstance(v, (int, float)):
            return t
        # comparisons have no derivative. Newton's steps change t by its rounding alone, and bring the derivatives: with
        # (log α²/σ²)' = −g²/σ² the first step the first of them, the second step those up to the third
        for _ in range(2):
            rest = 2 * (log(self.alpha(t)) - log(self.sigma(t))) - v
            t = t + rest * self.sigma(t) ** 2 / self.g(t) ** 2
        return t

    def grid_parameter(self, t: Any) -> Any:
        """The variable in which this SDE's own grid is uniform: t itself, unless a subclass says otherwise."""
        return t

    def from_grid_parameter(self, u: Any) -> Any:
        """The inverse of `grid_parameter`."""
        return u

    @checked
    def grid(self, n: int) -> np.ndarray[Any, Any]:
        """This SDE's own n + 1 times, from T down to t_min."""
        return self.grid_between(self.T, self.t_min, n)

    def grid_between(self, start: float, end: float, n: int) -> np.ndarray[Any, Any]:
        """n + 1 times from `start` to `end`, both exactly, uniform in this SDE's own parameter."""
        if n < 1:
            raise ValueError(f"a grid needs at least one step, got {n}")
        u = np.linspace(self.grid_parameter(start), self.grid_parameter(end), n + 1)
        times = np.asarray([self.from_grid_parameter(float(v)) for v in u])
        return np.concatenate([[start], times[1:-1], [end]])

    @checked
    def between(self, t_min: float, T: float) -> Self:
        """The same curves on a part of [t_min, T]: a process that begins or ends elsewhere, as samplers choose it.

        Raises ValueError for ends that lie outside, or in the wrong order.

        >>> from subspace_sde import VP
        >>> VP().between(0.05, 0.95)
        VP(t_min=0.05, T=0.95, beta_min=0.1, beta_max=20)
        """
        for name, t in (("t_min", t_min), ("T", T)):
            check_inside(name, t, self.t_min, self.T)
        part = copy(self)
        IsotropicSDE.__init__(part, max(float(t_min), self.t_min), min(float(T), self.T))  # what rounding took beyond
        return part

    def check_terminal(self) -> None:
        """A ValueError where α(T) is 0 but for rounding (zero terminal SNR).

        There the score is −x/σ² whatever the data: E[x(0)|x] = (x + σ² score)/α is 0/0, though a network may know it,
        and f = α'/α is unbounded. So no solver of a score can begin there.
        """
        end = float(self.alpha(self.T))
        if not end > float(np.finfo(np.float64).eps) * float(self.alpha(self.t_min)):
            raise ValueError(
                f"{self!r} ends at alpha(T) = {end:.3g}, zero but for rounding: there a score says nothing of the "
                "data, and f = α'/α is unbounded, so that no solver can begin: end at a T slightly below, where "
                "alpha(T) is 0.001, say"
            )

    def arguments(self) -> dict[str, Any]:
        """The constructor's arguments, for `subspace_sde.specification`: its attributes, or what a subclass says."""
        return dict(vars(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={brief(v)}' for k, v in self.arguments().items())})"


def _clip(v: Any, low: float, high: float) -> Any:
    if isinstance(v, (int, float)):
        return min(max(float(v), low), high)
    return array_api_compat.array_namespace(v).clip(v, low, high)


def checked_time(t: Any, sde: IsotropicSDE, low: float | None = None, high: float | None = None, hint: str = "") -> Any:
    """t, where it lies in [t_min, T], or in [low, high]; a ValueError else, which ends with `hint`, for NaN too.

    The values of an array on a device are not read: there a time outside becomes NaN, and so what is made of it, which
    whoever watches over x will see. Those under a tracer are taken as they are.
    """
    if symbolic(t):
        return t
    low, high = sde.t_min if low is None else low, sde.T if high is None else high
    if isinstance(t, (int, float)) or readable(t):
        check_inside("t", t, low, high, hint)
        return t
    if not backend_of(t).concrete(t):
        return t
    xp = array_api_compat.array_namespace(t)
    slack = 4 * float(xp.finfo(t.dtype).eps) * max(abs(low), abs(high))
    return xp.where((t >= low - slack) & (t <= high + slack), t, xp.full_like(t, math.nan))


def check_inside(name: str, v: Any, low: float, high: float, hint: str = "") -> None:
    """A ValueError for numbers outside [low, high] but for rounding, NaN among them, and for an array of integers.

    Those under a tracer are taken as they are.
    """
    if symbolic(v):
        return
    if isinstance(v, (int, float)):
        slack, least, most = 1e-12, float(v), float(v)
    elif namespace(v) and not is_floating(v):
        raise ValueError(f"{name} must hold floating-point numbers, got {v.dtype}")
    elif 0 in v.shape or not backend_of(v).concrete(v):
        return
    else:
        slack = 4 * float(array_api_compat.array_namespace(v).finfo(v.dtype).eps)
        values = backend_of(v).to_numpy(v)  # within a trace even the least of what can be read is traced
        least, most = float(values.min()), float(values.max())
    slack *= max(abs(low), abs(high))
    if not (low - slack <= least and most <= high + slack):
        shown = f"{least:g}" if least == most else f"values from {least:g} to {most:g}"
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}], got {shown}{hint}")
