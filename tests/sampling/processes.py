"""Processes of zero, one and two injections, the score of normal data, and a solver that writes down its steps."""

from subspace_sde import Downsampling, LowPass, NestedSubspaces, SubspaceSDE
from subspace_sde.solvers import SingleStep

NESTED = [
    NestedSubspaces([], ambient_shape=(5,)),
    NestedSubspaces([LowPass((5,), 3, axes=(-1,))]),
    NestedSubspaces([Downsampling((2, 3), 2, axes=(0,)), LowPass((1, 3), 2, axes=(-1,))]),
]


def make(sde, nested, mean=None):
    k = len(nested) - 1
    return SubspaceSDE(sde, nested, [sde.time_at_log_snr(v) for v in (0.5, -1.5)[:k]], (0.4, 0.7)[:k], mean)


def normal_score(sde):
    return lambda x, t: -x / (sde.alpha(t) ** 2 + sde.sigma(t) ** 2)


class Recorder(SingleStep):
    """A solver that writes down its steps and what it was handed."""

    def __init__(self):
        self.steps = []

    def step(self, x, t, s, score, sde, noise):
        self.steps.append((t, s, tuple(x.shape)))
        assert type(t) is float and noise().shape == x.shape
        score(x, t)
        return x
