"""Sampling what is not known of x from what is: y = A x + noise, for any linear A, on every level."""

from .dps import DPS
from .guidance import Guidance
from .linear_systems import conjugate_gradients
from .method import Method, Prepared
from .observation import Observation
from .pigdm import PiGDM
from .repaint import RePaint
from .replacement import Replacement
from .sampling import PosteriorSamples, sample_posterior
from .view import View

__all__ = [
    "DPS",
    "Guidance",
    "Method",
    "Observation",
    "PiGDM",
    "PosteriorSamples",
    "Prepared",
    "RePaint",
    "Replacement",
    "View",
    "conjugate_gradients",
    "sample_posterior",
]
