"""Data distributions whose score is known in closed form, on the full space and on every level.

Each gives its exact score, density and draws at any noise (`Oracle`), and the law of its coordinates in a subspace.
Solvers, divergences and likelihoods are tested against them; for Gaussian data the law of Algorithm 1's output is known
too (`subspace_sde.sampling.law_of_samples`).
"""

from .base import Oracle
from .dct import DCTGaussian, dct_basis
from .empirical import Empirical
from .gaussian import Gaussian
from .low_rank import LowRankGaussian
from .mixture import Mixture

__all__ = [
    "DCTGaussian",
    "Empirical",
    "Gaussian",
    "LowRankGaussian",
    "Mixture",
    "Oracle",
    "dct_basis",
]
