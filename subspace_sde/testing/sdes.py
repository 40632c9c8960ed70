"""The laws of a pair of curves α and σ: f = α'/α, g² = (σ²)' − 2fσ², and of what is read off them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from ..arrays import Array
from ..border import checked
from ..sdes import IsotropicSDE
from .kit import Case, Failures, Law, Named, listed, run

_CURVES = ("alpha", "sigma", "f", "g", "log_snr", "grid_parameter")

_law = Named()


class _Case(Case):
    def __init__(self, sde: IsotropicSDE, like: Any) -> None:
        super().__init__(repr(sde), like)
        self.sde, self.span = sde, sde.T - sde.t_min
        self.law.input = f"T = {sde.T!r} and t_min = {sde.t_min!r}"

    def inside(self) -> list[float]:
        """Times within (t_min, T): 400 of the SDE's own grid, and some close to the ends."""
        close = self.span * np.geomspace(1e-4, 1e-2, 8)
        own = self.sde.grid(401)[1:-1]
        return [float(t) for t in np.concatenate([own, self.sde.t_min + close, self.sde.T - close])]

    def step(self, t: float) -> float:
        """Of differences at t: short, because a table has a kink in its slope at each point."""
        return min(t - self.sde.t_min, self.sde.T - t, self.span / 50) / 2**14

    def few(self) -> list[float]:
        """From t_min to T, both of them among 41."""
        return [float(t) for t in self.sde.grid(40)[::-1]]

    def curves(self) -> list[tuple[str, Callable[[Any], Any]]]:
        return [(name, getattr(self.sde, name)) for name in _CURVES]

    def of_array(self, what: str, array: Any, times: np.ndarray[Any, Any], tolerance: float | None = None) -> None:
        """That the curves of an array are those of its numbers, in its shape and kind."""
        for name, curve in self.curves():
            found = self.law.works(f"{name} of an array{what}", curve, array)
            self.law.kind(f"{name} of an array{what} has its shape and kind", found, array)
            exact = np.asarray([curve(float(t)) for t in times.reshape(-1)], dtype=np.float64).reshape(times.shape)
            size = np.abs(exact) + (1.0 if name == "log_snr" else 0.0)  # it crosses zero
            self.law.equal(f"{name} of an array{what} agrees with floats", found, exact, size, tolerance)

    def array(self) -> tuple[Any, np.ndarray[Any, Any]]:
        """Times as an array of the kind of `like`, and the numbers that it holds."""
        array = self.law.array(np.asarray(self.few()[1:-1]).reshape(3, 13))
        self.law.input = f"the times of grid(40), {self.kind}"
        return array, self.law.host(array).astype(np.float64)


@_law("α(T) is positive")
def _terminal(case: _Case) -> None:
    case.law.works("α(T) is not 0, so that a solver can begin", case.sde.check_terminal)
    for t in case.few()[:-1]:
        value = float(case.sde.alpha(t))
        case.law.holds("α is positive", 0 < value < math.inf, f"got {value} at t = {t}")


@_law("f and g are finite at the ends")
def _ends(case: _Case) -> None:
    for name in ("f", "g"):
        ends = [
            float(case.law.works(f"{name} at the ends", getattr(case.sde, name), t))
            for t in (case.sde.T, case.sde.t_min)
        ]
        case.law.holds(f"{name} is finite at the ends", all(math.isfinite(v) for v in ends), f"got {ends}")


@_law("f = α'/α")
def _drift(case: _Case) -> None:
    sde = case.sde
    for t in case.inside():
        case.law.input = f"t = {t!r}"
        step = case.step(t)
        f, rate = float(sde.f(t)), _derivative(lambda s: math.log(sde.alpha(s)), t, step)
        case.law.equal("f = α'/α", f, rate, scale=abs(f) + 1 / case.span, tolerance=1e-7)


@_law("g² = (σ²)' − 2fσ²")
def _diffusion(case: _Case) -> None:
    sde = case.sde
    for t in case.inside():
        case.law.input = f"t = {t!r}"
        step = case.step(t)
        variance, g_squared = float(sde.sigma(t)) ** 2, float(sde.g(t)) ** 2
        growth = _derivative(lambda s: float(sde.sigma(s)) ** 2, t, step)
        found = growth - 2 * float(sde.f(t)) * variance
        case.law.equal("g² = (σ²)' − 2fσ²", g_squared, found, scale=g_squared + abs(growth), tolerance=1e-7)


