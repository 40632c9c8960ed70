"""Scores from the networks people have: another prediction, another process, another data range, another level."""

from .conversions import (
    ConditionalScore,
    denoiser,
    from_denoiser,
    from_noise,
    from_v_prediction,
    from_velocity,
    guided,
    precondition,
    probability_flow,
)
from .process_change import at_level, change_process, shared

__all__ = [
    "ConditionalScore",
    "at_level",
    "change_process",
    "denoiser",
    "from_denoiser",
    "from_noise",
    "from_v_prediction",
    "from_velocity",
    "guided",
    "precondition",
    "probability_flow",
    "shared",
]
