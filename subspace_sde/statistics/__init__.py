"""What is read off data: second moments, what lies outside a subspace (eq. 9, Table 1), components, spread."""

from .complement import ComplementEnergies, ComplementMoments, complement_moments, rmsd
from .moments import Covariance, Moments, PatchCovariance, PowerSpectrum, accumulate
from .principal import patch_pca, pca, randomised_pca
from .spread import ve_for

__all__ = [
    "ComplementEnergies",
    "ComplementMoments",
    "Covariance",
    "Moments",
    "PatchCovariance",
    "PowerSpectrum",
    "accumulate",
    "complement_moments",
    "patch_pca",
    "pca",
    "randomised_pca",
    "rmsd",
    "ve_for",
]
