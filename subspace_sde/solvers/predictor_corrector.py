"""The predictor-corrector samplers of Song et al. 2021: a step of any single-step solver, then Langevin steps."""

from __future__ import annotations

from typing import Any

from ..arrays import Score
from ..border import checked
from ..sdes import IsotropicSDE
from .base import Draw, SingleStep, Solver
from .langevin import Langevin
from .reverse_diffusion import ReverseDiffusion


@checked
class PredictorCorrector(SingleStep):
    """The paper's own sampler: a predictor's step to s, then the corrector's Langevin steps at s.

    Parameters
    ----------
    predictor: a single-step solver; `ReverseDiffusion()` without it.
    corrector: one step with the ratio 0.16 without it, as Song et al. sample CIFAR-10 by the VE SDE.

    Raises TypeError for a solver that remembers earlier steps or chooses its own: a corrector would cut in.

    >>> from subspace_sde.solvers import Ancestral
    >>> sampler = PredictorCorrector(Ancestral(), Langevin(steps=1, snr=0.16))
    """

    def __init__(self, predictor: Solver | None = None, corrector: Langevin | None = None) -> None:
        predictor = ReverseDiffusion() if predictor is None else predictor
        if not isinstance(predictor, SingleStep):
            raise TypeError(
                f"a predictor takes single steps, and {type(predictor).__name__} does not: "
                "use ReverseDiffusion, Ancestral, EulerMaruyama, DDIM or Heun"
            )
        self.predictor, self.corrector = predictor, Langevin() if corrector is None else corrector

    def step(self, x: Any, t: float, s: float, score: Score, sde: IsotropicSDE, noise: Draw) -> Any:
        """The predictor's evaluations of the score, and one for each of the corrector's steps."""
        return self.corrector.move(self.predictor.step(x, t, s, score, sde, noise), s, score, noise)
