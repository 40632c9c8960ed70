"""Samples against held-out images, with a feature network as the judge: distances, and their error bars.

reference = Reference(images.held_out, feature_network(), cache=out / "features")
found = measure(samples, reference, full=full_samples, seed=0)     # {"FD-EffLite0": (value, error), ...}
"""

from .distances import frechet_distance, kernel_distance, precision_recall
from .measuring import Reference, measure, standard_error, with_halves
from .networks import Features, feature_network

__all__ = [
    "Features",
    "Reference",
    "feature_network",
    "frechet_distance",
    "kernel_distance",
    "measure",
    "precision_recall",
    "standard_error",
    "with_halves",
]
