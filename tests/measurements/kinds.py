"""Measurements of every kind, and some that break a law."""

import math

import numpy as np

from subspace_sde import LowPass
from subspace_sde.measurements import Blur, Dense, FourierMask, LinearMeasurement, Mask, Mixing, Pooling

SHAPE = (3, 4, 6)
SEEN = np.random.default_rng(0).integers(0, 2, (4, 6))
KINDS = {
    "dense": Dense(np.random.default_rng(0).standard_normal((5, 72)), SHAPE),
    "mask": Mask(SEEN, SHAPE),
    "mask of every channel": Mask(np.random.default_rng(1).integers(0, 2, SHAPE), SHAPE),
    "pooling": Pooling(SHAPE, (2, 3)),
    "pooling, the last axis first": Pooling(SHAPE, (3, 2), axes=(-1, -2)),
    "pooling of a signal": Pooling((8,), 4, axes=(-1,)),
    "blur": Blur(SHAPE, [0.1, 0.6, 0.3]),
    "blur of the channels": Blur(SHAPE, [0.1, 0.6, 0.3], axes=(-1, 0)),
    "Gaussian blur": Blur.gaussian(SHAPE, 0.8, axes=(-1,)),
    "grey": Mixing.greyscale(SHAPE),
    "mixing": Mixing(SHAPE, [[1.0, 0.0, 2.0, -1.0]], axis=1),
    "Fourier": FourierMask(SEEN, SHAPE),
    "odd Fourier": FourierMask([1, 0, 1, 0, 0], (2, 5)),
    "Fourier of all axes": FourierMask(np.ones(SHAPE), SHAPE),
    "blurred and pooled": Pooling(SHAPE, 2) @ Blur(SHAPE, [0.25, 0.5, 0.25]),
    "on a level": Mask(SEEN, SHAPE) @ LowPass(SHAPE, 3),
}


def matrix(measurement):
    d = math.prod(measurement.ambient_shape)
    rows = measurement.apply(np.eye(d).reshape(d, *measurement.ambient_shape))
    return rows.reshape(d, -1).T


class Squares(LinearMeasurement):
    def _apply(self, x, xp):
        return x * x

    def _adjoint(self, y, xp):
        return y


class Shifted(Squares):
    def _apply(self, x, xp):
        return x + 1


class WrongAdjoint(Squares):
    def _apply(self, x, xp):
        return 2 * x


class WrongGram(Squares):
    def _apply(self, x, xp):
        return x

    def _gram(self, y, xp):
        return 2 * y


class WrongScale(Squares):
    gram_scale = 2.0

    def _apply(self, x, xp):
        return x


class WrongShape(Squares):
    def _apply(self, x, xp):
        return x[..., :1]
