"""A process of three levels whose data are standard normal numbers."""

from subspace_sde import VE, Downsampling, NestedSubspaces, SubspaceSDE

SDE = VE()
NESTED = NestedSubspaces([Downsampling((3, 4, 6), 2), Downsampling((3, 2, 3), 3, axes=(-1,))])
PROCESS = SubspaceSDE(SDE, NESTED, [0.4, 0.6], [0.4, 0.7])


def normal(x, t):
    return -x / (1 + SDE.sigma(t) ** 2)


SCORES = [normal] * 3
