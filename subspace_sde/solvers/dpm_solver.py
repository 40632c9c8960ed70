"""DPM-Solver++ (Lu et al. 2022), multistep: exponential integrators of the data prediction in the time λ = log(α/σ).

With D(x, t) = E[x(0)|x(t)] the reverse diffusion whose noise has η times the variance of eq. 2's (η = 0: eq. 3) is
linear but for D, and from t to s, h = λ(s) − λ(t), r = 1 + η,

    x(s) = σ(s)/σ(t) e^{−ηh} x(t) + α(s) r ∫₀ʰ e^{−r(h − τ)} D(λ(t) + τ) dτ
           + σ(s) √(1 − e^{−2ηh}) z

D is replaced by the polynomial through its latest values, and the integral taken exactly: order 2 from two values (2M),
order 3 from three (3M). The formulas in use replace parts of the integral by others of the same order, and the
published 3M carries half of the second difference, which leaves it at order 2.

A polynomial is no guess far beyond its values: where the steps grow in λ, as the last ones of a grid even in t do for
VP, sub-VP and flow, the error grows with them, and exceeds that of DDIM. So the steps are even in λ unless the caller
says otherwise, and a step more than twice as long as the one before begins again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import factorial
from typing import Any

import numpy as np

from ..arrays import Score
from ..border import checked
from ..scores import denoiser
from ..sdes import IsotropicSDE, Spacing, UniformLogSNR
from ..shown import Shown
from .base import Draw


@checked
class DPMSolver(Shown):
    """DPM-Solver++ 2M or 3M, one evaluation of the score a step.

    Every stage begins with a single-step method one order below: 2M with one first-order step (DDIM), 3M with one of
    order 2 (2S: a second evaluation in the middle), then one of 2M. So does a step that is more than twice as long in
    log-SNR as the one before.

    Parameters
    ----------
    order: 2 or 3.
    eta: η in [0, 1], the noise's variance relative to the reverse SDE's: 0 solves the ODE, 1 the SDE. With noise both
        orders are 2 in the law of x: what D gains from a step's own noise is in no earlier value.

    Attributes
    ----------
    spacing: of the steps where the caller gives none, even in log-SNR.

    >>> DPMSolver(order=3).eta
    0.0
    """

    spacing: Spacing = UniformLogSNR()

    def __init__(self, order: int = 2, eta: float = 0.0) -> None:
        if order not in (2, 3):
            raise ValueError(f"DPM-Solver++ is of order 2 or 3, got {order}")
        if not 0 <= eta <= 1:
            raise ValueError(f"DPM-Solver++'s eta lies between 0, the ODE, and 1, the reverse SDE, got {eta}")
        self.order, self.eta = int(order), float(eta)

    def stage(
        self, x: Any, times: Sequence[float], score: Score, sde: IsotropicSDE, noise: Draw
    ) -> Iterator[tuple[float, Any]]:
        data = denoiser(score, sde)
        latest: list[tuple[float, Any]] = []  # (λ, D), the last first
        last = math.inf
        for t, s in pairwise(times):
            here, h = _half_log_snr(sde, t), _half_log_snr(sde, s) - _half_log_snr(sde, t)
            if h == 0:  # the two times are one but for rounding
                yield s, x
                continue
            kept = [] if abs(h) > _LONGEST * last else latest[: self.order - 1]
            latest, last = [(here, data(x, t)), *kept], abs(h)
            if len(latest) == 1 and self.order == 3:
                x = self._two_stage(x, t, s, latest[0], data, sde, noise)
            else:
                x = self._moved(x, t, s, latest, sde)
                x = x + self._spread(t, s, sde) * noise() if self.eta else x
            yield s, x

    def _two_stage(
        self, x: Any, t: float, s: float, here: tuple[float, Any], data: Score, sde: IsotropicSDE, noise: Draw
    ) -> Any:
        """2S: the second value of D in the middle of the step; both halves of the step see one path of the noise."""
        middle = (here[0] + _half_log_snr(sde, s)) / 2
        m = float(sde.time_at_log_snr(2 * middle))
        halfway, shaken = self._moved(x, t, m, [here], sde), 0.0
        if self.eta:
            drawn = self._spread(t, m, sde) * noise()
            halfway = halfway + drawn
            shaken = self._decay(m, s, sde) * drawn + self._spread(m, s, sde) * noise()
        return self._moved(x, t, s, [here, (middle, data(halfway, m))], sde) + shaken

    def _moved(self, x: Any, t: float, s: float, values: Sequence[tuple[float, Any]], sde: IsotropicSDE) -> Any:
        """Without the noise: the first of `values`, (λ, D), is that at t."""
        start, alpha = values[0][0], float(sde.alpha(s))
        weights = _weights(_half_log_snr(sde, s) - start, [v - start for v, _ in values], 1 + self.eta)
        x = self._decay(t, s, sde) * x
        for weight, (_, d) in zip(weights, values):
            x = x + (alpha * weight) * d
        return x

    def _decay(self, t: float, s: float, sde: IsotropicSDE) -> float:
        h = _half_log_snr(sde, s) - _half_log_snr(sde, t)
        return float(sde.sigma(s) / sde.sigma(t)) * math.exp(-self.eta * h)

    def _spread(self, t: float, s: float, sde: IsotropicSDE) -> float:
        h = _half_log_snr(sde, s) - _half_log_snr(sde, t)
        return float(sde.sigma(s)) * math.sqrt(-math.expm1(-2 * self.eta * h))


_LONGEST = 2 * (1 + 1e-9)
"""How much longer than the one before a step may be, in log-SNR; measured by `benchmarks.solver_accuracy`."""


def _half_log_snr(sde: IsotropicSDE, t: float) -> float:
    return 0.5 * float(sde.log_snr(t))


def _weights(h: float, nodes: Sequence[float], r: float) -> list[float]:
    """w with Σ w_j p(τ_j) = r ∫₀ʰ e^{−r(h − τ)} p(τ) dτ for all polynomials p of degree < len(nodes).

    By the moments of τᵐ/m!, in units of h: I_0 = 1 − e^{−rh}, I_m = hᵐ/m! − I_{m−1}/r.
    """
    moments, last = [], -math.expm1(-r * h)
    for m in range(len(nodes)):
        last = last if m == 0 else h**m / factorial(m) - last / r
        moments.append(last / h**m)
    powers = [[(node / h) ** m / factorial(m) for node in nodes] for m in range(len(nodes))]
    weights: list[float] = np.linalg.solve(powers, moments).tolist()
    return weights
