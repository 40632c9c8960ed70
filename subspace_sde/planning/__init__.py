"""Which levels, and when: the chain of subspaces whose sampling costs least."""

from .chains import plan
from .costs import Cost, flops, pixels, power, seconds
from .plans import Plan

__all__ = [
    "Cost",
    "Plan",
    "flops",
    "pixels",
    "plan",
    "power",
    "seconds",
]
