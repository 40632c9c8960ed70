"""What measuring D_F costs in evaluations of a network: ``python -m benchmarks.divergence``.

The demo's full network on crops of photographs, five subspaces, VE (0.01, 50). First: the curves of all five on a grid
of 21 times from shared evaluations, against five passes of their own. Then: the switch times to a standard error of
0.002, by the grid (as many images as its own standard errors say it needs) and by the adaptive search.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from examples.images.levels import load_levels
from subspace_sde import DivergenceCurve, orthogonal_fisher_divergence
from subspace_sde.analysis import subspace_named
from subspace_sde.divergence import switch_times
from subspace_sde.images import load, to_unit

from .project import processor

NAMES = ["lowpass:24", "lowpass:20", "lowpass:8", "downsampling:16", "db2:16"]
THRESHOLD, STDERR, POINTS = 3e-3, 0.002, 21


def error_of_time(curve: DivergenceCurve, threshold: float) -> float:
    """Standard error of `time_at`: of log D_F between the two times around it, over the slope."""
    assert curve.stderr is not None
    t = curve.time_at(threshold)
    i = int(np.searchsorted(curve.times, t)) - 1
    (a, b), (u, v) = curve.times[i : i + 2], curve.values[i : i + 2]
    part = (t - a) / (b - a)
    relative = [curve.stderr[j] / curve.values[j] for j in (i, i + 1)]
    # the same images at both times: their errors move together, so that they are not averaged away
    return ((1 - part) * relative[0] + part * relative[1]) * (b - a) / math.log(u / v)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--weights", type=Path, default=Path("examples/images/weights"))
    parser.add_argument("--count", type=int, default=128, help="images on the grid")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    device = torch.device(arguments.device)
    images = load("builtin")
    full = load_levels(arguments.weights, ["full"], images.shape, device)["full"]
    subspaces = [subspace_named(name, images.shape) for name in NAMES]
    data = [torch.from_numpy(to_unit(images.train[i : i + 32])).to(device) for i in range(0, arguments.count, 32)]
    times = np.linspace(0.25, 0.65, POINTS).tolist()
    rows = [0]

    def score(x: Any, t: Any) -> Any:
        rows[0] += x.shape[0]
        with torch.no_grad():
            return full.score(x, t)

    def measured(run: Any) -> tuple[Any, int, float]:
        rows[0], started = 0, time.perf_counter()
        found = run()
        return found, rows[0], time.perf_counter() - started

    print(f"{processor()}, {os.cpu_count()} cores; load before the run {os.getloadavg()[0]:.1f}; {device}")
    print(f"{arguments.count} images, {POINTS} times, {', '.join(NAMES)}\n")
    curves, together, seconds = measured(lambda: orthogonal_fisher_divergence(score, data, full.sde, subspaces, times))
    _, apart, long = measured(
        lambda: [orthogonal_fisher_divergence(score, data, full.sde, [u], times) for u in subspaces]
    )
    print(f"five subspaces together: {together} evaluations, {seconds:.1f} s; one by one: {apart}, {long:.1f} s;")
    print(f"ratio {together / apart:.3f} of the evaluations, {seconds / long:.3f} of the time\n")
    print(f"to a standard error of {STDERR} in t at D_F = {THRESHOLD:g}: evaluations")
    print(f"{'':18}{'t, grid':>9}{'± then':>9}{'grid':>9}{'t, adaptive':>13}{'± then':>9}{'adaptive':>10}{'ratio':>8}")
    shuffled = [torch.from_numpy(to_unit(images.train[i : i + 512])).to(device) for i in range(0, 8192, 512)]
    for name, subspace, curve in zip([*NAMES, "all five"], [*subspaces, None], [*curves, None]):
        chosen = subspaces if subspace is None else [subspace]
        found, used, _ = measured(lambda: switch_times(score, shuffled, full.sde, chosen, THRESHOLD, STDERR))  # noqa: B023
        worst = max(found, key=lambda s: s.stderr)
        errors = [error_of_time(c, THRESHOLD) for c in (curves if curve is None else [curve])]
        needed = POINTS * arguments.count * (max(errors) / STDERR) ** 2
        t = "" if curve is None else f"{curve.time_at(THRESHOLD):.4f}"
        again = "" if curve is None else f"{worst.t:.4f}"
        print(
            f"{name:18}{t:>9}{max(errors):9.4f}{needed:9.0f}{again:>13}{worst.stderr:9.4f}{used:10}{used / needed:8.3f}"
        )


if __name__ == "__main__":
    main()
