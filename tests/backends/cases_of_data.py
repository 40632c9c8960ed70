"""What the package does with data and observations; see `tests.backends.cases`."""

from typing import Any

import numpy as np

from subspace_sde import VE, Downsampling, LowPass, SubspaceSDE, orthogonal_fisher_divergence, switch_times
from subspace_sde.likelihood import Exact, FullScore, decode, encode, interpolate, latent_parts, log_likelihood
from subspace_sde.measurements import Blur, Dense, FourierMask, Mask, Mixing, Pooling
from subspace_sde.oracles import DCTGaussian
from subspace_sde.posterior import DPS, Observation, PiGDM, Replacement, sample_posterior
from subspace_sde.solvers import DormandPrince, DPMSolver
from subspace_sde.statistics import Covariance, PatchCovariance, PowerSpectrum, rmsd
from tests.backends.cases import NOISE, NORMAL, WHOLE, P
from tests.backends.registry import CASES, Kind, add, numbers

# -- what is read to the host -----------------------------------------------------------------------------------------


def scores_of(p: SubspaceSDE) -> list[Any]:
    return [NORMAL.restrict(u).score(p.sde) for u in p.subspaces]


def divergence(kind: Kind, x: Any, **options: Any) -> Any:
    subspaces = [Downsampling((2, 4, 4), 4)]
    (curve,) = orthogonal_fisher_divergence(NORMAL.score(P.sde), x, P.sde, subspaces, [0.3, 0.8], rng=4, **options)
    return np.asarray([curve.values, curve.stderr])


def crossing(kind: Kind, x: Any) -> Any:
    data = DCTGaussian(np.zeros(16), 1 / np.arange(1, 17) ** 2)
    (found,) = switch_times(data.score(VE()), x, VE(), [LowPass((16,), 8, axes=(-1,))], 3e-3, stderr=0.02)
    return np.asarray(found.t)


DATA = numbers(20, 2, 4, 4, seed=9) + 3
add("divergence", "about the origin", divergence, DATA, traced=False)
add("divergence", "about the mean", lambda kind, x: divergence(kind, x, center=True), DATA, traced=False)
add(
    "divergence",
    "within another",
    lambda kind, x: divergence(kind, x, within=Downsampling((2, 4, 4), 2)),
    DATA,
    traced=False,
)
add("divergence", "switch_times", crossing, numbers(100, 16) / np.arange(1, 17), traced=False, tolerance=10.0)
add("statistics", "Covariance", lambda kind, x: Covariance((2, 4, 4)).update(x).result(), DATA, traced=False)
add(
    "statistics",
    "PatchCovariance",
    lambda kind, x: PatchCovariance((2, 4, 4), 2).update(x).result(),
    DATA,
    traced=False,
)
add("statistics", "PowerSpectrum", lambda kind, x: PowerSpectrum((2, 4, 4)).update(x).result(), DATA, traced=False)
add("statistics", "rmsd", lambda kind, x: np.asarray(rmsd(Downsampling((2, 4, 4), 2), x)), DATA, traced=False)
add(
    "statistics",
    "fit",
    lambda kind, x: np.asarray(SubspaceSDE.fit(VE(), P.subspaces, [0.4, 0.7], x, True).complement_variances),
    DATA,
    traced=False,
)


def nats(kind: Kind, x: Any, **options: Any) -> Any:
    return log_likelihood(P, scores_of(P), x, steps=7, rng=5, **options).nats


add("likelihood", "staged", nats, WHOLE, traced=False)
add(
    "likelihood",
    "of the full score",
    lambda kind, x: nats(kind, x, form=FullScore(), trace=Exact()),
    WHOLE,
    traced=False,
)
add("encoding", "encode", lambda kind, x: encode(P, scores_of(P), x, steps=7), WHOLE)
add("encoding", "decode", lambda kind, z: decode(P, scores_of(P), z, DPMSolver(3), steps=7), WHOLE)
add("encoding", "latent_parts", lambda kind, z: latent_parts(P, z)[1], WHOLE)
add("encoding", "interpolate", lambda kind, z: interpolate(z, kind(NOISE), [0.0, 0.3, 1.0]), WHOLE)

add(
    "adaptive steps",
    "encode",
    lambda kind, x: encode(P, scores_of(P), x, DormandPrince(1e-4, 1e-4)),
    WHOLE,
    traced=False,
    tolerance=1e4,
)

# -- measurements and posteriors --------------------------------------------------------------------------------------

every_third = np.arange(16).reshape(4, 4) % 3
MEASUREMENTS = {
    "Mask": Mask(every_third > 0, (2, 4, 4)),
    "FourierMask": FourierMask(every_third == 0, (2, 4, 4)),
    "Blur": Blur((2, 4, 4), [0.25, 0.5, 0.25]),
    "Pooling": Pooling((2, 4, 4), 2),
    "Mixing": Mixing((2, 4, 4), [[0.3, 0.7]]),
    "Dense": Dense(numbers(5, 32), (2, 4, 4)),
}
for name, a in MEASUREMENTS.items():
    add("measurements", f"{name}.apply", lambda kind, x, a=a: a.apply(x), WHOLE)
    add("measurements", f"{name}.adjoint", lambda kind, y, a=a: a.adjoint(y), numbers(3, *a.shape))


def posterior(kind: Kind, y: Any, a: str, method: Any, noise: float = 0.5, **options: Any) -> Any:
    observation = Observation(MEASUREMENTS[a], y, noise)
    return sample_posterior(P, scores_of(P), observation, 3, method, steps=5, rng=3, **options).x


BLOCKS, SEEN = (MEASUREMENTS[name].apply(WHOLE[0]) for name in ("Pooling", "Mask"))
add("posteriors", "PiGDM", lambda kind, y: posterior(kind, y, "Pooling", PiGDM()), BLOCKS, traced=False)
add(
    "posteriors",
    "PiGDM in full",
    lambda kind, y: posterior(kind, y, "Pooling", PiGDM(), full=True),
    BLOCKS,
    traced=False,
)
add("posteriors", "PiGDM, large", lambda kind, y: posterior(kind, y, "Mask", PiGDM(), largest=1), SEEN, traced=False)
add("posteriors", "DPS", lambda kind, y: posterior(kind, y, "Pooling", DPS(0.01), 1.0), BLOCKS, traced=False)
add("posteriors", "Replacement", lambda kind, y: posterior(kind, y, "Mask", Replacement(), 0.0), SEEN, traced=False)

GROUPS = list(dict.fromkeys(case.group for case in CASES))
