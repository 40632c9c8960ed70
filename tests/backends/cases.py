"""What the package does with arrays, one case after another: every library runs it, compiled and differentiated.

`tests.backends.cases_of_data` has those of data and observations.

A case is a function of a `Kind` and one array x. Random numbers are numpy's, whatever the library (`same_noise`), so
that float64 numpy is the reference of all.
"""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from subspace_sde import (
    EDM,
    VE,
    VP,
    Basis,
    Downsampling,
    Identity,
    LowPass,
    NestedSubspaces,
    PatchBasis,
    RectifiedFlow,
    SubspaceSDE,
    SubVP,
    Wavelet,
    sample,
)
from subspace_sde import scores as adapters
from subspace_sde.arrays import over, sqrt
from subspace_sde.losses import denoising_score_matching, edm, likelihood
from subspace_sde.oracles import DCTGaussian, Empirical, Gaussian, LowRankGaussian, Mixture
from subspace_sde.sampling import Start
from subspace_sde.sdes import IsotropicSDE
from subspace_sde.solvers import (
    DDIM,
    Ancestral,
    DPMSolver,
    EulerMaruyama,
    Heun,
    Langevin,
    PredictorCorrector,
    ReverseDiffusion,
)
from subspace_sde.subspaces import Separable
from tests.backends.registry import Kind, add, numbers

# -- subspaces --------------------------------------------------------------------------------------------------------

SHAPE = (2, 4, 6)
halves = np.linalg.qr(numbers(8, 3))[0]
SUBSPACES = {
    "Identity": Identity(SHAPE),
    "Downsampling": Downsampling(SHAPE, (1, 3)),
    "LowPass": LowPass(SHAPE, (3, 5)),
    "Wavelet": Wavelet(SHAPE, "db2"),
    "PatchBasis": PatchBasis(SHAPE, 2, halves),
    "Basis": Basis(np.linalg.qr(numbers(48, 5))[0], SHAPE),
    "Separable": Separable(SHAPE, {-3: np.linalg.qr(numbers(2, 1))[0]}),
    "Composition": Downsampling(SHAPE, 2) @ LowPass((2, 2, 3), 2),
    "a long LowPass": LowPass((601,), 302, axes=(-1,)),
    "a long Wavelet": Wavelet((1032,), "db2", 3, axes=(-1,)),
    "Relative": Downsampling(SHAPE, 2).within(Wavelet(SHAPE, "haar", 1)),
}
for name, subspace in SUBSPACES.items():
    for method in ("restrict", "embed", "project", "reject"):
        shape = subspace.shape if method == "embed" else subspace.ambient_shape
        add(
            "subspaces",
            f"{name}.{method}",
            lambda kind, x, u=subspace, m=method: getattr(u, m)(x),
            numbers(3, 1, *shape),
        )

# -- SDEs -------------------------------------------------------------------------------------------------------------


class Bisected(IsotropicSDE):
    """A flow whose log-SNR is inverted by bisection."""

    def __init__(self) -> None:
        super().__init__(0.01, 0.99)

    def alpha(self, t: Any) -> Any:
        return 1 - t

    def sigma(self, t: Any) -> Any:
        return 1.0 * t

    def f(self, t: Any) -> Any:
        return -1 / (1 - t)

    def g(self, t: Any) -> Any:
        return sqrt(2 * t / (1 - t))


SDES = {
    "VE": VE(),
    "VP": VP(),
    "SubVP": SubVP(),
    "EDM": EDM(),
    "RectifiedFlow": RectifiedFlow(),
    "Bisected": Bisected(),
}
for name, sde in SDES.items():
    inside = np.linspace(sde.t_min, sde.T, 8)[1:-1].reshape(2, 3)
    for curve in ("alpha", "sigma", "f", "g", "log_snr"):
        add("SDEs", f"{name}.{curve}", lambda kind, t, s=sde, c=curve: getattr(s, c)(t), inside)
    add(
        "SDEs",
        f"{name}.time_at_log_snr",
        lambda kind, v, s=sde: s.time_at_log_snr(v),
        np.vectorize(sde.log_snr)(inside),
    )

# -- the process ------------------------------------------------------------------------------------------------------


def process(sde: IsotropicSDE = VE(0.01, 10.0), mean: bool = False) -> SubspaceSDE:  # noqa: B008
    nested = NestedSubspaces([Downsampling((2, 4, 4), 2), LowPass((2, 2, 2), 1)])
    times = [sde.t_min + share * (sde.T - sde.t_min) for share in (0.4, 0.7)]
    return SubspaceSDE(sde, nested, times, [0.5, 0.7], np.linspace(-1, 1, 32).reshape(2, 4, 4) if mean else None)


