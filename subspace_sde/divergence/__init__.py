"""Eq. 14, the orthogonal Fisher divergence: with a network, without one, where it crosses; and what it cannot see."""

from .borrowed import LevelError, level_error
from .estimate import DivergenceCurve, orthogonal_fisher_divergence
from .gaussian import gaussian_divergence
from .switching import SwitchTime, switch_times

__all__ = [
    "DivergenceCurve",
    "LevelError",
    "SwitchTime",
    "gaussian_divergence",
    "level_error",
    "orthogonal_fisher_divergence",
    "switch_times",
]
