"""DPS, diffusion posterior sampling (Chung, Kim, Mccann, Klasky and Ye 2023), for any α and σ, and any level."""

from __future__ import annotations

from ..sdes import IsotropicSDE
from .guidance import Guidance
from .observation import Observation


class DPS(Guidance):
    """x(0) given x(t) is taken for its mean D: p(y | x(t)) ≈ N(y; A D, σ_y² I), r² = 0.

    This overstates what y says wherever x(t) leaves x(0) uncertain, that is at high noise, and the samples come out
    too close to y and to each other. It is also stiff: explicit steps Δt are stable only where g²(t) Δt is of the order
    of σ_y² or less, and blow up otherwise (at σ_y = 0.05 beside data of 0.7, 1000 even steps of VE do). Chung et al.
    have step sizes ζ/‖y − A D‖ in place of 1/σ_y², a matter of tuning; `weight` scales the true ones.

    Raises ValueError for an observation without noise: it divides by σ_y².

    >>> DPS(weight=0.5)
    DPS(weight=0.5)
    """

    def variance(self, t: float, sde: IsotropicSDE, level: int = 0) -> float:
        return 0.0

    def check(self, observation: Observation) -> None:
        if not observation.noise:
            raise ValueError("DPS divides by the variance of the noise: give the observation's noise, or take PiGDM")

    def __repr__(self) -> str:
        return f"DPS(weight={self.weight:g})"
