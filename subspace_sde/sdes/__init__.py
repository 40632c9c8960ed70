"""Isotropic SDEs: pairs of curves α(t), σ(t); and the spacings of their times."""

from .base import IsotropicSDE
from .edm import EDM
from .flow import RectifiedFlow
from .spacings import OwnSpacing, Rho, Spacing, UniformLogSNR, UniformTime
from .symbolic import Symbolic
from .tabulated import Tabulated
from .ve import VE
from .vp import VP, SubVP

__all__ = [
    "EDM",
    "VE",
    "VP",
    "IsotropicSDE",
    "OwnSpacing",
    "RectifiedFlow",
    "Rho",
    "Spacing",
    "SubVP",
    "Tabulated",
    "Symbolic",
    "UniformLogSNR",
    "UniformTime",
]
