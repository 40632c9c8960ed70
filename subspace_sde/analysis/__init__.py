"""From data to a plan, before any network: candidates, their curves, the cheapest plan, and a report."""

from .analyse_data import Analysis, Row, analyse
from .candidates import candidate_subspaces, subspace_named

__all__ = [
    "Analysis",
    "Row",
    "analyse",
    "candidate_subspaces",
    "subspace_named",
]
