"""The order of every solver through Algorithm 1, without Monte Carlo: ``python -m benchmarks.solver_orders``.

On Gaussian data in float64 every solver is affine, so that the law of its samples is known exactly
(`subspace_sde.sampling`), and so is that of a perfect solver (`subspace_sde.sampling.law_of_samples`). The error is
that of the covariance, in the Frobenius norm, relative; the order is read off the two finest grids. Solvers without an
order show their error at three settings: adaptive steps, and, where the data's law is the limit (K = 0), churn and a
corrector, whose step size by norms is biased in as few dimensions as these.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from subspace_sde import EDM, VE, VP, IsotropicSDE, LowPass, NestedSubspaces, SubspaceSDE, sample
from subspace_sde.oracles import Gaussian
from subspace_sde.sampling import Spacing, UniformLogSNR, law_of_samples, sampled_law
from subspace_sde.solvers import (
    DDIM,
    Ancestral,
    DormandPrince,
    DPMSolver,
    EulerMaruyama,
    Heun,
    PredictorCorrector,
    ReverseDiffusion,
    Solver,
)

D = 8
ODE_STEPS, SDE_STEPS = (64, 128, 256, 512), (64, 128, 256)
SETTINGS: list[tuple[IsotropicSDE, Spacing | None, str]] = [
    (EDM(), None, "EDM (ρ = 7)"),
    (VP(), UniformLogSNR(), "VP (even in log-SNR)"),
    (VE(), None, "VE (even in t)"),
]
SOLVERS: list[
    tuple[str, Solver, float, int]
] = [  # with the η of the SDE that it solves, and the order that it should have
    ("Euler-Maruyama", EulerMaruyama(), 1.0, 1),
    ("reverse diffusion", ReverseDiffusion(), 1.0, 1),
    ("ancestral", Ancestral(), 1.0, 1),
    ("DDIM, η = 0", DDIM(), 0.0, 1),
    ("DDIM, η = 0.5", DDIM(0.5), 0.25, 1),
    ("Heun", Heun(), 0.0, 2),
    ("DPM-Solver++ 2M", DPMSolver(2), 0.0, 2),
    ("DPM-Solver++ 3M", DPMSolver(3), 0.0, 3),
    ("2M, η = 1 (SDE)", DPMSolver(2, eta=1.0), 1.0, 2),
]


def problem(sde: IsotropicSDE, k: int) -> tuple[Gaussian, SubspaceSDE]:
    rng = np.random.default_rng(0)
    root = rng.standard_normal((D, D)) / math.sqrt(D)
    data = Gaussian(rng.standard_normal(D), (root * np.geomspace(2, 0.02, D)) @ root.T + 0.01 * np.eye(D))
    steps = [LowPass((8,), 4, axes=(-1,)), LowPass((4,), 2, axes=(-1,))][:k]
    times = [float(sde.time_at_log_snr(v)) for v in (0.5, -1.5)[:k]]
    return data, SubspaceSDE(sde, NestedSubspaces(steps, ambient_shape=(D,)), times, (0.2, 0.4)[:k])


def error(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument(
        "--num", type=int, default=100_000, help="samples for the predictor-corrector, which is not affine"
    )
    arguments = parser.parse_args()
    for sde, spacing, title in SETTINGS:
        for k in (2, 0):
            data, process = problem(sde, k)
            scores = [data.restrict(u).score(sde) for u in process.subspaces]
            print(f"\n{title}, K = {k}: relative error of the covariance in {D} dimensions, float64")
            print(f"{'':20}{'64 steps':>10}{'128':>10}{'256':>10}{'512':>10}{'order':>8}{'expected':>10}")
            for name, solver, eta, expected in SOLVERS:
                exact = law_of_samples(process, data, eta).covariance
                counts = SDE_STEPS if eta else ODE_STEPS
                found = [error(sampled_law(process, scores, solver, n, spacing).covariance, exact) for n in counts]
                shown = "".join(f"{e:10.1e}" for e in found) + " " * 10 * (len(ODE_STEPS) - len(found))
                print(f"{name:20}{shown}{math.log2(found[-2] / found[-1]):8.2f}{expected:10}")
            exact = law_of_samples(process, data).covariance
            three = [
                (
                    "Dormand-Prince",
                    [DormandPrince(tol, tol) for tol in (1e-3, 1e-5, 1e-7)],
                    "tolerances 1e-3, 1e-5, 1e-7",
                )
            ]
            if k == 0:
                three.append(("Heun, churn", [Heun(churn=min(20 / n, 0.41)) for n in SDE_STEPS], "S_churn = 20"))
            for name, solvers, settings in three:
                laws = [sampled_law(process, scores, s, n, spacing) for s, n in zip(solvers, SDE_STEPS)]
                print(f"{name:20}{''.join(f'{error(law.covariance, exact):10.1e}' for law in laws)}{'':12}{settings}")
            if k == 0:
                found, corrected = [], PredictorCorrector()
                for n in SDE_STEPS:
                    rng = np.random.default_rng(n)
                    x = sample(process, scores, arguments.num, corrected, n, rng=rng, spacing=spacing).x
                    found.append(error(np.cov(x.T), exact))
                noise = math.sqrt((np.trace(exact) ** 2 / np.sum(exact**2) + 1) / arguments.num)
                print(f"{'predictor-corrector':20}{''.join(f'{e:10.1e}' for e in found)}{'':12}snr 0.16; ± {noise:.0e}")


if __name__ == "__main__":
    main()
