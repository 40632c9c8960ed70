"""Spacings: the variable in which steps are equally long."""

from __future__ import annotations

import math
from typing import Any, Protocol

from ..border import checked
from ..shown import Shown
from ..specification import Specified, register
from .base import IsotropicSDE


class Spacing(Protocol):
    """A variable in which the steps are equally long: any strictly monotone function of t."""

    def parameter(self, t: float, sde: IsotropicSDE) -> float:
        """The variable at t."""

    def time(self, u: float, sde: IsotropicSDE) -> float:
        """The time at which the variable is u."""


class _Spacing(Shown, Specified):
    def arguments(self) -> dict[str, Any]:
        return dict(vars(self))


@register
class OwnSpacing(_Spacing):
    """That of the SDE: t itself for VE, VP, sub-VP and flow, t^(1/7) for EDM.

    For a solver that states another one, as `DPMSolver` does.
    """

    def parameter(self, t: float, sde: IsotropicSDE) -> float:
        return float(sde.grid_parameter(t))

    def time(self, u: float, sde: IsotropicSDE) -> float:
        return float(sde.from_grid_parameter(u))


@register
class UniformTime(_Spacing):
    """Steps equally long in t.

    >>> from subspace_sde import EDM
    >>> from subspace_sde.sampling import grid
    >>> grid(EDM(), 4, UniformTime()).round(1).tolist()
    [80.0, 60.0, 40.0, 20.0, 0.0]
    """

    def parameter(self, t: float, sde: IsotropicSDE) -> float:
        return t

    def time(self, u: float, sde: IsotropicSDE) -> float:
        return u


@register
class UniformLogSNR(_Spacing):
    """Steps equally long in log(α²/σ²), the time in which multistep exponential integrators work."""

    def parameter(self, t: float, sde: IsotropicSDE) -> float:
        return float(sde.log_snr(t))

    def time(self, u: float, sde: IsotropicSDE) -> float:
        return float(sde.time_at_log_snr(u, clip=True))


@checked
@register
class Rho(_Spacing):
    """Steps equally long in (σ/α)^(1/ρ), for any SDE: the grid of Karras et al. 2022.

    >>> from subspace_sde import EDM, VE
    >>> from subspace_sde.sampling import grid
    >>> sde = VE(0.002, 80.0)
    >>> [float(sde.sigma(t).__round__(3)) for t in grid(sde, 2, Rho())]
    [80.0, 2.515, 0.002]
    """

    def __init__(self, rho: float = 7.0) -> None:
        if not 1 <= rho < math.inf:
            raise ValueError(f"rho must be at least 1, got {rho}")
        self.rho = float(rho)

    def parameter(self, t: float, sde: IsotropicSDE) -> float:
        return float((sde.sigma(t) / sde.alpha(t)) ** (1 / self.rho))

    def time(self, u: float, sde: IsotropicSDE) -> float:
        return float(sde.time_at_log_snr(-2 * self.rho * math.log(u), clip=True))
