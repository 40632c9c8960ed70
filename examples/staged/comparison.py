"""Plan, train one network for every level, measure D_F with it, sample the full model and the plan in turn, compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from subspace_sde import (
    DivergenceCurve,
    IsotropicSDE,
    NestedSubspaces,
    Plan,
    Subspace,
    SubspaceSDE,
    gaussian_divergence,
    orthogonal_fisher_divergence,
    plan,
    sample,
)
from subspace_sde.arrays import Score
from subspace_sde.losses import denoising_score_matching, edm
from subspace_sde.scores import from_denoiser, shared
from subspace_sde.solvers import DPMSolver
from subspace_sde.statistics import PowerSpectrum, accumulate, ve_for

Matrix: TypeAlias = np.ndarray[Any, Any]
Judge: TypeAlias = Callable[[Matrix, Matrix], Mapping[str, float]]
"""``judge(x, reference)``: figures by name of how far samples x are from the reference; 0 is best."""

FULL, STAGED, GAUSSIAN, FRESH = "full model", "plan", "Gaussian", "fresh data"
BATCH, ROUNDS = 16, 3


@dataclass(frozen=True)
class Comparison:
    """All that `compare` finds.

    Attributes
    ----------
    first, plan: from the data's power spectrum, and at the times of the network's D_F.
    predicted, measured: the curves of both, for the levels of the first plan.
    seconds: of the processor, for one sample, in every round; on a shared machine they say more than those of a clock.
    ratio: of the plan's seconds to the full model's, over all rounds.
    quality: the judge's figures by way; "fresh data" in place of samples is the best that can be hoped for.
    samples: (num, *shape) by way, and "held out", what they are judged by.
    """

    first: Plan
    plan: Plan
    predicted: list[DivergenceCurve]
    measured: list[DivergenceCurve]
    seconds: dict[str, list[float]]
    ratio: float
    quality: dict[str, dict[str, float]]
    samples: dict[str, Matrix]


def train(
    denoiser: nn.Module, x: Tensor, sde: IsotropicSDE, levels: NestedSubspaces, steps: int, seed: int, progress: bool
) -> Score:
    """The score of data x (N, *shape) by one network that sees them at the sizes of all `levels` in turn."""
    score, weighting = from_denoiser(denoiser, sde), edm(float(x.std()))
    data = [level.restrict(x) / level.coordinate_scale for level in levels]  # smaller arrays of the same kind
    optimizer = torch.optim.Adam(denoiser.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps + 1, pct_start=0.15)
    rng = torch.Generator().manual_seed(seed)
    first, last = sde.log_snr(sde.T), sde.log_snr(sde.t_min)
    for step in tqdm(range(steps), "train", unit="step", disable=not progress):
        z = data[step % len(data)]
        x0 = z[torch.randint(len(z), (BATCH,), generator=rng)]
        t = sde.time_at_log_snr(first + (last - first) * torch.rand(BATCH, generator=rng), clip=True)
        loss = denoising_score_matching(score, x0, t, sde, rng, weighting).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    denoiser.eval().requires_grad_(False)
    return score


def compare(
    make: Callable[[int, int], Matrix],
    candidates: Sequence[Subspace],
    denoiser: Callable[[IsotropicSDE, float], nn.Module],
    judge: Judge,
    data: int,
    num: int,
    train_steps: int,
    steps: int,
    threshold: float,
    levels: int,
    seed: int,
    progress: bool = False,
) -> Comparison:
    """Everything from the data to the table; both ways of sampling have the same network, seeds, solver and steps.

    Parameters
    ----------
    make: ``make(n, seed)`` gives n samples (n, *shape), float32.
    candidates: subspaces with a `coordinate_scale`, from which the plan is made.
    denoiser: ``denoiser(sde, sigma_data)`` makes E[x(0) | x(t)] with fresh weights, for the sizes of all candidates.
    data: samples to learn from.
    num: samples of each way, and of held-out data; drawn in three rounds.
    steps: of DPM-Solver++ 2M, from T to t_min, over all levels.
    threshold: the D_F at which a subspace may be used.
    levels: proper subspaces in the plan, at most.

    Raises ValueError for settings that cannot be used, or a threshold that no subspace meets.
    """
    if min(train_steps, levels) < 1 or num < ROUNDS or data < BATCH:
        raise ValueError(f"give at least {BATCH} samples to learn from, {ROUNDS} to draw, one training step, one level")
    if steps <= levels:
        raise ValueError(f"{levels + 1} levels need at least as many steps, got {steps}")
    x, held_out, fresh = (make(n, 3 * seed + i) for i, n in enumerate((data, num, num)))

    moments = accumulate(PowerSpectrum, x)
    sde, law = ve_for(moments), moments.gaussian()
    first = plan(candidates, gaussian_divergence(law, sde, candidates), threshold, max_levels=levels)
    chain = list(first.subspaces)[1:]

    torch.manual_seed(seed)
    tensors, like = torch.from_numpy(x), torch.zeros(())
    score = train(denoiser(sde, float(x.std())), tensors, sde, first.subspaces, train_steps, seed, progress)

    times = sde.grid(20)[-2:0:-1].tolist()
    measured = orthogonal_fisher_divergence(score, tensors[:BATCH], sde, chain, times, seed)
    chosen = plan(chain, measured, threshold)

    whole = SubspaceSDE(sde, NestedSubspaces([], ambient_shape=x.shape[1:]), [], [])
    processes = {FULL: whole, STAGED: chosen.process(x)}
    parts: dict[str, list[Matrix]] = {way: [] for way in processes}
    seconds: dict[str, list[float]] = {way: [] for way in processes}
    for number in tqdm(np.array_split(np.arange(num), ROUNDS), "sample", unit="round", disable=not progress):
        for way, process in processes.items():  # in turn: what else the machine does slows both a little
            scores = shared(score, sde, process.subspaces)
            seeds = (number + 1000 * seed).tolist()
            started = time.process_time()
            drawn = sample(process, scores, len(number), DPMSolver(), steps, seeds, like, denoise=True)
            seconds[way].append((time.process_time() - started) / len(number))
            parts[way].append(drawn.x.numpy())
    samples = {"held out": held_out} | {way: np.concatenate(part) for way, part in parts.items()}
    samples |= {GAUSSIAN: law.sample(num, rng=seed), FRESH: fresh}
    return Comparison(
        first,
        chosen,
        gaussian_divergence(law, sde, chain, times),
        measured,
        seconds,
        sum(seconds[STAGED]) / sum(seconds[FULL]),
        {way: dict(judge(found, held_out)) for way, found in samples.items() if way != "held out"},
        samples,
    )


def table(found: Comparison) -> str:
    """Both plans, and a row for each way of drawing samples."""
    lines = []
    for name, best in (("power spectrum", found.first), ("network", found.plan)):
        chain = " -> ".join(f"{u.shape} from t = {t:.3f}" for u, t in zip(list(best.subspaces)[1:], best.times))
        lines.append(f"by the {name}: {chain}; {best.cost:.0%} of the full model's numbers")
    names = list(found.quality[FULL])
    lines += ["", f"{'':14}{'CPU ms each':>12}" + "".join(f"{name:>12}" for name in names)]
    for way, figures in found.quality.items():
        ms = f"{1000 * np.mean(found.seconds[way]):.0f}" if way in found.seconds else "-"
        lines.append(f"{way:14}{ms:>12}" + "".join(f"{figures[name]:12.3f}" for name in names))
    rounds = [b / a for a, b in zip(found.seconds[FULL], found.seconds[STAGED])]
    lines.append(f"time ratio {found.ratio:.2f} ({min(rounds):.2f} to {max(rounds):.2f} in {len(rounds)} rounds)")
    return "\n".join(lines)


def record(found: Comparison) -> dict[str, Any]:
    """All numbers, ready for JSON."""

    def described(best: Plan) -> dict[str, Any]:
        return {"shapes": [u.shape for u in best.subspaces], "times": best.times, "cost": best.cost}

    def values(curves: Sequence[DivergenceCurve]) -> list[dict[str, Any]]:
        return [{name: asdict(curve)[name] for name in ("times", "values", "stderr")} for curve in curves]

    return {
        "plans": {"power spectrum": described(found.first), "network": described(found.plan)},
        "divergence": {"power spectrum": values(found.predicted), "network": values(found.measured)},
        "seconds": found.seconds,
        "ratio": found.ratio,
        "quality": found.quality,
    }