@_law("log_snr = log(α²/σ²), strictly decreasing")
def _log_snr(case: _Case) -> None:
    sde, times = case.sde, case.few()
    case.law.input = f"the times {times[0]:g} … {times[-1]:g} of grid(40)"
    values = [sde.log_snr(t) for t in times]
    case.law.holds("log_snr is finite", all(math.isfinite(v) for v in values), f"got {values}")
    case.law.holds("log_snr decreases strictly", all(a > b for a, b in zip(values, values[1:])), f"got {values}")
    expected = [2 * math.log(sde.alpha(t) / sde.sigma(t)) for t in times]
    case.law.equal("log_snr = log(α²/σ²)", values, expected, tolerance=1e-12)


@_law("log_snr is refused outside [t_min, T]")
def _outside(case: _Case) -> None:
    sde = case.sde
    for t in (sde.t_min - 0.1 * case.span, sde.T + 0.1 * case.span, math.nan):
        case.law.refuses("log_snr outside [t_min, T] is a ValueError", sde.log_snr, t)


@_law("time_at_log_snr inverts log_snr")
def _inverse(case: _Case) -> None:
    sde, times = case.sde, case.few()
    case.law.input = f"the times {times[0]:g} … {times[-1]:g} of grid(40)"
    values = [sde.log_snr(t) for t in times]
    back = [sde.time_at_log_snr(v) for v in values]
    case.law.holds("time_at_log_snr lies in [t_min, T]", all(sde.t_min <= t <= sde.T for t in back), f"got {back}")
    case.law.equal("time_at_log_snr inverts log_snr", [sde.log_snr(t) for t in back], values, tolerance=1e-11)


@_law("time_at_log_snr beyond the ends")
def _beyond(case: _Case) -> None:
    sde = case.sde
    ends = sde.log_snr(sde.t_min) + 1.0, sde.log_snr(sde.T) - 1.0
    for v, end in zip(ends, (sde.t_min, sde.T)):
        case.law.refuses("time_at_log_snr beyond the ends is a ValueError", sde.time_at_log_snr, v)
        case.law.equal("clip takes the end", sde.time_at_log_snr(v, clip=True), end, tolerance=1e-11)


@_law("prior_std = σ(T)")
def _prior(case: _Case) -> None:
    case.law.equal("prior_std = σ(T)", case.sde.prior_std, case.sde.sigma(case.sde.T), tolerance=0.0)


@_law("the grid")
def _grid(case: _Case) -> None:
    sde, law = case.sde, case.law
    for n in (1, 2, 7, 64):
        law.input = f"grid({n})"
        grid = sde.grid(n)
        law.holds("a grid of n steps has n + 1 times", grid.shape == (n + 1,), f"got {grid.shape}")
        exact = (grid[0], grid[-1]) == (sde.T, sde.t_min)
        law.holds("a grid ends exactly", exact, f"got {grid[0]!r}, {grid[-1]!r}")
        law.holds("a grid decreases strictly", bool(np.all(np.diff(grid) < 0)), f"got {grid}")


@_law("from_grid_parameter inverts grid_parameter")
def _grid_parameter(case: _Case) -> None:
    times = case.few()
    again = [case.sde.from_grid_parameter(case.sde.grid_parameter(t)) for t in times]
    case.law.equal("from_grid_parameter inverts grid_parameter", again, times, tolerance=1e-12)


@_law("arrays agree with floats, in their shape, library, dtype and device")
def _arrays(case: _Case) -> None:
    array, rounded = case.array()
    case.of_array("", array, rounded)
    inverse = case.sde.time_at_log_snr(case.sde.log_snr(array))
    case.law.kind("time_at_log_snr of an array has its shape and kind", inverse, array)
    size = np.abs(case.law.host(array))
    case.law.equal("time_at_log_snr inverts log_snr on arrays", inverse, array, size, case.law.eps**0.5)


@_law("integers are times")
def _integers(case: _Case) -> None:
    for t in range(math.ceil(case.sde.t_min), min(math.floor(case.sde.T), math.ceil(case.sde.t_min) + 2) + 1):
        case.law.input = f"t = {t}"
        for name, curve in case.curves():
            expected = curve(float(t))
            case.law.equal(f"{name} of an integer", case.law.works(f"{name} of an integer", curve, t), expected)


@_law("arrays without axes, and without elements")
def _no_axes(case: _Case) -> None:
    middle = case.few()[20]
    for values in (np.asarray(middle), np.zeros((0, 2))):
        array = case.law.array(values)
        case.law.input = f"t of shape {values.shape}, {case.kind}"
        case.of_array(f" of shape {values.shape}", array, case.law.host(array).astype(np.float64))


