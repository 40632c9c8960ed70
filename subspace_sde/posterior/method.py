"""What a method of posterior sampling is: it changes a stage's score, or the solver that runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ..sdes import IsotropicSDE
from ..shown import Shown
from ..solvers import Solver
from .observation import Observation
from .view import View


class Differentiable(Protocol):
    """A score with its derivative."""

    def __call__(self, x: Any, t: Any) -> Any:
        """The score."""

    def linearised(self, x: Any, t: float) -> tuple[Any, Callable[[Any], Any]]:
        """The score at (x, t), and what gives v times its Jacobian there."""

    def check_derivative(self, x: Any, t: float, sigma: float) -> None:
        """A ValueError where that Jacobian is not the score's, by differences of a part of sigma around (x, t)."""


@dataclass(frozen=True, eq=False, repr=False)
class Prepared(Shown):
    """A stage made ready: its score, its solver, and the method that does it, which may be another than was asked."""

    score: Any
    solver: Solver
    method: Method


class Method(Shown, ABC):
    """A way to sample x(0) given y, stage by stage."""

    @abstractmethod
    def variance(self, t: float, sde: IsotropicSDE, level: int = 0) -> float:
        """r² of N(D, r² I), what the method takes x(0) for given x(t), in the coordinates of `level`.

        It must not decrease in t. A stage in full dimension runs in those of level 0.
        """

    @abstractmethod
    def prepare(self, view: View, score: Differentiable, solver: Solver, rows: slice) -> Prepared:
        """The stage of `view`, for the samples `rows`."""

    def check(self, observation: Observation) -> None:
        """A ValueError where the method cannot take this observation."""
