"""Faults, each of one law or of few, and which laws they break."""

import contextlib
import math

import numpy as np
import torch

from subspace_sde import VE, VP, Basis, LowPass
from subspace_sde.arrays import exp, log, sqrt
from subspace_sde.backend import Constant, backend_of
from subspace_sde.oracles import Gaussian
from subspace_sde.solvers import DPMSolver, EulerMaruyama, Heun

N64, N32, T64, T32 = np.zeros(()), np.zeros((), np.float32), torch.zeros((), dtype=torch.float64), torch.zeros(())
SHAPE = (3, 8, 8)
DEFAULT_RNG = np.random.default_rng


# -- subspaces


class Sound(LowPass):
    def __init__(self):
        super().__init__(SHAPE, 4)


class NotOrthonormal(Sound):
    by = 1e-4

    def _restrict(self, x, xp):
        return super()._restrict(x, xp) * (1 + self.by)

    def _embed(self, z, xp):
        return super()._embed(z, xp) * (1 + self.by)


class SlightlyNotOrthonormal(NotOrthonormal):
    by = 1e-6


class EmbedTransposes(Sound):
    def _embed(self, z, xp):
        return super()._embed(xp.matrix_transpose(z), xp)


class BothTranspose(Sound):  # an isometry still
    def _restrict(self, x, xp):
        return xp.matrix_transpose(super()._restrict(x, xp))

    def _embed(self, z, xp):
        return super()._embed(xp.matrix_transpose(z), xp)


class Promotes(Sound):
    def _restrict(self, x, xp):
        return super()._restrict(x, xp) * xp.ones((1,), dtype=xp.float64)


class RoundedConstant(Sound):
    def __init__(self):
        super().__init__()
        self._maps = [(a, Constant(r.value.astype(np.float32).astype(np.float64))) for a, r in self._maps]


class CoarseConstant(Sound):
    def __init__(self):
        super().__init__()
        self._maps = [(a, Constant(r.value.astype(np.float16).astype(np.float64))) for a, r in self._maps]


class MixesBatch(Sound):
    def _restrict(self, x, xp):
        z = super()._restrict(x, xp)
        return z - 0.01 * xp.mean(z, axis=0, keepdims=True) if z.ndim > 3 and z.shape[0] else z


class Clips(Sound):
    def _restrict(self, x, xp):
        return super()._restrict(xp.clip(x, -5.0, 5.0), xp)


class Affine(Sound):
    def _restrict(self, x, xp):
        return super()._restrict(x, xp) + 1e-3


class InPlace(Sound):
    def _restrict(self, x, xp):
        z = super()._restrict(x, xp)
        x *= 1.0001
        return z


class WrongReject(Sound):
    def _reject(self, x, xp):
        return (x - self._project(x, xp)) * (1 + 1e-6)


class WrongProject(Sound):
    def _project(self, x, xp):
        return super()._project(x, xp) * (1 + 1e-6)


class WrongAxisMatrices(Sound):
    def axis_matrices(self):
        return tuple(u[:, ::-1] if u.shape[0] != u.shape[1] else u for u in super().axis_matrices())


class WrongMatrix(Sound):
    def matrix(self):
        return -super().matrix()


class WrongScale(Sound):
    @property
    def coordinate_scale(self):
        return 1.99


class RotatedWithin(Sound):
    def _within(self, outer):
        q = np.linalg.qr(DEFAULT_RNG(0).standard_normal((self.dim, self.dim)))[0]
        return LowPass(outer.shape, 4) @ Basis(q, self.shape, self.shape)


class NoEmptyBatch(Sound):
    def _restrict(self, x, xp):
        assert 0 not in x.shape
        return super()._restrict(x, xp)


class NoBatchNeeded(Sound):
    def _restrict(self, x, xp):
        assert x.ndim > 3
        return super()._restrict(x, xp)


class OneBatchAxis(Sound):
    def _restrict(self, x, xp):
        if x.ndim > 4:
            raise RuntimeError("conv2d takes one batch axis")
        return super()._restrict(x, xp)


class Contiguous(Sound):
    def _restrict(self, x, xp):
        return super()._restrict(x.view(-1).view(x.shape), xp)


class WritesAndUndoes(Sound):
    def _restrict(self, x, xp):
        x *= 2.0
        z = super()._restrict(x, xp)
        x /= 2.0
        return z / 2


class Detaches(Sound):
    def _restrict(self, x, xp):
        return super()._restrict(x.detach(), xp)


class ThroughNumpy(Sound):
    def _restrict(self, x, xp):
        return torch.from_numpy(super()._restrict(x, xp).numpy())


