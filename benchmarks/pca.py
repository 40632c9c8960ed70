"""PCA of images against scikit-learn's exact solvers, time and memory side by side: ``python -m benchmarks.pca DATA``.

DATA is whatever `subspace_sde.images.load` reads; the figures of the documentation are CIFAR-10's training images,
50,000 × 3072, to 768 components. Each candidate starts from the uint8 pixels, as they lie in memory after reading, and
ends with its components; ours streams float32 batches, scikit-learn needs the float32 matrix. Every run is a process of
its own (so that its peak memory is its own), the candidates take turns, and the residuals are compared in float64.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

COMPONENTS = 768


def ours(pixels: Any) -> Any:
    from subspace_sde import pca
    from subspace_sde.images import unit_batches

    return pca(unit_batches(pixels, 4096), COMPONENTS).matrix()


def scikit_learn(solver: str, pixels: Any, copy: bool = True) -> Any:
    from sklearn.decomposition import PCA

    from subspace_sde.images import to_unit

    x = to_unit(pixels).reshape(len(pixels), -1)
    return PCA(COMPONENTS, svd_solver=solver, copy=copy).fit(x).components_.T


CANDIDATES = {
    "subspace_sde.pca": ours,
    "covariance_eigh": lambda pixels: scikit_learn("covariance_eigh", pixels),
    "the same, in place": lambda pixels: scikit_learn("covariance_eigh", pixels, copy=False),
    "full": lambda pixels: scikit_learn("full", pixels),
}


def peak_megabytes() -> float:
    """Of this process; getrusage would count what its parent held when it was started."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def run_one(name: str, file: Path, basis: Path) -> None:
    """One candidate in this process: seconds and the peak of its memory, before anything is compared."""
    pixels = np.load(file)
    CANDIDATES[name](pixels[: 2 * COMPONENTS, :, :16, :16])  # imports what it needs, and wakes the threads
    started = time.perf_counter()
    matrix = CANDIDATES[name](pixels)
    seconds = time.perf_counter() - started
    peak = peak_megabytes()
    np.save(basis, matrix)
    print(json.dumps({"seconds": seconds, "megabytes": peak}))


def residual(pixels: Any, basis: Any) -> float:
    """E‖x − μ − P(x − μ)‖² in float64, from the data themselves."""
    from subspace_sde import Basis, rmsd
    from subspace_sde.images import unit_batches

    subspace = Basis(basis.astype(np.float32), pixels.shape[1:])
    wide = (batch.astype(np.float64) for batch in unit_batches(pixels, 2048))
    return rmsd(subspace, wide, center=True) ** 2


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("data", help="a folder, .npz or .parquet file of images")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--full", action="store_true", help="time the slow SVD of scikit-learn too")
    arguments = parser.parse_args()
    from subspace_sde.images import load

    from .project import processor

    images = load(arguments.data)
    pixels = np.concatenate([images.train, images.held_out])
    print(f"{processor()}, {os.cpu_count()} cores; load before the run {os.getloadavg()[0]:.1f}")
    print(f"{len(pixels)} × {pixels[0].size} to {COMPONENTS} components, {arguments.repetitions} interleaved runs\n")
    names = [name for name in CANDIDATES if name != "full" or arguments.full]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pixels.npy"
        np.save(file, pixels)
        for _ in range(arguments.repetitions):
            for name in names:
                command = [sys.executable, "-m", "benchmarks.pca", "--one", name, str(file), f"{folder}/{name}.npy"]
                found[name].append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        residuals = {name: residual(pixels, np.load(f"{folder}/{name}.npy")) for name in names}
    mine = found["subspace_sde.pca"]
    print(f"{'':20}{'median s':>10}{'ratio':>8}{'fastest s':>11}{'ratio':>8}{'peak MB':>9}{'ratio':>8}{'residual':>13}")
    for name in names:
        seconds, peak = ([run[key] for run in found[name]] for key in ("seconds", "megabytes"))
        ours_seconds, ours_peak = ([run[key] for run in mine] for key in ("seconds", "megabytes"))
        print(
            f"{name:20}{median(seconds):10.2f}{median(seconds) / median(ours_seconds):8.2f}"
            f"{min(seconds):11.2f}{min(seconds) / min(ours_seconds):8.2f}"
            f"{max(peak):9.0f}{max(ours_peak) / max(peak):8.2f}{residuals[name]:13.6e}"
        )
    print("\nratios: the row's time over ours, our peak memory over the row's; the peak is the whole process's")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        run_one(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