def normal_scores(p: SubspaceSDE) -> list[Any]:
    """Of N(0, I) on every level, bent a little, so that they are not linear."""
    xp = array_api_compat.array_namespace

    def of(n: int) -> Any:
        return lambda x, t: (0.1 * xp(x).sin(x) - x) / over(p.sde.alpha(t) ** 2 + p.sde.sigma(t) ** 2, x, n)

    return [of(len(u.shape)) for u in p.subspaces]


WHOLE = numbers(4, 2, 4, 4)
MIXED = [0.9, 0.2, 0.5, 0.8]
for mean in (False, True):
    p, about = process(mean=mean), " about a mean" if mean else ""
    for t in (0.2, 0.9):
        add("process", f"perturb to {t}{about}", lambda kind, x, p=p, t=t: p.perturb(x, t, kind.rng(1)), WHOLE)
        add("full score", f"at {t}{about}", lambda kind, x, p=p, t=t: p.full_score(normal_scores(p))(x, t), WHOLE)
    add("process", f"perturb to several{about}", lambda kind, x, p=p: p.perturb(x, kind(MIXED), kind.rng(1)), WHOLE)
    add("process", f"path{about}", lambda kind, x, p=p: p.path(x, [0.1, 0.5, 0.9], kind.rng(2)), WHOLE)
    add("process", f"inject{about}", lambda kind, z, p=p: p.inject(z, 2, kind.rng(1)), numbers(3, *p.shape(2)))
    add(
        "full score",
        f"at several times{about}",
        lambda kind, x, p=p: p.full_score(normal_scores(p))(x, kind(MIXED)),
        WHOLE,
    )
    add(
        "full score",
        f"of a level{about}",
        lambda kind, x, p=p: p.full_score(normal_scores(p), level=1)(x, kind([0.45, 0.5, 0.55, 0.6])),
        WHOLE,
    )
P, VARIANCE_PRESERVING = process(), process(VP(), mean=True)
add("full score", "by its times", lambda kind, t: P.full_score(normal_scores(P))(kind(WHOLE), t), np.asarray(MIXED))
add(
    "full score",
    "of a level by its time",
    lambda kind, t: P.full_score(normal_scores(P), level=1)(kind(WHOLE), t),
    np.asarray(0.5),
)
add("process", "complement_variance", lambda kind, t: P.complement_variance(2, t), np.asarray(MIXED))
add("process", "drift", lambda kind, x: VARIANCE_PRESERVING.drift(x, kind(MIXED)), WHOLE)
add("process", "diffusion", lambda kind, x: P.diffusion(x, kind(MIXED)), WHOLE)
add("process", "level", lambda kind, t: kind.xp.astype(P.level(t), t.dtype), np.asarray(MIXED), smooth=False)

# -- losses, scores ---------------------------------------------------------------------------------------------------

for name, weighting in {"sigma_squared": None, "likelihood": likelihood, "edm": edm(0.5)}.items():
    more = () if weighting is None else (weighting,)
    add(
        "losses",
        name,
        lambda kind, x0, more=more: denoising_score_matching(
            lambda x, t: -0.5 * x, x0, kind([0.1, 0.4, 0.6, 0.9]), VP(), kind.rng(3), *more
        ),
        WHOLE,
    )
add(
    "losses",
    "by t",
    lambda kind, t: denoising_score_matching(lambda x, t: -0.5 * x, kind(WHOLE), t, VP(), kind.rng(3)),
    np.asarray(MIXED),
)

half = lambda x, t: 0.5 * x  # noqa: E731
ADAPTED = {
    **{name: getattr(adapters, name)(half, VP()) for name in adapters.__all__ if name.startswith("from_")},
    "denoiser": adapters.denoiser(half, VP()),
    "probability_flow": adapters.probability_flow(half, VP()),
    "precondition": adapters.precondition(half, VP(), 0.5, 0.1),
    "change_process": adapters.change_process(half, VP(), VE(0.02, 3.0), 2.0, 0.5),
    "at_level": adapters.at_level(half, VE(), LowPass((2, 6, 6), 4)),
}
for name, adapted in ADAPTED.items():
    add("scores", name, lambda kind, x, f=adapted: f(x, kind([0.3, 0.4, 0.5, 0.6])), WHOLE)
    add("scores", f"{name} by t", lambda kind, t, f=adapted: f(kind(WHOLE), t), np.asarray(0.4))


def labelled(x: Any, t: Any, c: Any) -> Any:
    return array_api_compat.array_namespace(x).reshape(c, (-1, *(1,) * (x.ndim - 1))) - x


