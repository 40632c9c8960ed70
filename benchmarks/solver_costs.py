"""What an accuracy costs, unstaged and staged, against the paper's sampler: ``python -m benchmarks.solver_costs``.

The data: the Gaussian with the power spectrum of 4000 crops of photographs, 64 × 64. Everything is diagonal in the DCT
there, the subspaces of `LowPass` too, so that the variance of each coefficient is propagated exactly, solver, steps,
jumps and all. The error is the relative error of these 12288 variances, root mean square: that of the covariance where
the data are whitened, so that weak frequencies count as much as strong ones. Costs are evaluations of the score in
units of the full size: pixels seen, over those of an image.

The step size of the Langevin corrector depends on norms, which in 12288 dimensions hardly vary; their expectation is
taken, and a run of `sample` beside it shows whether that is right.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from typing import Any

import numpy as np

from subspace_sde import VE, IsotropicSDE, LowPass, NestedSubspaces, SubspaceSDE, gaussian_divergence, plan, sample
from subspace_sde.images import photos, unit_batches
from subspace_sde.oracles import DCTGaussian
from subspace_sde.sampling import stage_times
from subspace_sde.solvers import DDIM, DPMSolver, Heun, Langevin, PredictorCorrector, ReverseDiffusion, SingleStep
from subspace_sde.statistics import PowerSpectrum

SHAPE = (3, 64, 64)
ERRORS = (0.2, 0.15, 0.1, 0.08, 0.06, 0.05, 0.045)


class Spectrum:
    """The variances of the DCT of the data, and of samples."""

    def __init__(self, power: np.ndarray, sde: IsotropicSDE) -> None:
        self.power, self.sde = power, sde
        self.target = power + sde.sigma(sde.t_min) ** 2

    def process(self, levels: NestedSubspaces, times: tuple[float, ...]) -> SubspaceSDE:
        """Complement variances are those of the data."""
        lost = [
            (self._lowest(a.shape).sum() - self._lowest(b.shape).sum()) / (a.dim - b.dim) for a, b in pairwise(levels)
        ]
        return SubspaceSDE(self.sde, levels, times, lost)

    def sampled(self, process: SubspaceSDE, solver: Any, steps: int) -> tuple[np.ndarray, float]:
        """The variance of each coefficient after Algorithm 1, and the cost."""
        variance, cost = np.zeros(()), 0.0
        for k, times in reversed(list(enumerate(stage_times(process, steps, solver=solver)))):
            shape, calls = process.shape(k), [0]
            power = self._lowest(shape)

            def score(y: Any, t: Any, power: Any = power, calls: Any = calls) -> Any:
                calls[0] += 1
                return -y / (power + self.sde.sigma(t) ** 2)

            if k == process.K:
                variance = np.full(shape, self.sde.prior_std**2)
            else:
                kept, variance = variance, np.full(shape, process.complement_variance(k + 1, float(times[0])))
                variance[tuple(slice(n) for n in kept.shape)] = kept
            if isinstance(solver, SingleStep):
                variance = self._through_steps(solver, variance, times.tolist(), score)
            else:  # it remembers earlier steps, and is deterministic
                *_, (_, x) = solver.stage(np.ones((1, *shape)), times.tolist(), score, self.sde, None)
                variance = x[0] ** 2 * variance
            cost += calls[0] * power.size / self.power.size
        return variance, cost

    def _through_steps(self, solver: SingleStep, variance: np.ndarray, times: list[float], score: Any) -> np.ndarray:
        corrector = solver.corrector if isinstance(solver, PredictorCorrector) else Langevin(0)
        predictor = solver.predictor if isinstance(solver, PredictorCorrector) else solver
        one, zero = np.ones(variance.shape), np.zeros(variance.shape)
        for t, s in pairwise(times):
            x = predictor.step(np.stack([one, zero]), t, s, score, self.sde, lambda: np.stack([zero, one]))
            variance = x[0] ** 2 * variance + x[1] ** 2
            for _ in range(corrector.steps):
                slope = score(one, s)
                size = 2 * corrector.snr**2 * slope.size / np.sum(slope**2 * variance)
                variance = (1 + size * slope) ** 2 * variance + 2 * size
        return variance

    def error(self, variance: np.ndarray) -> float:
        return float(np.sqrt(np.mean((variance / self.target - 1) ** 2)))

    def _lowest(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.power[tuple(slice(n) for n in shape)]


def check(spectrum: Spectrum, process: SubspaceSDE, solver: Any, steps: int, num: int) -> str:
    """A real run of `sample`, against the propagated variances: the mean ratio over all coefficients."""
    law = DCTGaussian(np.zeros(SHAPE), spectrum.power)
    scores = [law.restrict(u).score(spectrum.sde) for u in process.subspaces]
    x = sample(process, scores, num, solver, steps, like=np.zeros((), dtype=np.float32)).x
    ratio = np.mean(law.axes.restrict(x.astype(np.float64)) ** 2, axis=0) / spectrum.sampled(process, solver, steps)[0]
    return f"{ratio.mean():.4f} ± {np.sqrt(2 / num / ratio.size):.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--threshold", type=float, default=1e-3, help="D_F of the plan")
    parser.add_argument("--levels", type=int, default=2, help="of the plan beyond the full one, at most")
    parser.add_argument("--sigma-max", type=float, default=50.0)
    arguments = parser.parse_args()
    sde, statistics = VE(0.01, arguments.sigma_max), PowerSpectrum(SHAPE)
    for batch in unit_batches(photos(64, train=4000, held_out=10).train, 512):
        statistics.update(batch)
    spectrum = Spectrum(statistics.result(), sde)
    candidates = [LowPass(SHAPE, n) for n in range(2, 64, 2)]
    law = DCTGaussian(np.zeros(SHAPE), spectrum.power)
    curves = gaussian_divergence(law, sde, candidates)
    best = plan(candidates, curves, arguments.threshold, max_levels=arguments.levels)
    full = spectrum.process(NestedSubspaces([], ambient_shape=SHAPE), ())
    staged = spectrum.process(best.subspaces, best.times)
    sizes = " → ".join(str(u.shape[-1]) for u in reversed(list(best.subspaces)))
    print(f"{sde}, D_F = {arguments.threshold:g}: {sizes} at t = {', '.join(f'{t:.3f}' for t in reversed(best.times))}")
    print(f"cost of the plan {best.cost:.3f} in pixels; error of a perfect solver: ", end="")
    print(f"full {spectrum.error(spectrum.sampled(full, DPMSolver(3), 2000)[0]):.4f}, ", end="")
    print(f"staged {spectrum.error(spectrum.sampled(staged, DPMSolver(3), 2000)[0]):.4f}\n")

    paper = PredictorCorrector(ReverseDiffusion(), Langevin(1, 0.16))
    found = {}
    for name, process in (("full", full), ("staged", staged)):
        variance, cost = spectrum.sampled(process, paper, 1000)
        found[name] = cost, spectrum.error(variance)
        print(f"predictor-corrector, 1000 + 1000 steps, {name}: cost {cost:.0f}, error {found[name][1]:.4f}")
    goals = (*ERRORS, found["full"][1])
    print(f"\nthe least cost at which the error is at most\n{'':24}" + "".join(f"{e:>10.4f}" for e in goals))
    least: dict[tuple[str, str], list[float]] = {}
    solvers = {
        "DDIM": DDIM(), "Heun": Heun(), "DPM-Solver++ 2M": DPMSolver(2), "DPM-Solver++ 3M": DPMSolver(3),
    }  # fmt: skip
    for name, solver in solvers.items():
        for kind, process in (("full", full), ("staged", staged)):
            tried = [spectrum.sampled(process, solver, n) for n in range(4, 161)]
            pairs = [(cost, spectrum.error(v)) for v, cost in tried]
            least[name, kind] = [min((c for c, e in pairs if e <= goal), default=np.nan) for goal in goals]
            print(f"{name + ', ' + kind:24}" + "".join(f"{c:10.2f}" for c in least[name, kind]))
    dpm = {k: np.fmin(least["DPM-Solver++ 2M", k], least["DPM-Solver++ 3M", k]) for k in ("full", "staged")}
    print(f"{'staged / full, best DPM':24}" + "".join(f"{a / b:10.3f}" for a, b in zip(dpm["staged"], dpm["full"])))
    print(
        f"{'staged 2M / full 2M':24}"
        + "".join(
            f"{a / b:10.3f}" for a, b in zip(least["DPM-Solver++ 2M", "staged"], least["DPM-Solver++ 2M", "full"])
        )
    )
    print(f"predictor-corrector over staged DPM-Solver++, at its own error: {found['full'][0] / dpm['staged'][-1]:.0f}")
    print("\nreal samples, their variances over the propagated ones, mean over the coefficients:")
    for name, solver, steps in (("2M", DPMSolver(2), 16), ("predictor-corrector", paper, 100)):
        for kind, process in (("full", full), ("staged", staged)):
            print(f"{name}, {kind}: {check(spectrum, process, solver, steps, 32)}")


if __name__ == "__main__":
    main()
