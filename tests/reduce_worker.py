"""One process of test_moments.test_reduce_across_processes: takes in its part, reduces, writes what it has."""

import sys
from pathlib import Path

import numpy as np
import torch.distributed as dist

from subspace_sde import Downsampling, LowPass
from subspace_sde.complement import ComplementEnergies
from subspace_sde.moments import Covariance

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
np.savez(
    out / f"{rank}.npz",
    covariance=covariance.result(),
    mean=covariance.mean,
    energies=energies.result(),
    samples=covariance.samples,
)
dist.destroy_process_group()
