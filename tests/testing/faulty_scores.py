"""Scores with a fault each."""

import numpy as np

from subspace_sde import VE
from subspace_sde.oracles import Gaussian

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
