"""Curves to draw, and what is read back from a picture."""

from types import SimpleNamespace

import numpy as np

from subspace_sde import EDM, VE, VP, DivergenceCurve, LowPass, NestedSubspaces

THRESHOLD = 3e-3
TIMES = tuple(np.linspace(0.1, 0.7, 7))


def falling(start, slope, times=TIMES, error=0.2, sde=None):
    values = 10 ** (start - slope * np.asarray(times))
    return DivergenceCurve(times, values, None if error is None else error * values, sde)


CURVES = {"8×8": falling(1.0, 8), "16×16": falling(0.2, 9), "flat": falling(0.0, 0.5, error=None)}


def lines(ax, label):
    """The one line whose entry in the legend starts like this."""
    (found,) = (line for line in ax.lines if line.get_label().startswith(label))
    return found


def make_plan(sizes, times, sde=None, shape=(3, 32, 32), **more):
    """Levels of the given edges, with the shares of a grid of infinitely many steps and the cost in pixels."""
    sde = VE() if sde is None else sde
    if sizes:
        nested = NestedSubspaces.from_subspaces([LowPass(shape, n) for n in sizes])
    else:
        nested = NestedSubspaces([], ambient_shape=shape)
    u = [sde.grid_parameter(t) for t in (sde.t_min, *times, sde.T)]
    shares = [(b - a) / (u[-1] - u[0]) for a, b in zip(u, u[1:])]
    cost = sum(share * level.dim / nested[0].dim for share, level in zip(shares, nested))
    return SimpleNamespace(
        **{"sde": sde, "subspaces": nested, "times": times, "shares": shares, "cost": cost, "threshold": 3e-3, **more}
    )


PLANS = [
    make_plan([], (), threshold=None),
    make_plan([16], (0.516,)),
    make_plan([20, 8], (0.415, 0.485), VP()),
    make_plan([24, 20, 16, 12, 8, 4], (0.1, 0.15, 0.2, 0.3, 0.4, 0.6), EDM()),
    make_plan([24, 23, 22, 4], (0.5, 0.51, 0.52, 0.98)),
    make_plan([3], (0.9,), shape=(12, 20)),
]
