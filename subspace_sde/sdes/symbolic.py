"""SDEs and sympy (extra ``symbolic``): f, g² and the log-SNR of any SDE, and an SDE from two expressions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import array_api_compat
import numpy as np

from ..arrays import exp, log, sqrt, symbolic
from ..border import checked
from ..shown import brief
from ..specification import register
from .base import IsotropicSDE
from .expressions import formula, function, sympy_of, written
from .integrals import adaptive, antiderivative, factored, from_zero


class Derivation(NamedTuple):
    """sympy expressions in the symbol `t`; see `derive`."""

    t: Any
    alpha: Any
    sigma: Any
    f: Any
    g_squared: Any
    log_snr: Any

    def latex(self) -> str:
        """The family as one LaTeX environment, for a notebook or a paper."""
        latex = sympy_of("LaTeX of an SDE").latex
        names = zip((r"\alpha", r"\sigma", "f", "g^2", r"\log(\alpha^2/\sigma^2)"), self[1:])
        lines = r" \\ ".join(f"{name} &= {latex(expression)}" for name, expression in names)
        return rf"\begin{{aligned}} {lines} \end{{aligned}}"


def derive(sde: IsotropicSDE) -> Derivation:
    """The two identities f = α'/α and g² = (σ²)' − 2fσ², applied to the curves that `sde` computes with.

    >>> from subspace_sde import EDM
    >>> derive(EDM()).g_squared
    2.0*t
    """
    sympy = sympy_of("a derivation")
    t = sympy.Symbol("t", positive=True)
    alpha, sigma = sympy.sympify(sde.alpha(t)), sympy.sympify(sde.sigma(t))
    f = _rate(alpha, t)
    g_squared = sympy.diff(sigma**2, t) - 2 * f * sigma**2
    return Derivation(t, alpha, sigma, f, sympy.simplify(g_squared), 2 * sympy.log(alpha / sigma))


def _rate(alpha: Any, t: Any) -> Any:
    """α'/α as (log α)', in which exponentials go away."""
    sympy = sympy_of("a derivation")
    return sympy.diff(sympy.expand_log(sympy.log(alpha), force=True), t)


@checked
@register
class Symbolic(IsotropicSDE):
    """The SDE of two sympy expressions in t: α and σ, or f and g.

    From α and σ all else follows by differentiation. From f and g,

        α = exp ∫₀ᵗ f(s) ds,    σ² = ∫₀ᵗ g²(s) α²(t)/α²(s) ds,

    so that the process starts from the data at t = 0: in closed form where sympy's Risch algorithm finds one at once,
    else by Gauss-Legendre quadrature on every call. The inverse of the log-SNR is found by bisection. `methods` says
    which is which.

    Parameters
    ----------
    alpha, sigma: positive on [t_min, T], and α/σ falling there.
    f, g: in their place.
    t_min, T: the ends.
    closed_form: take nothing but closed forms, for the integrals and for the inverse too, which `sympy.solve` may look
        for as long as it likes: 12 s for VP, minutes for sub-VP.

    Raises
    ------
    TypeError: a string, which sympy would evaluate as Python code, or anything else that is no expression.
    ValueError: other symbols than t; functions that array libraries do not have; α or σ² that is not positive
        somewhere in [t_min, T], a log-SNR that rises; an integral that does not converge, or has no closed form where
        one is demanded.

    >>> import sympy
    >>> t = sympy.Symbol("t")
    >>> sde = Symbolic(
    ...     alpha=sympy.cos(sympy.pi * t / 2), sigma=sympy.sin(sympy.pi * t / 2), T=0.99
    ... )
    >>> round(sde.g(0.5) ** 2 / sympy.pi, 12)
    1.00000000000000
    >>> Symbolic(f=-t, g=sympy.sqrt(2 * t)).methods
    {'alpha': 'closed form', 'sigma': 'closed form', 'time_at_log_snr': 'bisection'}
    """

    def __init__(
        self,
        alpha: Any = None,
        sigma: Any = None,
        *,
        f: Any = None,
        g: Any = None,
        t_min: float = 1e-3,
        T: float = 1.0,
        closed_form: bool = False,
    ) -> None:
        super().__init__(t_min, T)
        sympy = sympy_of("an SDE from symbols")
        given = {"alpha": alpha, "sigma": sigma, "f": f, "g": g}
        names = [name for name, value in given.items() if value is not None]
        if names not in (["alpha", "sigma"], ["f", "g"]):
            got = ", ".join(names) or "neither"
            raise ValueError(f"an SDE from symbols is given by alpha and sigma, or by f and g, got {got}")
        t = self._t = sympy.Symbol("t", **({"positive": True} if t_min >= 0 else {"real": True}))
        self._given = {name: formula(name, given[name], t) for name in names}
        self.closed_form = bool(closed_form)
        self._nodes: dict[str, int] = {}  # of the curves that are found by quadrature
        self._inverse: Any = None
        if names == ["f", "g"]:
            if t_min < 0:
                raise ValueError(f"from f and g the process starts at t = 0: t_min must not lie below, got {t_min}")
            self._curves = {"f": self._given["f"], "g_squared": self._given["g"] ** 2}
            with np.errstate(all="ignore"):  # what is not finite is refused below
                self._integrate()
        else:
            rate = _rate(self._given["alpha"], t)
            g_squared = sympy.diff(self._given["sigma"] ** 2, t) - 2 * rate * self._given["sigma"] ** 2
            self._curves = {**self._given, "f": rate, "g_squared": g_squared}
        self._check()
        if self.closed_form:
            self._inverse = self._closed_inverse()

    def alpha(self, t: Any) -> Any:
        if symbolic(t) or "alpha" not in self._nodes:
            return self._at("alpha", t)
        return exp(self._log_alpha(t))

    def sigma(self, t: Any) -> Any:
        if symbolic(t) or "sigma" not in self._nodes:
            return self._at("sigma", t)
        return sqrt(self._variance(t))

    def f(self, t: Any) -> Any:
        return self._at("f", t)

    def g(self, t: Any) -> Any:
        return sqrt(abs(self._at("g_squared", t)))  # where it is 0, rounding may take it below

    def _time_at_log_snr(self, v: Any) -> Any:
        if self._inverse is None:
            return super()._time_at_log_snr(v)
        (symbol,) = self._inverse.free_symbols
        return self._inverse.subs(symbol, v) if symbolic(v) else function(self._inverse)(v)

    @property
    def methods(self) -> dict[str, str]:
        """How α, σ and the inverse of the log-SNR are found: in closed form, by quadrature or by bisection."""
        found = {
            name: f"quadrature, {self._nodes[name]} nodes" if name in self._nodes else "closed form"
            for name in ("alpha", "sigma")
        }
        return {**found, "time_at_log_snr": "bisection" if self._inverse is None else "closed form"}

    def latex(self) -> str:
        """α, σ, f, g² and the log-SNR as one LaTeX environment."""
        return derive(self).latex()

    def _repr_latex_(self) -> str:
        return f"$${self.latex()}$$"

    def __repr__(self) -> str:
        given = {**self._given, "t_min": brief(self.t_min), "T": brief(self.T)}
        closed = ", closed_form=True" if self.closed_form else ""
        return f"Symbolic({', '.join(f'{name}={value}' for name, value in given.items())}{closed})"

    def arguments(self) -> dict[str, Any]:
        trees = {name: written(name, expression) for name, expression in self._given.items()}
        return {**trees, "t_min": self.t_min, "T": self.T, "closed_form": self.closed_form}

    def _at(self, name: str, t: Any) -> Any:
        expression = self._curves[name]
        return expression.subs(self._t, t) if symbolic(t) else function(expression)(t)

    # -- α and σ from f and g

    def _integrate(self) -> None:
        sympy, t = sympy_of("an SDE from symbols"), self._t
        s = sympy.Symbol("s", positive=True)
        f, g_squared = self._curves["f"], self._curves["g_squared"]
        for end in np.linspace(self.t_min, self.T, 65):
            if not (found := function(g_squared)(float(end))) >= 0:
                raise ValueError(
                    f"g must be real on [{self.t_min:g}, {self.T:g}], got g² = {found:.3g} at t = {end:.6g}"
                )
        times = np.linspace(self.t_min, self.T, 9).astype(np.float32).astype(np.float64)
        exact = np.asarray([adaptive("f", function(f), float(end)) for end in times])
        whole = antiderivative(f, t)
        if not self._settle("alpha", [] if whole is None else [sympy.exp(whole)], times, np.exp(exact)):
            self._curves["alpha"] = sympy.exp(sympy.Integral(f.subs(t, s), (s, 0, t)))
            self._converge("alpha", self._log_alpha, times, exact)
        alpha, rest = self._curves["alpha"], None

        def variance(end: float) -> float:
            noise, scale = function(g_squared), self._log_alpha(end)
            return adaptive("g²/α²", lambda s: noise(s) * math.exp(2 * (scale - self._log_alpha(s))), end)

        exact = np.asarray([variance(float(end)) for end in times])
        if "alpha" not in self._nodes:
            ratio = sympy.simplify(g_squared / f) if f != 0 else t
            if ratio.free_symbols:
                rest = antiderivative(sympy.powsimp(g_squared / alpha**2), t)
            else:  # what preserves the variance: ∫ g²/α² is a multiple of ∫ f/α²
                rest = ratio * (1 - alpha**-2) / 2
        variances = [] if rest is None else [factored(alpha**2 * rest, whole), sympy.simplify(alpha**2 * rest)]
        roots = [sympy.sqrt(e).replace(sympy.Abs, lambda e: e) for e in variances]
        if not self._settle("sigma", [sign * root for root in roots for sign in (1, -1)], times, np.sqrt(exact)):
            integrand = (g_squared / alpha**2).subs(t, s)
            self._curves["sigma"] = alpha * sympy.sqrt(sympy.Integral(integrand, (s, 0, t)))
            self._converge("sigma", self._variance, times, exact)

    def _settle(self, name: str, candidates: list[Any], times: Any, exact: Any) -> bool:
        """Take the closed form that loses fewest digits to float32, and less than two; False where there is none."""
        least = 1e-5
        for found in candidates:
            try:
                written(name, found)
            except ValueError:  # it holds a function that array libraries do not have
                continue
            value = function(found)
            off = float(np.max(np.abs(value(times.astype(np.float32)) / exact - 1)))
            if off < least and np.allclose(value(times), exact, rtol=1e-8, atol=0):
                least, self._curves[name] = off, found
        if name not in self._curves and self.closed_form:
            raise ValueError(
                f"no closed form of {name} was found for f = {self._given['f']} and g = {self._given['g']}: leave "
                "closed_form out, and it is found by quadrature"
            )
        return name in self._curves

    def _converge(self, name: str, integral: Callable[[Any], Any], times: Any, exact: Any) -> None:
        """Take as many nodes as are needed."""
        for n in (8, 16, 32, 64, 128, 256):
            self._nodes[name] = n
            if np.allclose(integral(times), exact, rtol=1e-10, atol=1e-12 * np.max(np.abs(exact))):
                return
        raise ValueError(
            f"the integral that gives {name} needs more than 256 nodes up to T = {self.T:g}: f and g have a kink, a "
            f"jump or a pole near there; f = {self._given['f']}, g = {self._given['g']}"
        )

    def _log_alpha(self, t: Any) -> Any:
        if isinstance(t, (int, float)):
            return float(self._log_alpha(np.asarray(float(t))))
        if "alpha" not in self._nodes:
            return log(self._at("alpha", t))
        return from_zero(function(self._curves["f"]), t, self._nodes["alpha"])

    def _variance(self, t: Any) -> Any:
        if isinstance(t, (int, float)):
            return float(self._variance(np.asarray(float(t))))
        xp, g_squared = array_api_compat.array_namespace(t), function(self._curves["g_squared"])
        end = xp.expand_dims(self._log_alpha(t), axis=-1)
        return from_zero(lambda s: g_squared(s) * xp.exp(2 * (end - self._log_alpha(s))), t, self._nodes["sigma"])

    # -- what is refused

    def _check(self) -> None:
        """A ValueError where α or σ² is not positive, or the log-SNR does not fall, somewhere in [t_min, T]."""
        variance = self._variance if "sigma" in self._nodes else function(self._curves["sigma"] ** 2)
        times = np.linspace(self.t_min, self.T, 65 if self._nodes else 513)
        with np.errstate(all="ignore"):
            scale, noise = self._positive("alpha", self.alpha, times), self._positive("sigma²", variance, times)
        self.check_terminal()
        rise = np.diff(2 * np.log(scale) - np.log(noise))
        i = int(np.argmax(rise))
        if not rise[i] < 0:
            raise ValueError(
                f"log(alpha²/sigma²) must fall from t_min to T, as noise is added: it goes up by {rise[i]:.3g} between "
                f"t = {times[i]:.6g} and {times[i + 1]:.6g}, where g² would be negative"
            )

    def _positive(self, name: str, curve: Callable[[Any], Any], times: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The values of a curve, which may come to 0 at T alone; it is looked for between the times too."""
        from scipy.optimize import minimize_scalar

        values: np.ndarray[Any, Any] = np.asarray(curve(times))
        bad = [
            (t, v) for t, v in zip(times, values) if not (math.isfinite(v) and (v > 0 or (t == self.T and v > -1e-12)))
        ]
        for a, i, b in zip(values, range(1, len(times)), values[2:]):
            if not bad and values[i] <= min(a, b) < max(a, b):
                least = minimize_scalar(lambda t: float(curve(np.asarray(t))), bounds=(times[i - 1], times[i + 1]))
                if least.fun < 1e-9 * max(values):
                    bad.append((least.x, least.fun))
        if bad:
            t, v = bad[0]
            raise ValueError(
                f"{name} must be positive and finite on [{self.t_min:g}, {self.T:g}], got {v:.3g} at t = {t:.6g}: move "
                "t_min or T, or change the formula"
            )
        return values

    # -- the inverse in closed form

    def _closed_inverse(self) -> Any:
        sympy, t = sympy_of("an SDE from symbols"), self._t
        u, v = sympy.Symbol("u"), sympy.Symbol("v", real=True)
        ratio = sympy.simplify(self._curves["alpha"] / self._curves["sigma"]).subs(t, u)
        try:
            roots = sympy.solve(sympy.Eq(ratio, sympy.exp(v / 2)), u)
        except NotImplementedError:
            roots = []
        times = np.linspace(self.t_min, self.T, 11)[1:-1]
        for root in roots:
            try:
                written("the inverse", root)
                with np.errstate(all="ignore"):
                    found = function(root)(np.asarray([self.log_snr(float(s)) for s in times]))
                if np.allclose(found, times, rtol=1e-9, atol=0):
                    return root
            except (ValueError, TypeError):  # a complex number in it, or what array libraries do not have
                continue
        raise ValueError(
            f"no closed form of the inverse of log(alpha²/sigma²) was found, where {self._given}: leave closed_form "
            "out, and it is found by bisection"
        )
