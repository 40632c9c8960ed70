"""The law of what a solver really returns, steps and all, where the scores are affine in x: no Monte Carlo.

Then a sample is an affine function of the normal numbers that it drew. `sample` itself, called on draws that are unit
vectors, tells that function, so that nothing of the sampler is written a second time. Beside `law_of_samples`, the law
of a perfect solver, this is the solver's error, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import Score
from ..border import checked
from ..oracles import Gaussian
from ..process import SubspaceSDE
from ..sdes import Spacing
from ..solvers import Solver
from .algorithm_1 import sample


@checked
def sampled_law(
    process: SubspaceSDE,
    scores: Sequence[Score],
    solver: Solver,
    steps: int | Sequence[float],
    spacing: Spacing | None = None,
    *,
    progress: bool = False,
) -> Gaussian:
    """Mean and covariance of the samples that these solver and steps give, exact to rounding in float64.

    Parameters are those of `sample`; the scores must be affine in x, and the solver in its state (a corrector, whose
    step sizes depend on x, is not). Memory is that of as many samples as numbers are drawn.

    >>> from subspace_sde import VE, NestedSubspaces
    >>> from subspace_sde.solvers import Heun
    >>> data = Gaussian(np.zeros(2), np.eye(2))
    >>> process = SubspaceSDE(VE(), NestedSubspaces([], ambient_shape=(2,)), [], [])
    >>> found = sampled_law(process, [data.score(VE())], Heun(), steps=100)
    >>> found.covariance.round(1) + 0.0
    array([[1., 0.],
           [0., 1.]])
    """
    counting = _UnitDraws(0)
    sample(process, scores, 1, solver, steps, counting, spacing=spacing)
    draws = _UnitDraws(counting.drawn)
    x = sample(process, scores, 1 + counting.drawn, solver, steps, draws, spacing=spacing, progress=progress).x
    rows = x.reshape(len(x), -1)
    responses = rows[1:] - rows[0]
    covariance = responses.T @ responses
    return Gaussian(x[0], (covariance + covariance.T) / 2)


class _UnitDraws(np.random.Generator):
    """Row 0 draws zeros; row r draws zeros too, but for a 1 where all the draws together have their r-th number."""

    def __init__(self, rows: int) -> None:
        super().__init__(np.random.PCG64(0))
        self._rows, self.drawn = rows, 0

    def standard_normal(self, shape: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        numbers = math.prod(shape[1:])
        draws = np.zeros((shape[0], numbers), dtype=dtype)
        if self._rows:
            draws[1 + self.drawn + np.arange(numbers), np.arange(numbers)] = 1
        self.drawn += numbers
        return draws.reshape(shape)
