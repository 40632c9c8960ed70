"""SDEs with a fault each."""

import math

import numpy as np

from subspace_sde import VE, VP
from subspace_sde.arrays import exp, log, sqrt


class WrongG(VP):
    def g(self, t):
        return 1.01 * super().g(t)


class SlightlyWrongG(VP):
    def g(self, t):
        return 1.001 * super().g(t)


class WrongF(VP):
    def f(self, t):
        return super().f(t) * (1 + 1e-6)


def positive(t):
    return max(t, 0.0) if isinstance(t, (int, float)) else t * (t > 0)


class Kink(VP):  # in α; f and g are those of the smooth one
    def alpha(self, t):
        return super().alpha(t) * (1 - 1e-3 * positive(t - 0.6123))


class Bump(VP):  # between any two of the grid's times
    def alpha(self, t):
        return super().alpha(t) * (1 + 1e-3 * positive(1 - abs(t - 0.6120) / 0.002))


class WrongInverse(VP):
    by = 1e-2

    def _time_at_log_snr(self, v):
        return super()._time_at_log_snr(v) * (1 + self.by)


class SlightlyWrongInverse(WrongInverse):
    by = 1e-9


class FirstTime(VP):
    def sigma(self, t):
        return super().sigma(t) if isinstance(t, (int, float)) else super().sigma(t * 0 + t.reshape(-1)[:1])


class WrongEnds(VP):
    def grid(self, n):
        return super().grid(n) * (1 + 1e-12)


class WrongGridParameter(VP):
    def from_grid_parameter(self, u):
        return u * (1 + 1e-9)


class WrongNearStart(VP):
    def f(self, t):
        return super().f(t) * (2.0 if isinstance(t, (int, float)) and t < 0.02 else 1.0)


class Halves(VP):
    def sigma(self, t):
        s = super().sigma(t)
        return s if isinstance(t, (int, float)) else s.astype(np.float16).astype(s.dtype)


class Cancels(VP):
    def sigma(self, t):
        return sqrt(1 - exp(-self._integral(t)))


class PromotesTimes(VP):
    def sigma(self, t):
        return super().sigma(t) if isinstance(t, float) else super().sigma(t) * np.ones(1)


class NoRefusal(VP):
    def log_snr(self, t):
        return 2 * (log(self.alpha(t)) - log(self.sigma(t)))


class RoundedPrior(VP):
    @property
    def prior_std(self):
        return 1.0


class CutsTimes(VP):
    def sigma(self, t):
        return super().sigma(t.detach() if hasattr(t, "detach") else t)


class NoIntegers(VP):
    def alpha(self, t):
        if isinstance(t, int):
            raise TypeError
        return super().alpha(t)


class NumberForArray(VP):
    def sigma(self, t):
        return super().sigma(t) if isinstance(t, (int, float)) or t.ndim else float(super().sigma(t))


class WrongSymbol(VP):
    def sigma(self, t):
        return t if hasattr(t, "free_symbols") else super().sigma(t)


class EndsAtZero(VE):
    def alpha(self, t):
        return 1.0 - t

    def f(self, t):
        return -1 / (1 - t)


SDES = []


class WrongLogSNR(VP):
    def log_snr(self, t):
        return super().log_snr(t) + 1e-6


class UnboundedEnd(VE):
    def g(self, t):
        return super().g(t) if not isinstance(t, float) or t < self.T else math.inf


class NeverClips(VP):
    def time_at_log_snr(self, v, clip=False):
        return super().time_at_log_snr(v)