@_law("any layout in memory, and the input is left as it was")
def _layouts(case: _Case) -> None:
    array, _ = case.array()
    before = case.law.host(array)
    for name, curve in case.curves():
        expected = curve(array)
        for what, laid in case.layouts(array).items():
            case.law.equal(f"{name}, {what}", case.law.works(f"{name}, {what}", curve, laid), expected)
    case.law.equal("the input is left as it was", array, before, tolerance=0.0)


@_law("float32 stays float32, and keeps its digits")
def _single(case: _Case) -> None:
    low, high = case.sde.t_min, case.sde.T
    times = np.asarray([low, *(low + case.span * np.geomspace(1e-3, 1e-2, 4)), *case.few()[5:-1:5]])
    array = case.single(case.law.array(np.clip(times, np.nextafter(np.float32(low), np.float32(high)), high)))
    case.law.input = f"times from t_min on, float32 of {case.kind.split(' of ')[1]}"
    case.of_array(" of float32", array, case.law.host(array).astype(np.float64), tolerance=3e-5)


@_law("derivatives in t go through")
def _derivatives(case: _Case) -> None:
    if not case.differentiates():
        return
    sde, (t, _) = case.sde, case.array()
    ones = 0 * t + 1
    sigma, f, g = sde.sigma(t), sde.f(t), sde.g(t)
    curves: dict[str, tuple[Callable[[Any], Any], Any]] = {
        "α' = fα": (sde.alpha, f * sde.alpha(t)),
        "(σ²)' = g² + 2fσ²": (lambda s: sde.sigma(s) ** 2, g**2 + 2 * f * sigma**2),
    }
    for name, (curve, expected) in curves.items():
        what = f"{name}, by the library's derivative"
        _, pull_back = case.law.works(what, case.backend.vjp, curve, t)
        scale = np.abs(case.law.host(expected)) + 1 / case.span
        case.law.equal(what, case.law.works(what, pull_back, ones), expected, scale=scale, tolerance=case.law.eps**0.5)


@_law("a sympy symbol, where one is taken")
def _symbols(case: _Case) -> None:
    if "sympy" not in sys.modules:  # none can be given
        return
    import sympy

    t = sympy.Symbol("t", positive=True)
    for name in ("alpha", "sigma", "f", "g"):
        curve = getattr(case.sde, name)
        try:
            expression = sympy.sympify(curve(t))
            if expression.has(sympy.Integral):  # to work one out may take for ever
                continue
            values = [float(expression.evalf(subs={t: time})) for time in case.few()[1:-1:9]]
        except Exception:  # no curve need take one
            continue
        case.law.equal(f"{name} of a symbol", values, [curve(time) for time in case.few()[1:-1:9]], tolerance=1e-9)


def _derivative(curve: Callable[[float], float], t: float, step: float) -> float:
    """The central difference of eighth order."""
    weights = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
    return sum(w * (curve(t + i * step) - curve(t - i * step)) for i, w in enumerate(weights, start=1)) / step


def sde_laws(sde: IsotropicSDE, like: Any = None, expected_failures: Failures = None) -> list[Law]:
    """See `check_sde`."""
    make = partial(_Case, sde, like)
    make()  # refuses
    return listed(_law.table, repr(sde), make, expected_failures)


@checked
def check_sde(sde: IsotropicSDE, like: Array | None = None, expected_failures: Failures = None) -> None:
    """The laws of a pair of curves: f = α'/α, g² = (σ²)' − 2fσ², and of what is read off them.

    The derivatives are differences of eighth order in float64. Then: α(T) is not 0 and f and g are finite at the ends,
    where solvers begin and stop; log_snr strictly decreasing, finite, refused outside [t_min, T], and inverted by
    time_at_log_snr; the grid n + 1 long with exact ends; floats, integers and arrays of any layout agree, float32 stays
    float32 and keeps its digits at t_min; the library's own derivatives are those of the formulas, where it has any.

    Parameters
    ----------
    sde: the one to be checked.
    like: an array whose library, device and dtype are used; numpy float64 without it.
    expected_failures: see `laws`.

    Raises
    ------
    AssertionError: a law does not hold; which, at what time and by how much.

    >>> from subspace_sde import RectifiedFlow
    >>> check_sde(RectifiedFlow())
    """
    run(sde_laws(sde, like, expected_failures))