# -- SDEs


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


# -- scores

EXACT = Gaussian(np.zeros((2, 3)), np.diag([0.1, 0.2, 0.5, 1.0, 2.0, 3.0])).score(VE())
CALLS = iter(range(10**9))


def variance(t, x):
    v = 1 + VE().sigma(t) ** 2
    return v if isinstance(v, float) else v.reshape(-1, *(1,) * (x.ndim - 1)).astype(x.dtype)


def plain(x, t):  # of N(0, I), on one leading axis
    return -x / variance(t, x)


def one_axis(x, t):
    assert x.ndim == 3
    return plain(x, t)


def promotes(x, t):
    return plain(x, t) * np.ones(1)


def first_time(x, t):
    return plain(x, t if isinstance(t, float) else t[:1])


def no_array_of_times(x, t):
    return -x / (1 + VE().sigma(float(t)) ** 2)


def normalises_batch(x, t):
    return plain(x - 1e-3 * x.mean(axis=0, keepdims=True), t)


def drops_out(x, t):
    return plain(x, t) * (1 + 1e-3 * next(CALLS))


def infinite_at_the_end(x, t):
    return plain(x, t) / (t - VE().t_min) if isinstance(t, float) and t == 0 else plain(x, t)


def writes(x, t):
    x *= 1.001
    return plain(x, t)


def detached(x, t):
    return -x / (1 + VE().sigma(t) ** 2) if isinstance(t, float) and t < 0 else -x.detach() / (1 + x * x) * 2


class Vjp:
    """A score with a method vjp that is off by 1 %, on one leading axis."""

    __name__ = "Vjp"

    def __call__(self, x, t):
        return plain(x, t)

    def vjp(self, x, t, v):
        return -1.01 * v / variance(t, x)


class Rotated:
    """A score whose method vjp gives Jv in place of Jᵀv."""

    __name__ = "Rotated"
    turn = np.asarray([[1.0, 0.3, 0.0], [-0.3, 1.0, 0.2], [0.0, 0.1, 1.0]])

    def __call__(self, x, t):
        return plain(x, t) @ self.turn

    def vjp(self, x, t, v):
        return -v / variance(t, x) @ self.turn


# -- solvers


class Published(DPMSolver):
    """Third order with half of the second difference, as published: of order 2."""

    def _moved(self, x, t, s, values, sde):
        x = super()._moved(x, t, s, values, sde)
        if len(values) < 3:
            return x
        (a, d0), (b, d1), (c, d2) = values
        h = 0.5 * float(sde.log_snr(s)) - a
        second = ((d0 - d1) / (a - b) - (d1 - d2) / (b - c)) / (a - c)
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


# -- backends


def broken(like, **methods):
    backend = type(backend_of(like))()
    for name, method in methods.items():
        setattr(backend, name, method)
    return backend


NUMPY, TORCH = backend_of(N64), backend_of(T64)


class Correlated:
    """A generator half of whose variance all seeds share."""

    def __init__(self, seed):
        self.shared, self.own = DEFAULT_RNG(12345), DEFAULT_RNG(seed)

    def draw(self, shape):
        return 0.5**0.5 * (self.shared.standard_normal(shape) + self.own.standard_normal(shape))


def fails(*given):
    raise ZeroDivisionError


def not_implemented(*given):
    raise NotImplementedError("none")


def scaled(factor):
    return lambda g, s, like: NUMPY.normal(g, s, like) * factor


def equal_rows(g, s, like):
    return np.broadcast_to(NUMPY.normal(g, s[-1:], like), s).copy() if len(s) > 1 else NUMPY.normal(g, s, like)


def sign_changes(f, x):
    count = []

    def back(v):
        count.append(1)
        return torch.func.vjp(f, x)[1](v)[0] * (1 if len(count) == 1 else -1)

    return f(x), back


def euler(f, x, a, b, r, q):
    for i in range(200):
        x = x + (b - a) / 200 * f(x, float(a + (b - a) * i / 200))
    return x


def never_fails(f, x, a, b, r, q):
    try:
        return NUMPY.integrate(f, x, a, b, r, q)
    except FloatingPointError:
        return x


