"""The paper's study on one's own images: quality against cost of full models, levels and solvers, cell by cell."""

from .cells import CELLS, PLANS, Bits, Cell
from .findings import factored, pareto
from .networks import networks
from .study import Study

__all__ = ["CELLS", "PLANS", "Bits", "Cell", "Study", "factored", "networks", "pareto"]
