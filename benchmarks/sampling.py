"""What `sample` adds to the network, beside rivals, and what staging saves: ``python -m benchmarks.sampling``.

Overhead: 18 steps on a batch of 16 × 3 × 32 × 32, EDM, a network of two 3 × 3 convolutions with 64 channels. The bare
network is called as often on inputs as large, with nothing else; `sample` runs with its guard against NaN on. Heun is
compared with Heun of k-diffusion and of azula where they are installed (``pip install --no-deps k-diffusion azula``:
their samplers need none of what else they bring), on the same network as a denoiser.

Saving: a U-Net of diffusers with about a million parameters, at each level of a plan. Seconds of the staged run over
those of the full one, against the prediction from seconds per evaluation, each measured alone.

The candidates take turns, and ratios are medians over the turns.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import types
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch

from subspace_sde import EDM, VE, LowPass, NestedSubspaces, SubspaceSDE, gaussian_divergence, plan, sample
from subspace_sde.images import photos, unit_batches
from subspace_sde.scores import from_denoiser, precondition
from subspace_sde.solvers import DPMSolver, EulerMaruyama, Heun
from subspace_sde.statistics import Covariance

from .project import processor

Run = Callable[[], Any]


def turns(candidates: dict[str, Run], repetitions: int, device: torch.device) -> dict[str, np.ndarray]:
    """Seconds of every repetition of each candidate, in turn, after one that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in candidates}
    with torch.no_grad():
        for repetition in range(repetitions + 1):
            for name, run in candidates.items():
                started = perf_counter()
                run()
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                if repetition:
                    taken[name].append(perf_counter() - started)
    return {name: np.asarray(seconds) for name, seconds in taken.items()}


