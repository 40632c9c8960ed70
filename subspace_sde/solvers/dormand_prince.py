"""Dormand-Prince 5(4) with adaptive steps on the probability-flow ODE (eq. 3), by the backend's own library."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import array_api_compat
import numpy as np

from ..arrays import Score
from ..backend import backend_of
from ..border import checked
from ..scores import probability_flow
from ..sdes import IsotropicSDE
from ..shown import Shown
from .base import Draw


@checked
class DormandPrince(Shown):
    """scipy's RK45 on numpy arrays, torchdiffeq's dopri5 on torch's: Song et al.'s black-box ODE sampler.

    The given steps are ignored: each stage is one integration, its end exact. All samples of a batch share its steps,
    so that a sample depends on its neighbours within the tolerance.

    Parameters
    ----------
    rtol, atol: the error allowed in a step, relative and absolute; 10⁻⁵ in Song et al.

    Raises FloatingPointError where the score is not finite, or so rough that the steps vanish (a ValueError, with the
    level, in `sample`).

    >>> import numpy as np
    >>> from subspace_sde import VE
    >>> sde = VE()
    >>> # data N(0, 1): then x(t) scales as √(1 + σ²)
    >>> normal = lambda x, t: -x / (1 + sde.sigma(t) ** 2)
    >>> [(t, x)] = DormandPrince(1e-8, 1e-8).stage(
    ...     np.ones(1), [1.0, 0.5], normal, sde, noise=None
    ... )
    >>> exact = ((1 + sde.sigma(0.5) ** 2) / (1 + sde.sigma(1.0) ** 2)) ** 0.5
    >>> bool(abs(x[0] - exact) < 1e-6)
    True
    """

    def __init__(self, rtol: float = 1e-5, atol: float = 1e-5) -> None:
        if not (0 < rtol < math.inf and 0 < atol < math.inf):
            raise ValueError(f"rtol and atol must be positive and finite, got {rtol} and {atol}")
        self.rtol, self.atol = float(rtol), float(atol)

    def stage(
        self, x: Any, times: Sequence[float], score: Score, sde: IsotropicSDE, noise: Draw
    ) -> Iterator[tuple[float, Any]]:
        flow = probability_flow(score, sde)

        def finite(y: Any, t: float) -> Any:
            slope = flow(y, t)
            xp = array_api_compat.array_namespace(slope)
            fine = xp.all(xp.isfinite(xp.reshape(slope, (slope.shape[0], -1))), axis=-1)
            if backend_of(fine).concrete(fine) and not bool(
                xp.all(fine)
            ):  # the library waits for its error estimate at each step anyway
                bad = int(np.argmin(backend_of(fine).to_numpy(fine)))
                raise FloatingPointError(f"the score is not finite at t = {t:.6g}, sample {bad}")
            return slope

        if len(times) > 1:
            yield times[-1], backend_of(x).integrate(finite, x, times[0], times[-1], self.rtol, self.atol)
