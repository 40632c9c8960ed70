"""Which levels, and when: the chain of subspaces whose sampling costs least."""

from .chains import Plan, plan
from .costs import Cost, flops, pixels, power, seconds

__all__ = [
    "Cost",
    "Plan",
    "flops",
    "pixels",
    "plan",
    "power",
    "seconds",
]