class Convolutions(torch.nn.Module):
    """A denoiser of two 3 × 3 convolutions; it ignores the time."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 64, 3, padding=1), torch.nn.SiLU(), torch.nn.Conv2d(64, 3, 3, padding=1)
        )

    def forward(self, x: Any, t: Any) -> Any:
        return self.layers(x)


def k_diffusion(network: Convolutions, sigmas: Any, start: Any) -> Run:
    """Its module of samplers alone: the package imports what it trains with."""
    found = importlib.util.find_spec("k_diffusion")
    if found is None:
        raise ImportError("k_diffusion")
    package = types.ModuleType("k_diffusion")
    package.__path__ = list(found.submodule_search_locations or ())
    absent = ("torchsde", "torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    stand_ins = {name: types.ModuleType(name) for name in absent if name not in sys.modules}
    for name, module in stand_ins.items():
        parent, _, child = name.rpartition(".")
        if parent in stand_ins:
            setattr(stand_ins[parent], child, module)
    sys.modules.update({"k_diffusion": package, **stand_ins})
    try:
        sampling = importlib.import_module("k_diffusion.sampling")
    finally:
        for name in stand_ins:
            del sys.modules[name]
    return lambda: sampling.sample_heun(network, start(), sigmas, disable=True)


def azula(network: Convolutions, times: Any, start: Any) -> Run:
    """Its Heun sampler on the same times."""
    from azula.denoise import Denoiser, DiracPosterior
    from azula.noise import Schedule
    from azula.sample import HeunSampler

    class Variance(Schedule):  # type: ignore[misc]
        def __call__(self, t: Any) -> Any:
            return torch.ones_like(t), t

    class Same(Denoiser):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network, self.schedule = network, Variance()

        def forward(self, x: Any, t: Any, **more: Any) -> Any:
            return DiracPosterior(mean=self.network(x, t))

    class OnTimes(HeunSampler):  # type: ignore[misc]
        timesteps = times

    sampler = OnTimes(Same(), steps=len(times) - 1, silent=True)
    return lambda: sampler(start())


def overhead(repetitions: int, device: torch.device) -> None:
    steps, shape, sde = 18, (3, 32, 32), EDM()
    torch.manual_seed(0)
    network = Convolutions().to(device).eval()
    like, x = torch.zeros((), device=device), torch.randn((16, *shape), device=device)
    process = SubspaceSDE(sde, NestedSubspaces([], ambient_shape=shape), [], [])
    score = from_denoiser(network, sde)

    def bare(evaluations: int) -> Run:
        def run() -> None:
            for _ in range(evaluations):
                network(x, 1.0)

        return run

    def ours(solver: Any) -> Run:
        return lambda: sample(process, [score], 16, solver, steps, like=like)

    def start() -> Any:
        return 80.0 * torch.randn((16, *shape), device=device)

    times = torch.as_tensor(sde.grid(steps).copy(), dtype=torch.float32, device=device)
    candidates = {"bare 36": bare(2 * steps), "Heun": ours(Heun()), "bare 18": bare(steps)}
    candidates |= {"Euler-Maruyama": ours(EulerMaruyama()), "2M": ours(DPMSolver(2))}
    for name, rival in (("k-diffusion", k_diffusion), ("azula", azula)):
        try:
            candidates[name] = rival(network, times, start)
        except ImportError as error:
            print(f"{name} is not installed ({error})")
    found = turns(candidates, repetitions, device)
    print(f"\n18 steps, 16 × 3 × 32 × 32, {repetitions} turns: milliseconds (median), ratio to the bare network's")
    for name, seconds in found.items():
        base = found["bare 18" if name in ("Euler-Maruyama", "2M", "bare 18") else "bare 36"]
        print(f"{name:16}{1e3 * median(seconds):10.1f}{median(seconds / base):8.3f}")
    for name in ("k-diffusion", "azula"):
        if name in found:
            print(f"Heun of {name} over ours: {median(found[name] / found['Heun']):.3f}")


def unet(level: Any, device: torch.device) -> Any:
    from diffusers import UNet2DModel

    return (
        UNet2DModel(
            sample_size=level.shape[-1], in_channels=3, out_channels=3, layers_per_block=1, norm_num_groups=8,
            block_out_channels=(32, 64, 64), down_block_types=("DownBlock2D",) * 3, up_block_types=("UpBlock2D",) * 3,
        )
        .to(device)
        .eval()
    )  # fmt: skip


def saving(repetitions: int, device: torch.device, batch: int) -> None:
    sde, statistics = VE(0.01, 50.0), Covariance((3, 32, 32))
    images = photos(32, train=8000, held_out=10)
    for some in unit_batches(images.train, 1024):
        statistics.update(some)
    candidates = [LowPass(images.shape, n) for n in range(4, 32, 4)]
    best = plan(candidates, gaussian_divergence(statistics.gaussian(), sde, candidates), 3e-3, max_levels=2)
    process = SubspaceSDE.fit(sde, best.subspaces, best.times, unit_batches(images.train, 1024))
    full = SubspaceSDE(sde, NestedSubspaces([], ambient_shape=images.shape), [], [])
    torch.manual_seed(0)
    networks = [unet(level, device) for level in best.subspaces]
    count = sum(p.numel() for p in networks[0].parameters())

    def score_of(network: Any) -> Any:
        def raw(x: Any, c_noise: float) -> Any:
            return network(x, torch.full((x.shape[0],), 1e3 * float(c_noise), device=x.device)).sample

        return from_denoiser(precondition(raw, sde, sigma_data=0.3, mean=0.5), sde)

    scores = [score_of(network) for network in networks]
    like = torch.zeros((), device=device)
    inputs = [torch.randn((batch, *level.shape), device=device) for level in best.subspaces]
    runs: dict[str, Run] = {
        "full": lambda: sample(full, scores[:1], batch, Heun(), 20, like=like),
        "staged": lambda: sample(process, scores, batch, Heun(), 20, like=like),
    }
    for k, x in enumerate(inputs):
        runs[f"level {k}"] = lambda k=k, x=x: [scores[k](x, 0.5) for _ in range(4)]  # type: ignore[misc]
    found = turns(runs, repetitions, device)
    evaluations = sample(process, scores, batch, Heun(), 20, like=like).evaluations
    each = [median(found[f"level {k}"]) / 4 for k in range(process.K + 1)]
    predicted = sum(n * s for n, s in zip(evaluations, each)) / (sum(evaluations) * each[0])
    realised = median(found["staged"] / found["full"])
    sizes = " → ".join(str(u.shape[-1]) for u in reversed(list(best.subspaces)))
    print(
        f"\nU-Net of {count / 1e6:.2f} M parameters, {sizes}, batch {batch}, Heun, 20 steps, evaluations {evaluations}"
    )
    print("seconds per evaluation: " + ", ".join(f"{s:.4f}" for s in each))
    print(f"staged / full: {realised:.3f}, predicted {predicted:.3f} ({realised / predicted - 1:+.1%})")
    print(f"in pixels: {best.cost:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--batch", type=int, default=16, help="of the saving")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    device = torch.device(arguments.device)
    print(f"{processor()}, {os.cpu_count()} cores; load before the run {os.getloadavg()[0]:.1f}")
    print(f"{device}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    overhead(arguments.repetitions, device)
    saving(max(5, arguments.repetitions // 3), device, arguments.batch)


if __name__ == "__main__":
    main()
