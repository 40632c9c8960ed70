"""Integrals from 0 to t: of a formula in closed form, of a function by quadrature, on any array library."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import array_api_compat
import numpy as np

from ..backend import Constant
from .expressions import sympy_of


def antiderivative(e: Any, t: Any) -> Any | None:
    """∫₀ᵗ e in closed form, or None where none is found at once.

    By Risch's algorithm, which decides, for what is made of exp and log; by sympy's table of rules for the rest, where
    it is short enough to be quick.
    """
    sympy = sympy_of("an integral")
    from sympy.integrals.manualintegrate import manualintegrate
    from sympy.integrals.risch import risch_integrate

    try:
        found = risch_integrate(e, t)
    except NotImplementedError:
        if sympy.count_ops(e) > 20:
            return None
        found = manualintegrate(e, t)
    start = found.subs(t, 0)
    if found.has(sympy.Integral) or start.has(sympy.zoo, sympy.oo, sympy.nan):
        return None
    return found - start


def factored(e: Any, whole: Any) -> Any:
    """e as a product, in which sums of the powers of w = exp(whole) do not cancel: 1 − 2w² + w⁴ as (1 − w²)²."""
    sympy = sympy_of("an integral")
    w = sympy.Symbol("w", positive=True)

    def power(exponential: Any) -> Any:
        ratio = sympy.cancel(exponential.args[0] / whole)
        return w**ratio if ratio.is_Rational else exponential

    powers = sympy.powsimp(sympy.expand(e)).replace(lambda part: part.func is sympy.exp, power)
    return sympy.factor(powers).subs(w, sympy.exp(whole))


def adaptive(what: str, integrand: Callable[[float], float], t: float) -> float:
    """∫₀ᵗ on the host, to about ten digits; a ValueError where it does not converge."""
    from scipy.integrate import IntegrationWarning, quad

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", IntegrationWarning)
            return float(quad(integrand, 0.0, t, epsabs=0.0, epsrel=1e-11, limit=200)[0])
    except (IntegrationWarning, ArithmeticError, ValueError) as error:
        raise ValueError(
            f"the integral of {what} from 0 to t = {t:g} does not converge: there is a pole on the way, or a root or "
            f"logarithm of a negative number ({str(error).splitlines()[0].strip()})"
        ) from error


@cache
def rule(n: int) -> tuple[Constant, Constant]:
    """n nodes and weights on [0, 1]: those of Gauss and Legendre in √s, so that powers of √s are integrated exactly."""
    u, w = np.polynomial.legendre.leggauss(n)
    u, w = (u + 1) / 2, w / 2
    return Constant(u * u), Constant(2 * u * w)


def from_zero(integrand: Callable[[Any], Any], t: Any, n: int) -> Any:
    """∫₀ᵗ for every entry of an array t; the integrand takes arrays with one more axis, and keeps their shape.

    >>> from_zero(lambda s: 3 * s**2, np.asarray([1.0, 2.0]), 8).round(9).tolist()
    [1.0, 8.0]
    """
    xp = array_api_compat.array_namespace(t)
    nodes, weights = (constant.like(t) for constant in rule(n))
    return t * xp.sum(weights * integrand(xp.expand_dims(t, axis=-1) * nodes), axis=-1)
