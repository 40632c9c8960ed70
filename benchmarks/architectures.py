"""What a plan saves on the networks people have: ``python -m benchmarks.architectures``.

Published architectures of diffusers with random weights, on which the speed does not depend:

- ``ddpm-cifar10``: the U-Net of google/ddpm-cifar10-32, pixels;
- ``ncsnpp-256``: that of google/ncsnpp-church-256, pixels;
- ``sd-1.5``: that of Stable Diffusion 1.5, latents of 64 × 64;
- ``sd3``: the transformer of Stable Diffusion 3 medium, latents of 128 × 128, with 6 of its 24 blocks, all alike.

The first table has the seconds of one evaluation at the full edge, three quarters and half of it, in turn, and from
them what `LowPass` plans of those sizes cost in a run of 24 steps of DPM-Solver++ 2M, over the full model. A plan is
served by the one network (`subspace_sde.scores.shared`) and switches where D_F of a Gaussian with the power 1/f² of
photographs falls to the threshold. The second has whole runs of ``ddpm-cifar10`` and ``ncsnpp-256``, full model and
plan in turn, beside the prediction.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch

from subspace_sde import IsotropicSDE, LowPass, NestedSubspaces, RectifiedFlow, SubspaceSDE, gaussian_divergence, sample
from subspace_sde.diffusers import pretrained
from subspace_sde.oracles import DCTGaussian
from subspace_sde.scores import shared
from subspace_sde.solvers import DPMSolver

from .project import processor
from .solver_costs import Spectrum

STEPS, THRESHOLD = 24, 3e-3
PLANS = {"3/4": (3,), "1/2": (2,), "3/4, 1/2": (3, 2)}  # quarters of the edge


@dataclass(frozen=True)
class Architecture:
    """A network's `shape` of input, its `make`, its other inputs, its scheduler or SDE, the data's `variance`."""

    shape: tuple[int, ...]
    make: Callable[[], Any]
    variance: float  # of one number of the data, in the network's range
    rounds: int  # of evaluations in turn
    scheduler: Callable[[], Any] | None = None  # where the whole run is measured too
    conditions: dict[str, tuple[int, ...]] | None = None


def ddpm_cifar10() -> Any:
    from diffusers import UNet2DModel

    down = ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"]
    up = ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"]
    return UNet2DModel(
        sample_size=32, block_out_channels=(128, 256, 256, 256), down_block_types=down, up_block_types=up,
        attention_head_dim=None, downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-6,
    )  # fmt: skip


def ncsnpp_256() -> Any:
    from diffusers import UNet2DModel

    down, up = ["SkipDownBlock2D"] * 7, ["SkipUpBlock2D"] * 7
    down[4], up[2] = "AttnSkipDownBlock2D", "AttnSkipUpBlock2D"
    return UNet2DModel(
        sample_size=256, block_out_channels=(128, 128, *[256] * 5), down_block_types=down, up_block_types=up,
        attention_head_dim=None, center_input_sample=True, mid_block_scale_factor=math.sqrt(2), norm_eps=1e-6,
        norm_num_groups=None, time_embedding_type="fourier",
    )  # fmt: skip


def sd_1_5() -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(sample_size=64, cross_attention_dim=768)


def sd3() -> Any:
    from diffusers import SD3Transformer2DModel

    return SD3Transformer2DModel(
        sample_size=128, num_layers=6, num_attention_heads=24, caption_projection_dim=1536, out_channels=16,
        pos_embed_max_size=192,
    )  # fmt: skip


def ddpm_scheduler() -> Any:
    from diffusers import DDPMScheduler

    return DDPMScheduler(clip_sample=False)


def ve_scheduler() -> Any:
    from diffusers import ScoreSdeVeScheduler

    return ScoreSdeVeScheduler(sigma_min=0.01, sigma_max=380.0)


ARCHITECTURES = {  # pixels of variance 0.06 in [0, 1], in [-1, 1] four times that; latents of variance 1
    "ddpm-cifar10": Architecture((3, 32, 32), ddpm_cifar10, 0.24, 15, ddpm_scheduler),
    "ncsnpp-256": Architecture((3, 256, 256), ncsnpp_256, 0.06, 5, ve_scheduler),
    "sd-1.5": Architecture((4, 64, 64), sd_1_5, 1.0, 3, None, {"encoder_hidden_states": (77, 768)}),
    "sd3": Architecture(
        (16, 128, 128), sd3, 1.0, 3, None, {"encoder_hidden_states": (333, 4096), "pooled_projections": (2048,)}
    ),
}


def power_of(shape: tuple[int, ...], variance: float) -> np.ndarray:
    """The variance of each DCT coefficient of images of that shape whose power falls as 1/f², `variance` on average."""
    angle = np.pi / shape[-1] * np.hypot(*np.indices(shape[-2:]))
    angle[0, 0] = np.pi / (2 * shape[-1])
    return np.broadcast_to(variance * angle**-2 / np.mean(angle**-2), shape)


def process_of(quarters: tuple[int, ...], shape: tuple[int, ...], variance: float, sde: IsotropicSDE) -> SubspaceSDE:
    """The plan of these sizes."""
    power, low = power_of(shape, variance), [LowPass(shape, shape[-1] * q // 4) for q in quarters]
    data = DCTGaussian(np.zeros(shape), power)
    times = [curve.time_at(THRESHOLD) for curve in gaussian_divergence(data, sde, low)]
    return Spectrum(power, sde).process(NestedSubspaces.from_subspaces(low), tuple(times))


def evaluations(process: SubspaceSDE) -> tuple[int, ...]:
    """Of the score on each level, as Algorithm 1 counts them."""

    def silent(x: Any, t: float) -> Any:
        return -x / (process.sde.alpha(t) ** 2 + process.sde.sigma(t) ** 2)

    return sample(process, [silent] * (process.K + 1), 1, DPMSolver(), STEPS).evaluations


def seconds_of(architecture: Architecture, network: Any, batch: int, like: Any) -> dict[int, list[float]]:
    """Seconds of one evaluation at each number of quarters of the edge, in turn, after one that does not count."""
    condition = {
        name: torch.randn(batch, *shape, dtype=like.dtype, device=like.device)
        for name, shape in (architecture.conditions or {}).items()
    }
    taken: dict[int, list[float]] = {4: [], 3: [], 2: []}
    for turn in range(architecture.rounds + 1):
        for quarters, found in taken.items():
            edge = architecture.shape[-1] * quarters // 4
            x = torch.randn(batch, architecture.shape[0], edge, edge, dtype=like.dtype, device=like.device)
            t = torch.full((batch,), 500.0, dtype=like.dtype, device=like.device)
            seconds = clocked(lambda x=x, t=t: network(x, timestep=t, **condition), like)
            if turn:
                found.append(seconds)
    return taken


def clocked(call: Callable[[], Any], like: Any) -> float:
    """Seconds of a call, its work on the device included."""
    wait = torch.cuda.synchronize if like.is_cuda else lambda: None
    wait()
    started = time.perf_counter()
    with torch.no_grad():
        call()
    wait()
    return time.perf_counter() - started


def ratio(taken: list[float], full: list[float]) -> float:
    """The median over the turns."""
    return median(a / b for a, b in zip(taken, full))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--only", action="append", choices=list(ARCHITECTURES), help="all without it")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3, help="whole runs of each, in turn; 0 leaves them out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32", help="of the network")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    like = torch.zeros((), dtype=getattr(torch, arguments.precision), device=arguments.device)
    name = torch.cuda.get_device_name() if like.is_cuda else processor()
    print(f"{name}, {arguments.threads} threads; load before the run {os.getloadavg()[0]:.1f}")
    print(f"torch {torch.__version__}, {arguments.precision}, batches of {arguments.batch}; random weights\n")
    print(f"{'':14}{'parameters':>11}{'seconds':>9}{'3/4':>7}{'1/2':>7}{'':4}" + "".join(f"{p:>16}" for p in PLANS))
    whole: list[str] = []
    for name in arguments.only or ARCHITECTURES:
        architecture = ARCHITECTURES[name]
        torch.manual_seed(0)
        network = architecture.make().eval().to(like)
        taken = seconds_of(architecture, network, arguments.batch, like)
        relative = {quarters: ratio(seconds, taken[4]) for quarters, seconds in taken.items()}
        found = pretrained((network, architecture.scheduler())) if architecture.scheduler else None
        sde = found.sde if found else RectifiedFlow()
        row = f"{name:14}{sum(p.numel() for p in network.parameters()) / 1e6:9.1f} M{median(taken[4]):9.3g}"
        row += f"{relative[3]:7.2f}{relative[2]:7.2f}{'':4}"
        full = SubspaceSDE(sde, NestedSubspaces([], architecture.shape), [], [])
        steps = evaluations(full)[0]
        for plan, quarters in PLANS.items():
            process = process_of(quarters, architecture.shape, architecture.variance, sde)
            counts = evaluations(process)
            predicted = sum(n * relative[q] for n, q in zip(counts, (4, *quarters))) / steps
            row += f"{predicted:7.2f} {'+'.join(map(str, counts)):>8}"
            if found and arguments.runs:
                both = [(full, [found.score]), (process, shared(found.score, sde, process.subspaces))]
                measured = whole_runs(both, arguments.batch, like, arguments.runs)
                whole.append(f"{name:14}{plan:10}{predicted:10.3f}{measured:10.3f}{measured / predicted - 1:+10.1%}")
        print(row, flush=True)
    if whole:
        print(f"\n{'whole runs':24}{'predicted':>10}{'measured':>10}{'off by':>10}", *whole, sep="\n")


def whole_runs(both: list[tuple[SubspaceSDE, Any]], batch: int, like: Any, runs: int) -> float:
    """Seconds of the second over the first, the median of runs in turn."""
    taken: list[list[float]] = [[], []]
    for seed in range(runs):
        for (process, scores), seconds in zip(both, taken):
            draw = partial(sample, process, scores, batch, DPMSolver(), STEPS, seed, like=like.float())
            seconds.append(clocked(draw, like))
    return ratio(taken[1], taken[0])


if __name__ == "__main__":
    main()
