"""`project` and `reject` against the paper's way of computing them, side by side: ``python -m benchmarks.project``.

(16, 3, 256, 256) float32 images and the subspaces of 64×64, torch on the CPU with two threads. The paper's way pools
2×2 means twice and repeats both axes twice; a second rival pools 4×4 means and calls ``F.interpolate(mode="nearest")``.
The candidates take turns, so that whatever else the machine does falls on all of them.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
import torch.nn.functional as F

from subspace_sde import Downsampling, LowPass

BATCH, SHAPE, SIZE = 16, (3, 256, 256), 64
THREADS, REPETITIONS = 2, 30
PAPER = "the paper's way"

Operation = Callable[[torch.Tensor], torch.Tensor]


def pool_and_repeat(x: torch.Tensor) -> torch.Tensor:
    """The paper's way."""
    for _ in range(2):
        x = F.avg_pool2d(x, 2)
    for _ in range(2):
        x = x.repeat_interleave(2, dim=-2).repeat_interleave(2, dim=-1)
    return x


def pool_and_interpolate(x: torch.Tensor) -> torch.Tensor:
    """The same in one step each way."""
    return F.interpolate(F.avg_pool2d(x, 4), scale_factor=4, mode="nearest")


def rejecting(project: Operation) -> Operation:
    return lambda x: x - project(x)


def measure(candidates: dict[str, Operation], x: torch.Tensor) -> dict[str, list[float]]:
    """Milliseconds of each repetition of each candidate, after one call that does not count."""
    for operation in candidates.values():
        operation(x)
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(REPETITIONS):
        for name, operation in candidates.items():
            start = perf_counter()
            operation(x)
            times[name].append(1e3 * (perf_counter() - start))
    return times


def processor() -> str:
    """The name of the CPU, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def main() -> None:
    torch.set_num_threads(THREADS)
    x = torch.randn(BATCH, *SHAPE, generator=torch.Generator().manual_seed(0))
    blocks, low = Downsampling(SHAPE, SHAPE[-1] // SIZE), LowPass(SHAPE, SIZE)
    theirs = {PAPER: pool_and_repeat, "F.interpolate": pool_and_interpolate}
    for project in theirs.values():
        torch.testing.assert_close(blocks.project(x), project(x))
    subjects: dict[str, dict[str, Operation]] = {
        "project": {**theirs, "Downsampling": blocks.project, "LowPass": low.project},
        "reject": {
            **{name: rejecting(project) for name, project in theirs.items()},
            "Downsampling": blocks.reject,
            "LowPass": low.reject,
        },
    }

    print(f"{processor()}, {os.cpu_count()} cores, {platform.system()}; load before the run {os.getloadavg()[0]:.1f}")
    print(f"torch {torch.__version__}, {THREADS} threads, {(BATCH, *SHAPE)} float32 to {SIZE}×{SIZE}")
    print(f"{REPETITIONS} interleaved repetitions; a ratio is the time of {PAPER} over that of the row\n")
    print(f"{'':26}{'median ms':>11}{'ratio':>8}{'fastest ms':>13}{'ratio':>8}")
    for subject, candidates in subjects.items():
        times = measure(candidates, x)
        for name in candidates:
            middle, best = median(times[name]), min(times[name])
            print(
                f"{subject:9}{name:17}{middle:11.1f}{median(times[PAPER]) / middle:8.2f}"
                f"{best:13.1f}{min(times[PAPER]) / best:8.2f}"
            )


if __name__ == "__main__":
    main()
