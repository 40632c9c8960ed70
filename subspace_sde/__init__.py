"""Diffusion models that run most of their life in a small linear subspace.

Five nouns: `Subspace`, `NestedSubspaces`, `IsotropicSDE`, `SubspaceSDE`, and a score (any callable ``score(x, t)``);
the rest are functions of them.
"""

from .complement import rmsd
from .divergence import DivergenceCurve, orthogonal_fisher_divergence
from .process import SubspaceSDE
from .sampling import sample
from .sdes import EDM, VE, VP, IsotropicSDE, RectifiedFlow, SubVP
from .subspaces import Basis, Downsampling, Identity, LowPass, NestedSubspaces, Subspace

__all__ = [
    "EDM",
    "VE",
    "VP",
    "Basis",
    "DivergenceCurve",
    "Downsampling",
    "Identity",
    "IsotropicSDE",
    "LowPass",
    "NestedSubspaces",
    "RectifiedFlow",
    "SubVP",
    "Subspace",
    "SubspaceSDE",
    "orthogonal_fisher_divergence",
    "rmsd",
    "sample",
]
