"""RePaint (Lugmayr et al. 2022): replacement, and every few steps are walked again and again from fresh noise.

After `jump` steps down, x is noised back up to where they began, and goes down once more: each time the unknown part
learns from the known one what a single pass of fresh noise did not tell.
"""

from __future__ import annotations

from ..arrays import positive_integer
from ..border import checked
from ..solvers import Solver
from .method import Method
from .replacement import Replacement, Replacing
from .view import Determined


@checked
class RePaint(Replacement):
    """Replacement with resampling; its bias falls with the number of resamplings, its cost grows with it.

    Parameters
    ----------
    resamplings: how often every part is walked; 10 in Lugmayr et al., 1 is plain replacement.
    jump: steps in a part; 10 in Lugmayr et al.
    otherwise, least: as of `Replacement`.

    >>> RePaint(resamplings=4, jump=2).resamplings
    4
    """

    def __init__(
        self, resamplings: int = 10, jump: int = 10, otherwise: Method | None = None, least: float = 0.5
    ) -> None:
        super().__init__(otherwise, least)
        self.resamplings, self.jump = (
            positive_integer("resamplings", resamplings, 10**6),
            positive_integer("jump", jump),
        )

    def _replacing(self, solver: Solver, determined: Determined) -> Solver:
        return Replacing(solver, determined, self.resamplings, self.jump)
