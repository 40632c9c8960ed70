"""Data near a plane of R^64, and how far the output of Algorithm 1 is from them, for every projection time t_1.

The data are y in the plane, a tilt A y out of it, and anisotropic noise: the complement is neither isotropic nor
independent of x_1, so its Gaussian model (eq. 9) is wrong at small t, and better and better as σ(t) covers it. All
scores are exact (`subspace_sde.oracles`): what is measured is the subspace, the time and the solver, and no network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from subspace_sde import (
    VE,
    Basis,
    DivergenceCurve,
    NestedSubspaces,
    SubspaceSDE,
    orthogonal_fisher_divergence,
    sample,
)
from subspace_sde.arrays import Score
from subspace_sde.oracles import Gaussian, Mixture
from subspace_sde.sampling import stage_times
from subspace_sde.solvers import EulerMaruyama, Heun, Solver

Matrix: TypeAlias = np.ndarray[Any, Any]

SOLVERS: dict[str, Solver] = {"SDE": EulerMaruyama(), "ODE": Heun()}
TIMES = tuple(np.linspace(0.02, 0.7, 35).tolist())  # of the D_F curves
SWEEP = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.6)  # the t_1 that are tried beside the planned one


class NearPlane:
    """x = U y + V (A y + ε): four petals y in a random plane, tilted out of it, with noise ε of 0.02 to 0.1.

    The tilt A sends the plane into the two directions with the least noise.

    Attributes
    ----------
    plane, complement: U (d, 2) and V (d, d − 2), orthonormal.
    covariance: (d, d), of x; its mean is zero.

    >>> data = NearPlane(seed=0)
    >>> data.draw(3, np.random.default_rng(0)).shape
    (3, 64)
    """

    def __init__(self, seed: int, dim: int = 64, petals: int = 4, tilt: float = 0.1) -> None:
        rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((dim, dim)))[0]
        self.plane, self.complement = rotation[:, :2], rotation[:, 2:]
        self.noise_std = np.geomspace(0.02, 0.1, dim - 2)
        self._sheet = self.plane + tilt * self.complement[:, :2]
        angles = 2 * np.pi * np.arange(petals) / petals
        self._centres = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        turned = angles + 0.6
        axes = np.stack([[np.cos(turned), -np.sin(turned)], [np.sin(turned), np.cos(turned)]]).transpose(2, 0, 1)
        self._spread = axes * [0.25, 0.07]  # factors: y − centre = spread @ z
        within = self._spread @ self._spread.transpose(0, 2, 1)
        outer = self._centres[:, :, None] * self._centres[:, None, :]
        self._noise_covariance = (self.complement * self.noise_std**2) @ self.complement.T
        self._within = [self._covariance(w) for w in within]
        self.covariance = self._covariance((within + outer).mean(axis=0))

    def draw(self, num: int, rng: np.random.Generator) -> Matrix:
        """Exact draws (num, d), made as the formula says and not by the oracle."""
        petal = rng.integers(len(self._centres), size=num)
        y = self._centres[petal] + np.einsum("nij,nj->ni", self._spread[petal], rng.standard_normal((num, 2)))
        noise = rng.standard_normal((num, len(self.noise_std))) * self.noise_std
        x: Matrix = y @ self._sheet.T + noise @ self.complement.T
        return x

    def mixture(self) -> Mixture:
        """The law of x."""
        petals = [Gaussian(self._sheet @ c, w) for c, w in zip(self._centres, self._within)]
        return Mixture([1 / len(petals)] * len(petals), petals)

    def gaussian(self) -> Gaussian:
        """The Gaussian with the mean and covariance of x: for it, the law of a sampler's output is known exactly."""
        return Gaussian(np.zeros(len(self.covariance)), self.covariance)

    def _covariance(self, in_plane: Matrix) -> Matrix:
        covariance: Matrix = self._sheet @ in_plane @ self._sheet.T + self._noise_covariance
        return (covariance + covariance.T) / 2


def learned_plane(x: Matrix) -> Basis:
    """The plane of the two largest singular values of the data x (N, d)."""
    return Basis.spanning(np.linalg.svd(x, full_matrices=False)[2][:2].T)


def output_covariance(process: SubspaceSDE, scores: Sequence[Score], solver: Solver, steps: int) -> Matrix:
    """The covariance of what `sample` returns, without drawing a sample, where the scores are linear in x.

    Then a step is x → x A + z B, and A and B are what it makes of unit vectors. The steps are those of `sample`.
    """
    covariance = np.zeros((0, 0))
    for k, times in reversed(list(enumerate(stage_times(process, steps)))):
        n = process.subspaces[k].dim
        if k == process.K:
            covariance = process.sde.prior_std**2 * np.eye(n)
        else:
            u = process.subspaces.steps[k].matrix()
            injected = process.complement_variance(k + 1, process.times[k])
            covariance = u @ covariance @ u.T + injected * (np.eye(n) - u @ u.T)
        x, z = np.eye(2 * n)[:, :n], np.eye(2 * n)[:, n:]
        for t, s in zip(times.tolist(), times.tolist()[1:]):
            [(_, step)] = solver.stage(x, [t, s], scores[k], process.sde, _always(z))
            covariance = step[:n].T @ covariance @ step[:n] + step[n:].T @ step[n:]
    return covariance


def _always(z: Matrix) -> Callable[[], Matrix]:
    return lambda: z


def kl_divergence(p: Matrix, q: Matrix) -> float:
    """KL(N(0, p) ‖ N(0, q)) in nats, for covariances p and q."""
    ratio = np.linalg.solve(q, p)
    return 0.5 * float(np.trace(ratio) - len(p) - np.linalg.slogdet(ratio)[1])


