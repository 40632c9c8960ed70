"""Subspaces as isometries, and the nested sequence that a subspace diffusion climbs."""

from .base import Composition, Identity, Relative, Subspace
from .basis import Basis
from .downsampling import Downsampling
from .lowpass import LowPass
from .nested import NestedSubspaces
from .patches import PatchBasis
from .separable import Separable
from .wavelet import Wavelet

__all__ = [
    "Basis",
    "Composition",
    "Downsampling",
    "Identity",
    "LowPass",
    "NestedSubspaces",
    "PatchBasis",
    "Relative",
    "Separable",
    "Subspace",
    "Wavelet",
]
