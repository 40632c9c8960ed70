"""Subspaces as isometries, and the nested sequence that a subspace diffusion climbs."""

from .base import Composition, Identity, Relative, Subspace
from .basis import Basis
from .downsampling import Downsampling
from .lowpass import LowPass
from .nested import NestedSubspaces

__all__ = [
    "Basis",
    "Composition",
    "Downsampling",
    "Identity",
    "LowPass",
    "NestedSubspaces",
    "Relative",
    "Subspace",
]
