"""One process of test_moments.test_reduce_across_processes: takes in its part, reduces, writes what it has."""

import sys
from pathlib import Path

import numpy as np
import torch.distributed as dist

from subspace_sde import Downsampling, LowPass, Subspace
from subspace_sde.statistics import ComplementEnergies, Covariance, PatchCovariance, PowerSpectrum

SHAPE = (2, 4, 6)
out = Path(sys.argv[1])
dist.init_process_group("gloo")
rank = dist.get_rank()
x = 7 + np.random.default_rng(0).standard_normal((50, *SHAPE))
if rank == 0:
    np.save(out / "x.npy", x)
mine = (x[:15], x[15:15], x[15:])[rank]
covariance = Covariance(SHAPE).update(mine).reduce()
energies = ComplementEnergies([Downsampling(SHAPE, 2), LowPass(SHAPE, (2, 3))]).update(mine).reduce()


class First(Subspace):
    """A subspace of nobody's but this script."""

    def _restrict(self, x, xp):
        return x[..., :1]

    def _embed(self, z, xp):
        return xp.concat([z, xp.zeros((*z.shape[:-1], 5), dtype=z.dtype)], axis=-1)


own = ComplementEnergies([First(SHAPE, (2, 4, 1))]).update(mine).reduce()
refusals = []
for one, other in (
    (Covariance(SHAPE), Covariance((8, 6))),
    (Covariance(SHAPE), PowerSpectrum(SHAPE)),
    (PatchCovariance(SHAPE, 2), PatchCovariance(SHAPE, (1, 3))),
    (ComplementEnergies([LowPass(SHAPE, (2, 3))]), ComplementEnergies([Downsampling(SHAPE, 2)])),
):
    try:
        (other if rank else one).update(np.ones((rank, *(other if rank else one).shape))).reduce()
    except ValueError as error:
        refusals.append(str(error))
np.savez(
    out / f"{rank}.npz",
    covariance=covariance.result(),
    mean=covariance.mean,
    energies=energies.result(),
    samples=covariance.samples,
    refusals=refusals,
    own=own.result()[0],
)
dist.destroy_process_group()
