"""Which levels may a network of the full space serve, and from when on: ``python -m benchmarks.level_error``.

The excess denoising error (`subspace_sde.divergence.level_error`) of one network on `LowPass` levels of several sizes,
on held-out images, beside D_F of the same levels with the same network: the time from which each stays below the
threshold. A level may take over where both do.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch

from examples.images.levels import Level
from subspace_sde import DivergenceCurve, LowPass, orthogonal_fisher_divergence
from subspace_sde.divergence import LevelError, level_error
from subspace_sde.images import load, to_unit

from .project import processor


def crossing(curve: DivergenceCurve | LevelError, threshold: float) -> str:
    try:
        return f"{curve.time_at(threshold):.3f}"
    except ValueError:
        return "never"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--weights", type=Path, default=Path("examples/images/weights/shared.safetensors"))
    parser.add_argument("--data", default="builtin", help="as in examples.images")
    parser.add_argument("--sizes", default="24,20,16,12,8,4")
    parser.add_argument("--count", type=int, default=128, help="held-out images")
    parser.add_argument("--threshold", type=float, default=3e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    level = Level.load(arguments.weights, device)
    images = load(arguments.data, channels=3)
    held_out = torch.from_numpy(to_unit(images.held_out[: arguments.count])).to(device)
    data, sizes = held_out.split(32), [int(n) for n in arguments.sizes.split(",")]
    subspaces = [LowPass(images.shape, n) for n in sizes]
    times = np.linspace(0.25, 0.75, 11).tolist()
    errors = level_error(level.score, level.sde, subspaces, data, times)
    divergences = orthogonal_fisher_divergence(level.score, data, level.sde, subspaces, times)
    print(f"{processor()}, {os.cpu_count()} cores; load before the run {os.getloadavg()[0]:.1f}; {device}")
    print(
        f"{arguments.weights}, trained for {', '.join(level.shared) or level.name}; {len(held_out)} held-out images\n"
    )
    shown = [0.4, 0.5, 0.6, 0.7]
    print(f"from which t at most {arguments.threshold:g}; then the error over the full network's own")
    print(f"{'':8}{'D_F':>8}{'error':>8}" + "".join(f"{f't = {t:g}':>16}" for t in shown))
    for n, error, divergence in zip(sizes, errors, divergences):
        ratios = {round(t, 3): (r, s) for t, r, s in zip(error.times, error.ratio, error.ratio_stderr)}
        cells = [f"{ratios[t][0]:8.3f} ± {ratios[t][1]:.3f}" if t in ratios else f"{'':16}" for t in shown]
        at = [crossing(curve, arguments.threshold) for curve in (divergence, error)]
        print(f"{n:2} × {n:2} {at[0]:>8}{at[1]:>8}" + "".join(cells))


if __name__ == "__main__":
    main()
