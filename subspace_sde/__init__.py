"""Diffusion models that run most of their life in a small linear subspace."""

from .sdes import EDM, VE, VP, IsotropicSDE, RectifiedFlow, SubVP
from .subspaces import Basis, Downsampling, Identity, LowPass, NestedSubspaces, Subspace

__all__ = [
    "EDM",
    "VE",
    "VP",
    "Basis",
    "Downsampling",
    "Identity",
    "IsotropicSDE",
    "LowPass",
    "NestedSubspaces",
    "RectifiedFlow",
    "SubVP",
    "Subspace",
]
