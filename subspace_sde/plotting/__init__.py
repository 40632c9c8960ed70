"""Pictures: the divergence over time (paper, Fig. 2), what a plan costs, and what a subspace keeps.

Needs the extra ``plot`` (matplotlib, imported by the first function that draws). Every function returns the Figure.
Those that take `ax` draw on it; without one they make a figure that pyplot does not know of, so that nothing needs a
display or has to be closed. The i-th name of a mapping has the i-th colour in each of them.
"""

from .curves import divergence_curves
from .figures import save
from .plans import cost_against_threshold, plan_bar
from .spectra import power_spectrum
from .subspaces import basis_vectors, projections

__all__ = [
    "basis_vectors",
    "cost_against_threshold",
    "divergence_curves",
    "plan_bar",
    "power_spectrum",
    "projections",
    "save",
]
