"""Eq. 14, the orthogonal Fisher divergence: with a network, of a Gaussian without one, and where it crosses."""

from .estimate import DivergenceCurve, orthogonal_fisher_divergence
from .gaussian import gaussian_divergence
from .switching import SwitchTime, switch_times

__all__ = [
    "DivergenceCurve",
    "SwitchTime",
    "gaussian_divergence",
    "orthogonal_fisher_divergence",
    "switch_times",
]
