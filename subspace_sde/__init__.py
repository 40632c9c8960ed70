"""Diffusion models that run most of their life in a small linear subspace.

Five nouns: `Subspace`, `NestedSubspaces`, `IsotropicSDE`, `SubspaceSDE`, and a score (any callable ``score(x, t)``);
the rest are functions of them.
"""

from .divergence import DivergenceCurve, gaussian_divergence, level_error, orthogonal_fisher_divergence, switch_times
from .likelihood import decode, encode, log_likelihood
from .planning import Plan, plan
from .process import SubspaceSDE
from .sampling import sample
from .sdes import EDM, VE, VP, IsotropicSDE, RectifiedFlow, SubVP
from .statistics import patch_pca, pca, randomised_pca, rmsd
from .subspaces import (
    Basis,
    Downsampling,
    Identity,
    LowPass,
    NestedSubspaces,
    PatchBasis,
    Separable,
    Subspace,
    Wavelet,
)

__version__ = "0.1.0"

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
    "PatchBasis",
    "Plan",
    "RectifiedFlow",
    "Separable",
    "SubVP",
    "Subspace",
    "SubspaceSDE",
    "Wavelet",
    "decode",
    "encode",
    "gaussian_divergence",
    "level_error",
    "log_likelihood",
    "orthogonal_fisher_divergence",
    "patch_pca",
    "pca",
    "plan",
    "randomised_pca",
    "rmsd",
    "sample",
    "switch_times",
]