guided = adapters.guided(labelled, 2.0, 0)
add("scores", "guided", lambda kind, x: guided(x, 0.5, kind([1, 2, 3, 4])), WHOLE)

# -- solvers and sampling ---------------------------------------------------------------------------------------------

STEPS = {
    "EulerMaruyama": EulerMaruyama(),
    "Heun": Heun(),
    "DDIM": DDIM(),
    "DDIM with noise": DDIM(0.5),
    "Ancestral": Ancestral(),
    "ReverseDiffusion": ReverseDiffusion(),
    "PredictorCorrector": PredictorCorrector(),
}


NOISE = numbers(4, 2, 4, 4, seed=1)


def draw(kind: Kind) -> Any:
    return lambda: kind(NOISE)


for name, solver in STEPS.items():
    for which, sde in {"VE": VE(0.01, 10.0), "VP": VP()}.items():
        score = normal_scores(process(sde))[0]
        add(
            "a solver's step",
            f"{name} on {which}",
            lambda kind, x, s=solver, f=score, sde=sde: s.step(x, 0.6, 0.5, f, sde, draw(kind)),
            WHOLE,
        )
        add(
            "a solver's step",
            f"{name} on {which}, by its time",
            lambda kind, t, s=solver, f=score, sde=sde: s.step(kind(WHOLE), t, 0.9 * t, f, sde, draw(kind)),
            np.asarray(0.6),
        )
SAMPLED = {
    **STEPS,
    "Heun with churn": Heun(churn=0.2),
    "DPMSolver": DPMSolver(2),
    "DPMSolver(3)": DPMSolver(3, eta=1.0),
}


def drawn(kind: Kind, c: Any, solver: Any = None, p: SubspaceSDE = P, **options: Any) -> Any:
    """Samples as a function of a parameter of the scores."""
    scores = [lambda x, t, *_, s=s: over(c, x, x.ndim) * s(x, t) for s in normal_scores(p)]
    return sample(p, scores, 4, solver, steps=7, rng=kind.rng(1), like=kind.like, **options).x


for name, solver in SAMPLED.items():
    add("sampling", name, lambda kind, c, s=solver: drawn(kind, c, s), np.asarray(0.9))
add("sampling", "from given noise", lambda kind, x: drawn(kind, 0.9, Heun(), noise=x, denoise=True), 10 * WHOLE)
add("sampling", "in chunks", lambda kind, c: drawn(kind, c, p=VARIANCE_PRESERVING, chunk=3), np.asarray(0.9))
add("sampling", "with Langevin steps", lambda kind, c: drawn(kind, c, langevin=Langevin(2)), np.asarray(0.9))
add("sampling", "with labels", lambda kind, c: drawn(kind, c, condition=kind([1, 2, 3, 4]), chunk=2), np.asarray(0.9))
add("sampling", "from a start", lambda kind, x: drawn(kind, 0.9, start=Start(x, level=1)), numbers(4, 2, 2, 2))

# -- data whose score is known ----------------------------------------------------------------------------------------

_root = numbers(32, 32, seed=5) / 6
NORMAL = Gaussian(np.linspace(-0.5, 0.5, 32).reshape(2, 4, 4), _root @ _root.T + 0.2 * np.eye(32))
ORACLES = {
    "Gaussian": NORMAL,
    "DCTGaussian": DCTGaussian(np.zeros((2, 4, 4)), 1 / np.arange(1, 33).reshape(2, 4, 4)),
    "LowRankGaussian": LowRankGaussian(np.zeros((2, 4, 4)), numbers(32, 3), 0.3),
    "Mixture": Mixture([0.4, 0.6], [NORMAL, Gaussian(np.ones((2, 4, 4)), np.eye(32))]),
    "Empirical": Empirical(numbers(9, 2, 4, 4, seed=3)),
}
for name, oracle in ORACLES.items():
    group = "a Gaussian of low rank" if name == "LowRankGaussian" else "oracles"
    add(group, f"{name}.score", lambda kind, x, o=oracle: o.score(VP())(x, 0.5), WHOLE)
    add(group, f"{name}.score at times", lambda kind, x, o=oracle: o.score(VP())(x, kind(MIXED)), WHOLE)
    add(group, f"{name}.log_density", lambda kind, x, o=oracle: o.log_density(x, kind(MIXED), VP()), WHOLE)
    add(group, f"{name}.vjp", lambda kind, v, o=oracle: o.score(VP()).vjp(kind(WHOLE), 0.5, v), numbers(4, 2, 4, 4))
    add(
        "drawing from oracles",
        name,
        lambda kind, t, o=oracle: o.sample_at(t, VE(), 4, 1, kind.like),
        np.asarray(0.3),
        traced=False,
    )