BACKEND_FAULTS = {
    "variance 1.02": (N64, dict(normal=scaled(1.02**0.5))),
    "variance 1.01": (N64, dict(normal=scaled(1.01**0.5))),
    "mean 0.02": (N64, dict(normal=lambda g, s, like: NUMPY.normal(g, s, like) + 0.02)),
    "uniform numbers": (N64, dict(normal=lambda g, s, like: (g.random(s) * 2 - 1) * 3**0.5)),
    "Laplace numbers": (N64, dict(normal=lambda g, s, like: g.laplace(size=s) / 2**0.5)),
    "tails cut at 3": (N64, dict(normal=lambda g, s, like: np.clip(NUMPY.normal(g, s, like), -3, 3))),
    "float32 for float64": (N64, dict(normal=lambda g, s, like: g.standard_normal(s, dtype=np.float32))),
    "no numbers without axes": (N64, dict(normal=lambda g, s, like: NUMPY.normal(g, s, like) if s else fails())),
    "no empty draw": (N64, dict(normal=lambda g, s, like: fails() if 0 in s else NUMPY.normal(g, s, like))),
    "the seed ignored": (N64, dict(generator=lambda seed, like: DEFAULT_RNG(0))),
    "no seed": (N64, dict(generator=lambda seed, like: DEFAULT_RNG())),
    "seeds 2k and 2k + 1 alike": (N64, dict(generator=lambda seed, like: DEFAULT_RNG(seed // 2))),
    "streams correlated": (
        N64,
        dict(
            generator=lambda seed, like: Correlated(seed),
            is_generator=lambda rng: isinstance(rng, Correlated),
            normal=lambda g, s, like: g.draw(s),
        ),
    ),
    "a generator that begins again": (N64, dict(normal=lambda g, s, like: DEFAULT_RNG(3).standard_normal(s))),
    "rows of a draw alike": (N64, dict(normal=equal_rows)),
    "lists are generators": (
        N64,
        dict(is_generator=lambda rng: isinstance(rng, (np.random.Generator, list, np.ndarray))),
    ),
    "to_numpy shares memory": (N64, dict(to_numpy=lambda x: x)),
    "from_numpy shares memory": (N64, dict(from_numpy=lambda x, like: x.astype(like.dtype, copy=False))),
    "from_numpy keeps integers": (
        N64,
        dict(from_numpy=lambda x, like: np.array(x, dtype=like.dtype if x.dtype.kind == "f" else x.dtype)),
    ),
    "from_numpy fails without axes": (
        N64,
        dict(from_numpy=lambda x, like: NUMPY.from_numpy(x, like) if x.ndim else fails()),
    ),
    "to_numpy fails on booleans": (
        N64,
        dict(to_numpy=lambda x: fails() if np.asarray(x).dtype == bool else np.array(x)),
    ),
    "to_numpy fails on what is recorded": (T64, dict(to_numpy=lambda x: x.numpy().copy())),
    "jvp off by 1e-6": (N64, dict(jvp=lambda f, x, v: (f(x), NUMPY.jvp(f, x, v)[1] * (1 + 1e-6)))),
    "jvp is not implemented": (N64, dict(jvp=not_implemented)),
    "Jᵀv for Jv": (T64, dict(jvp=lambda f, x, v: (f(x), torch.func.vjp(f, x)[1](v)[0]))),
    "no value where v = 0": (
        T64,
        dict(jvp=lambda f, x, v: (f(x) * float(abs(v).max() > 0), torch.func.jvp(f, (x,), (v,))[1])),
    ),
    "Jv for Jᵀv, a conjugated vjp": (T64, dict(vjp=lambda f, x: (f(x), lambda v: torch.func.jvp(f, (x,), (v,))[1]))),
    "vjp of the wrong sign": (T64, dict(vjp=lambda f, x: (f(x), lambda v: -torch.func.vjp(f, x)[1](v)[0]))),
    "vjp changes sign when asked again": (T64, dict(vjp=sign_changes)),
    "integrate ignores the tolerance": (
        N64,
        dict(integrate=lambda f, x, a, b, r, q: NUMPY.integrate(f, x, a, b, 1e-10, 1e-10)),
    ),
    "integrate rounds to float32": (
        N64,
        dict(integrate=lambda f, x, *given: NUMPY.integrate(f, x, *given).astype(np.float32).astype(np.float64)),
    ),
    "integrate by Euler steps": (N64, dict(integrate=euler)),
    "integrate steps beyond the end": (
        N64,
        dict(integrate=lambda f, x, a, b, r, q: 0 * f(x, 2.1) + NUMPY.integrate(f, x, a, b, r, q)),
    ),
    "integrate never fails": (N64, dict(integrate=never_fails)),
    "no_grad does nothing": (T64, dict(no_grad=contextlib.nullcontext)),
    "synchronize raises": (N64, dict(synchronize=fails)),
    "another name": (N64, dict(name="torch")),
    "a piece is missing": (N64, dict(integrate=None)),
    "nothing can be read": (N64, dict(concrete=lambda x: False)),
}
