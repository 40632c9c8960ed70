"""f, g² and the log-SNR derived from α and σ alone, with sympy (extra ``symbolic``)."""

from __future__ import annotations

from typing import Any, NamedTuple

from .base import IsotropicSDE


class Derivation(NamedTuple):
    """sympy expressions in the symbol `t`; see `derive`."""

    t: Any
    alpha: Any
    sigma: Any
    f: Any
    g_squared: Any
    log_snr: Any


def derive(sde: IsotropicSDE) -> Derivation:
    """The two identities f = α'/α and g² = (σ²)' − 2fσ², applied to the curves that `sde` computes with.

    >>> from subspace_sde import EDM
    >>> derive(EDM()).g_squared
    2.0*t
    """
    import sympy

    t = sympy.Symbol("t", positive=True)
    alpha, sigma = sympy.sympify(sde.alpha(t)), sympy.sympify(sde.sigma(t))
    f = sympy.diff(alpha, t) / alpha
    g_squared = sympy.diff(sigma**2, t) - 2 * f * sigma**2
    return Derivation(t, alpha, sigma, f, sympy.simplify(g_squared), 2 * sympy.log(alpha / sigma))
