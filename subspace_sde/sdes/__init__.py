"""Isotropic SDEs: pairs of curves α(t), σ(t)."""

from .base import IsotropicSDE
from .edm import EDM
from .flow import RectifiedFlow
from .ve import VE
from .vp import VP, SubVP

__all__ = ["EDM", "VE", "VP", "IsotropicSDE", "RectifiedFlow", "SubVP"]
