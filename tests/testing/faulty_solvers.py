"""Solvers with a fault each."""

import math

import numpy as np

from subspace_sde.solvers import DPMSolver, EulerMaruyama, Heun

CALLS = iter(range(10**9))


class Published(DPMSolver):
    """Third order with half of the second difference, as published: of order 2."""

    def _moved(self, x, t, s, values, sde):
        x = super()._moved(x, t, s, values, sde)
        if len(values) < 3:
            return x
        (a, d0), (b, d1), (c, d2) = values
        h = 0.5 * float(sde.log_snr(s)) - a
        second = ((d0 - d1) / (a - b) - (d1 - d2) / (b - c)) / (a - c)  # half of the second derivative
        return x - sde.alpha(s) * (h * h / 2 - h - math.expm1(-h)) * second


class HeunStep(Heun):
    """Heun's method, one line of it replaced."""

    def stage(self, x, times, score, sde, noise):
        for t, s in zip(times, times[1:]):
            x = self._heun(x, t, s, score, sde)
            yield s, x


class StopsEarly(HeunStep):
    def stage(self, x, times, score, sde, noise):
        return super().stage(x, times[:-1], score, sde, noise)


class OneStepMore(HeunStep):
    def stage(self, x, times, score, sde, noise):
        yield from super().stage(x, [*times, 0.9 * times[-1]], score, sde, noise)


class TimeAsArray(HeunStep):
    def stage(self, x, times, score, sde, noise):
        return super().stage(x, times, lambda y, t: score(y, np.asarray([t] * len(y))), sde, noise)


class PromotesState(HeunStep):
    def stage(self, x, times, score, sde, noise):
        return super().stage(x.astype(np.float64), times, score, sde, noise)


class CommonStep(HeunStep):
    @staticmethod
    def _heun(x, t, s, score, sde):
        moved = Heun._heun(x, t, s, score, sde)
        return moved + 1e-6 * moved.mean(axis=0)


class OwnNoise(HeunStep):
    @staticmethod
    def _heun(x, t, s, score, sde):
        return Heun._heun(x, t, s, score, sde) + 1e-9 * next(CALLS)


class WritesState(HeunStep):
    def stage(self, x, times, score, sde, noise):
        for t, state in super().stage(x, times, score, sde, noise):
            yield t, state
        x[...] = state


class EulerStep(HeunStep):
    @staticmethod
    def _heun(x, t, s, score, sde):
        return x + (s - t) * (sde.f(t) * x - 0.5 * sde.g(t) ** 2 * score(x, t))


class WrongDrift(EulerMaruyama):
    """Forgets the factor of the score that makes it the reverse of the noise."""

    def step(self, x, t, s, score, sde, noise):
        return super().step(x, t, s, lambda y, at: 0.9 * score(y, at), sde, noise)
