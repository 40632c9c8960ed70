"""Subspaces with a fault each."""

import numpy as np
import torch

from subspace_sde import Basis, LowPass
from subspace_sde.backend import Constant

N64, N32, T64 = np.zeros(()), np.zeros((), np.float32), torch.zeros((), dtype=torch.float64)
SHAPE = (3, 8, 8)
DEFAULT_RNG = np.random.default_rng


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
    rounded = np.float32

    def __init__(self):
        super().__init__()
        self._u = Constant(LowPass(SHAPE, 4).matrix().astype(self.rounded).astype(np.float64))

    def _restrict(self, x, xp):
        batch = x.shape[: x.ndim - 3]
        return xp.reshape(xp.reshape(x, (*batch, self.ambient_dim)) @ self._u.like(x), (*batch, *self.shape))

    def _embed(self, z, xp):
        batch = z.shape[: z.ndim - 3]
        flat = xp.reshape(z, (*batch, self.dim)) @ xp.matrix_transpose(self._u.like(z))
        return xp.reshape(flat, (*batch, *self.ambient_shape))


class CoarseConstant(RoundedConstant):
    rounded = np.float16


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
