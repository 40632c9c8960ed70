"""Langevin dynamics at one time: the corrector of Song et al. 2021, and Algorithm 1's steps after an injection."""

from __future__ import annotations

import math
from typing import Any

import array_api_compat

from ..arrays import Score
from ..border import checked
from ..shown import Shown
from ..subspaces import Subspace
from .base import Draw


@checked
class Langevin(Shown):
    """Langevin steps x ← x + ε s(x, t) + √(2ε) z with a step size by signal-to-noise ratio (Song et al. 2021).

    ε = 2 (snr ‖z‖/‖s‖)², for each sample from its own norms. A step size that depends on the state biases E‖x‖² by
    a relative 16 snr²/(n − 2) or so per step, negligible in the many dimensions for which it was made.

    Parameters
    ----------
    steps: how many, 0 or more.
    snr: the ratio r of Song et al.
    complement_only: after an injection, move the injected complement alone and leave x_k as it is (Algorithm 1's
        "conditional" steps); False moves all of x.

    >>> Langevin(2).steps
    2
    """

    def __init__(self, steps: int = 1, snr: float = 0.16, complement_only: bool = True) -> None:
        if steps < 0 or not 0 < snr < math.inf:
            raise ValueError(f"Langevin steps need an integer steps >= 0 and snr > 0, got {steps} and {snr}")
        if steps > 10**6:
            raise ValueError(f"Langevin takes at most 1,000,000 steps at a time, got {steps:,}")
        self.steps, self.snr = int(steps), float(snr)
        self.complement_only = bool(complement_only)

    def move(self, x: Any, t: float, score: Score, noise: Draw, injected: Subspace | None = None) -> Any:
        """x after the steps at time t; `injected` is the U_{k|k-1} whose complement was just drawn, if one was."""
        xp = array_api_compat.array_namespace(x)

        half = xp.finfo(x.dtype).bits < 32  # squares of a score overflow there

        def square(v: Any) -> Any:
            v = xp.astype(v, xp.float32) if half else v
            return xp.sum(v * v, axis=tuple(range(1, v.ndim)), keepdims=True)

        for _ in range(self.steps):
            s, z = score(x, t), noise()
            if injected is not None and self.complement_only:
                s, z = injected._reject(s, xp), injected._reject(z, xp)
            size = (2 * self.snr**2) * square(z) / square(s)
            spread = xp.sqrt(2 * size)
            if half:
                size, spread = xp.astype(size, x.dtype), xp.astype(spread, x.dtype)
            x = x + size * s + spread * z
        return x