class WhitenedDistance:
    """Sliced Wasserstein distance (order 2) to one set of exact draws, in coordinates where the data's covariance is I.

    Without the whitening the plane, ten times wider than the noise around it, would be all that counts. `floor` is the
    distance to it of further sets of exact draws: what a perfect sampler shows. All sets have the same size, so that
    the optimal coupling along a direction matches the sorted values.
    """

    def __init__(self, covariance: Matrix, draw: Callable[[np.random.Generator], Matrix], seed: int, sets: int) -> None:
        rng = np.random.default_rng((seed, 1))
        directions = rng.standard_normal((len(covariance), 128))
        directions = directions / np.linalg.norm(directions, axis=0)
        self.projection: Matrix = np.linalg.inv(np.linalg.cholesky(covariance)).T @ directions
        self._reference = self._sorted(draw(rng))
        self.floor = tuple(self(draw(rng)) for _ in range(sets))

    def __call__(self, x: Matrix) -> float:
        return float(np.sqrt(np.mean((self._sorted(x) - self._reference) ** 2)))

    def _sorted(self, x: Matrix) -> Matrix:
        return np.sort((x @ self.projection).T, axis=-1)


@dataclass(frozen=True)
class Row:
    """One projection time; `t_1` None is the full reverse diffusion. Errors are by solver: "SDE" and "ODE"."""

    t_1: float | None
    divergence: float | None
    kl: dict[str, float]  # of the output from the data, the Gaussian with the data's covariance
    distance: dict[str, float]  # of the mixture's samples
    small_share: float  # of the steps, those in the plane
    cost: float  # coordinates that the scores were called on, over the full diffusion's


@dataclass(frozen=True)
class Comparison:
    """All that `compare` finds.

    Attributes
    ----------
    curves: D_F for the "mixture" and the "Gaussian".
    full, planned: the full diffusion, and t_1 where the mixture's D_F meets `threshold`.
    rows: every t_1, the planned one among them, in order.
    floor: distances of exact draws.
    clouds: the mixture's "data", and samples by the SDE: "full", "planned" and "early"; in the basis (U, V).
    """

    curves: dict[str, DivergenceCurve]
    threshold: float
    full: Row
    planned: Row
    rows: list[Row]
    floor: tuple[float, ...]
    clouds: dict[str, Matrix]


def compare(
    data: NearPlane,
    seed: int = 0,
    num: int = 1000,
    steps: int = 100,
    threshold: float = 3e-3,
    learn: bool = False,
    sweep: Sequence[float] = SWEEP,
    progress: Callable[[Sequence[float | None]], Any] = iter,
) -> Comparison:
    """Every t_1 of `sweep`, the one where D_F meets `threshold`, and the full space: same steps, same seeds.

    Parameters
    ----------
    num: samples in each set.
    learn: take the plane from the singular vectors of data instead of the true one.
    progress: wraps the list of runs (tqdm, say).

    Raises ValueError where D_F never stays below the threshold, or for too few steps.
    """
    sde, dim = VE(), len(data.covariance)
    rng = np.random.default_rng((seed, 0))
    x = data.draw(num, rng)
    plane = learned_plane(x) if learn else Basis.spanning(data.plane)
    nested, whole = NestedSubspaces([plane]), NestedSubspaces([], ambient_shape=(dim,))
    laws: dict[str, Mixture | Gaussian] = {"mixture": data.mixture(), "Gaussian": data.gaussian()}
    curves = {
        name: orthogonal_fisher_divergence(law.score(sde), x, sde, [plane], TIMES, seed)[0]
        for name, law in laws.items()
    }
    t_1 = curves["mixture"].time_at(threshold)
    scores = {name: [law.score(sde), law.restrict(plane).score(sde)] for name, law in laws.items()}
    # a sampler aims at p(x, t_min): the data with a last trace of noise
    end = float(sde.sigma(sde.t_min))
    target = data.covariance + end**2 * np.eye(dim)

    def exact(rng: np.random.Generator) -> Matrix:
        noise: Matrix = end * rng.standard_normal((num, dim))
        return data.draw(num, rng) + noise

    distance = WhitenedDistance(target, exact, seed, sets=20)
    rows: dict[float | None, Row] = {}
    clouds, names = {"data": exact(rng)}, {None: "full", min(sweep): "early", t_1: "planned"}
    for t in progress([t_1, None, *(t for t in sweep if t != t_1)]):  # the plan first: bad settings show at once
        process = SubspaceSDE(sde, whole, [], []) if t is None else SubspaceSDE.fit(sde, nested, [t], x)
        kl: dict[str, float] = {}
        found: dict[str, float] = {}
        evaluations: tuple[int, ...] = ()
        for name, solver in SOLVERS.items():
            covariance = output_covariance(process, scores["Gaussian"][: process.K + 1], solver, steps)
            kl[name] = kl_divergence(covariance, target)
            drawn = sample(
                process,
                scores["mixture"][: process.K + 1],
                num,
                solver,
                steps,
                rng=np.random.default_rng((seed, 2)),
                like=np.zeros((), dtype=np.float32),
            )
            found[name], evaluations = distance(drawn.x.astype(np.float64)), drawn.evaluations
            if name == "SDE" and t in names:
                clouds[names[t]] = drawn.x
        share = sum(evaluations[1:]) / sum(evaluations)
        divergence = None if t is None else curves["mixture"].at(t)
        rows[t] = Row(t, divergence, kl, found, share, 1 - share * (1 - plane.dim / dim))
    turn = np.concatenate([data.plane, data.complement], axis=1)
    return Comparison(
        curves,
        threshold,
        rows[None],
        rows[t_1],
        [rows[t] for t in sorted(t for t in rows if t is not None)],
        distance.floor,
        {name: cloud @ turn for name, cloud in clouds.items()},
    )
