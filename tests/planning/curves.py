"""Candidates for a plan, data with a falling spectrum, and curves with a given crossing."""

import numpy as np

from subspace_sde import Basis, DivergenceCurve, Downsampling, LowPass, Wavelet
from subspace_sde.oracles import DCTGaussian

SHAPE = (8, 8)
CANDIDATES = [
    *(LowPass(SHAPE, n) for n in (1, 2, 3, 5, 6, 7)),
    LowPass(SHAPE, (4, 2)),
    Downsampling(SHAPE, 2),
    Downsampling(SHAPE, 4),
    Wavelet(SHAPE, "haar", 3),
    Basis(np.eye(64)[:, :40], SHAPE),
    Basis(np.eye(64)[:, :9], SHAPE),
]


def curve_to(sde, t, threshold):
    """A curve that meets the threshold at t exactly."""
    times = [s for s in (sde.t_min + (t - sde.t_min) / 2, t, t + (sde.T - t) / 2)]
    return DivergenceCurve(tuple(times), (threshold * 10, threshold, threshold / 10), sde=sde)


def spectrum(slope=3.0):
    frequency = np.sqrt(np.add.outer(np.arange(8.0) ** 2, np.arange(8.0) ** 2))
    return DCTGaussian(np.zeros(SHAPE), 1 / (1 + frequency) ** slope)
