"""What a likelihood costs in stages, in full dimension and without subspaces: ``python -m benchmarks.likelihood``.

VE (0.01, 50), steps uniform in t, Heun, one Rademacher probe, torch on the CPU with two threads. A U-Net of 1.2 M
parameters (the demo's) on 32×32 and on 16×16 `LowPass` coordinates, whose switch time is that of D_F = 10⁻³; nothing of
the seconds depends on the weights, so that there it takes the coordinates as they are. The runs take turns: the
full model alone (K = 0), the small network alone, the stages, and the full score (eq. 11). What the stages should cost
is Σ share_k · seconds_k, the two networks' own seconds weighted by their shares of the steps.

Then, with both levels as the network was trained for them: the spread of single probes in each form, and what an
adaptive solver makes of all of them.
"""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from examples.images.levels import Level, load_levels
from subspace_sde import NestedSubspaces, SubspaceSDE, log_likelihood, orthogonal_fisher_divergence
from subspace_sde.images import load, to_unit
from subspace_sde.likelihood import Bins, FullScore, Hutchinson, Likelihood, Staged, gaussian, rademacher
from subspace_sde.sampling import UniformTime, stage_times
from subspace_sde.solvers import DormandPrince

from .project import processor

THRESHOLD, TIMES = 1e-3, [0.35 + 0.05 * i for i in range(9)]


def spent(found: Likelihood) -> float:
    return sum(found.seconds)


def plan(full: Level, small: Level, t: float, data: Any) -> tuple[SubspaceSDE, list[Any]]:
    process = SubspaceSDE.fit(full.sde, NestedSubspaces([small.subspace]), [t], data)
    return process, [full.score, small.score]


def alone(level: Level) -> tuple[SubspaceSDE, list[Any]]:
    return SubspaceSDE(level.sde, NestedSubspaces([], ambient_shape=level.subspace.shape), [], []), [level.score]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--weights", type=Path, default=Path("examples/images/weights"))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--probes", type=int, default=6, help="single probes whose spread is measured")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tolerance", type=float, default=1e-3, help="of the adaptive solver")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    device = torch.device(arguments.device)
    images = load("builtin")
    full, sixteen = load_levels(arguments.weights, ["full", "lowpass:16"], images.shape, device).values()
    data = torch.from_numpy(to_unit(images.train[:2048])).to(device)
    x = data[-arguments.batch :]

    small = replace(sixteen, shared=())  # over all of (t_min, T), where the shared network's level has σ(t)/c alone
    with torch.no_grad():
        (curve,) = orthogonal_fisher_divergence(full.score, data[:32], full.sde, [small.subspace], TIMES)
    t = curve.time_at(THRESHOLD)

    print(f"{processor()}, {os.cpu_count()} cores; load before the run {os.getloadavg()[0]:.1f}; {device}")
    parameters = f"{sum(p.numel() for p in full.network.parameters()):,}"
    print(f"torch {torch.__version__}, parameters {parameters}; {arguments.batch} images, {arguments.steps} Heun steps")
    print(f"D_F = {THRESHOLD:g} from t = {t:.3f}\n")
    seconds(arguments, full, small, t, data, x)
    spread(arguments, full, sixteen, t, data, x)
    adaptive(arguments, full, sixteen, t, data, x)


def seconds(arguments: Any, full: Level, small: Level, t: float, data: Any, x: Any) -> None:
    process, scores = plan(full, small, t, data)
    runs = {
        "full model alone": (*alone(full), x, Staged()),
        "16×16 alone": (*alone(small), small.subspace.restrict(x), Staged()),
        "in stages": (process, scores, x, Staged()),
        "full score": (process, scores, x, FullScore(analytic=False)),
    }
    found: dict[str, list[float]] = {name: [] for name in runs}
    for repetition in range(arguments.repetitions + 1):
        for name, (model, nets, y, form) in runs.items():
            steps = 2 if repetition == 0 else arguments.steps  # one that does not count
            run = log_likelihood(model, nets, y, form, steps=steps, spacing=UniformTime())
            if repetition:
                found[name].append(spent(run))
    counts = [len(times) - 1 for times in stage_times(process, arguments.steps, UniformTime())]
    shares = [n / sum(counts) for n in counts]
    own = [found["full model alone"], found["16×16 alone"]]
    expected = [sum(share * run[i] for share, run in zip(shares, own)) for i in range(arguments.repetitions)]
    print(f"steps on 32×32 and 16×16: {counts}; {arguments.repetitions} interleaved runs")
    print(f"{'':26}{'median s':>10}{'of full':>9}{'fastest s':>11}{'of full':>9}")
    for name, times in {**found, "Σ share_k · seconds_k": expected}.items():
        middle, best = median(times), min(times)
        print(
            f"{name:26}{middle:10.2f}{middle / median(own[0]):9.3f}{best:11.2f}{best / min(own[0]):9.3f}",
        )
    ratios = {
        "stages / Σ share_k · seconds_k": expected,
        "stages / full score": found["full score"],
        "stages / full model alone": own[0],
    }
    for name, times in ratios.items():  # run by run, so that what slows the machine for a while slows both
        print(f"{name}: {median(a / b for a, b in zip(found['in stages'], times)):.3f} (median of the runs' ratios)")


def spread(arguments: Any, full: Level, small: Level, t: float, data: Any, x: Any) -> None:
    process, scores = plan(full, small, t, data)
    probes, y = arguments.probes, x[:2]
    print(f"\nstandard deviation of one probe, nats, trained networks, {probes} probes of 2 images")
    print(f"{'':26}{'signs':>10}{'normal':>10}")
    runs = {
        "full model alone": (*alone(full), Staged()),
        "in stages": (process, scores, Staged()),
        "full score, all estimated": (process, scores, FullScore(analytic=False)),
    }
    for name, (model, nets, form) in runs.items():
        found = []
        for distribution in (rademacher, gaussian):
            trace = Hutchinson(probes, distribution)
            run = log_likelihood(model, nets, y, form, steps=max(2, arguments.steps // 2), trace=trace)
            found.append(math.sqrt(run.estimates.var(axis=1, ddof=1).mean()))
        print(f"{name:26}{found[0]:10.2f}{found[1]:10.2f}")


def adaptive(arguments: Any, full: Level, small: Level, t: float, data: Any, x: Any) -> None:
    process, scores = plan(full, small, t, data)
    tolerance, y = arguments.tolerance, x[:4]
    print(f"\nDormand-Prince, rtol = atol = {tolerance:g}, {len(y)} images, trained networks")
    print(f"{'':26}{'seconds':>10}{'of full':>9}{'evaluations':>16}{'bits/dim':>10}")
    first = None
    for name, (model, nets), form in (
        ("full model alone", alone(full), Staged()),
        ("in stages", (process, scores), Staged()),
        ("full score", (process, scores), FullScore(analytic=False)),
    ):
        run = log_likelihood(model, nets, y, form, DormandPrince(tolerance, tolerance), bins=Bins())
        first = spent(run) if first is None else first
        bits = float(run.bits_per_dimension.mean())
        print(f"{name:26}{spent(run):10.2f}{spent(run) / first:9.3f}{run.evaluations!s:>16}{bits:10.3f}")


if __name__ == "__main__":
    main()
