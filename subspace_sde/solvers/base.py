"""What a solver is: a stage of the reverse diffusion, from t_{k+1} down to t_k, on any level."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Protocol, TypeAlias

from ..arrays import Score
from ..sdes import IsotropicSDE
from ..shown import Shown

Draw: TypeAlias = Callable[[], Any]
"""``noise()`` draws fresh standard normal numbers of the shape of x."""


class Solver(Protocol):
    """Solves the reverse SDE (eq. 2) or the probability-flow ODE (eq. 3) over one stage.

    A solver knows nothing of levels: Algorithm 1 gives it one stage after the other, and what it remembers of one (a
    multistep solver's history) is gone in the next, because a jump is no place to interpolate across.

    It may have an attribute `spacing` (`subspace_sde.sampling`): that of its steps where the caller gives none. Without
    it the steps are the SDE's own.
    """

    def stage(
        self, x: Any, times: Sequence[float], score: Score, sde: IsotropicSDE, noise: Draw
    ) -> Iterator[tuple[float, Any]]:
        """From x at times[0], (batch, *shape), yield (s, x(s)) at later ones of `times` in turn, the last at the end.

        `times` are floats, and decrease (or increase, where a likelihood follows the ODE upwards); the score is called
        with t a float.
        """


class SingleStep(Shown, ABC):
    """A solver whose steps know nothing of each other."""

    @abstractmethod
    def step(self, x: Any, t: float, s: float, score: Score, sde: IsotropicSDE, noise: Draw) -> Any:
        """x(s) from x(t), s < t, both (batch, *shape)."""

    def stage(
        self, x: Any, times: Sequence[float], score: Score, sde: IsotropicSDE, noise: Draw
    ) -> Iterator[tuple[float, Any]]:
        """One step after another; see `Solver`."""
        for t, s in pairwise(times):
            x = self.step(x, t, s, score, sde, noise)
            yield s, x
