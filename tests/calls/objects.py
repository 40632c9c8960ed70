"""What the calls are made of."""

import tempfile
from pathlib import Path

import numpy as np

from subspace_sde import (
    VE,
    DivergenceCurve,
    NestedSubspaces,
    SubspaceSDE,
    gaussian_divergence,
    images,
    measurements,
    oracles,
    plan,
    posterior,
    subspaces,
)
from subspace_sde.divergence import LevelError

RNG = np.random.default_rng(0)
DATA = RNG.standard_normal((64, 4, 4))
HALF = subspaces.Downsampling((4, 4), 2)
NESTED = NestedSubspaces([HALF])
NORMAL = oracles.Gaussian(np.zeros((4, 4)), np.eye(16))
PROCESS = SubspaceSDE(VE(), NESTED, [0.5], [1.0])
SCORES = [NORMAL.restrict(u).score(VE()) for u in NESTED]
CURVES = gaussian_divergence(NORMAL, VE(), [HALF, subspaces.Downsampling((4, 4), 4)], [0.2, 0.5, 0.8])
PLAN = plan([HALF], [DivergenceCurve((0.1, 0.9), (1.0, 1e-4), sde=VE())], 3e-3)
ERROR = LevelError((0.1, 0.9), (1.0, 1e-4), *((0.1, 0.1),) * 3, sde=VE())
Q = np.linalg.qr(RNG.standard_normal((16, 4)))[0]
POOL = measurements.Pooling((4, 4), 2)
SEEN = posterior.Observation(POOL, np.zeros((2, 2)), 0.1)
PICTURES = images.Images("noise", *(RNG.integers(0, 255, (n, 3, 8, 8)).astype(np.uint8) for n in (500, 10)))
FOLDER = Path(tempfile.mkdtemp())
ARRAY = FOLDER / "noise.npy"
np.save(ARRAY, DATA)
PROCESS.save(FOLDER / "process.json")
X = DATA[:3]


def white(x, t):  # of arrays of any size
    return -x / (1 + VE().sigma(0.5) ** 2)


def conditional(x, t, condition):
    return -x
