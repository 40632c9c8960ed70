"""Seconds and peak memory of ``subspace-sde analyse``, the whole process, for sound, volumes and grey images.

    python -m benchmarks.analysis [--sound 1000x16000] [--volumes 128x64x64x64] [--grey 20000x32x32x1]

The data are made here, smooth ones, and written to a temporary folder: the sound and the volumes as ``.npy``, float32,
the images as ``.npz``, uint8. Each command is a process of its own on one thread; the baseline is one that imports the
command line and stops.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.fft import idctn

KINDS = {"sound": "1000x16000", "volumes": "128x64x64x64", "grey": "20000x32x32x1"}


def written(folder: Path, kind: str, shape: tuple[int, ...]) -> Path:
    """A file of samples whose amplitude falls with the frequency."""
    count, *edges = shape
    axes = [a for a, n in enumerate(edges) if n > 1]
    grid = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in edges), indexing="ij")
    decay = 1 / (1 + sum(grid[a] ** 2 for a in axes)) ** 0.75
    rng, file = np.random.default_rng(0), folder / f"{kind}.npy"
    x = np.lib.format.open_memmap(file, "w+", np.float32, shape)
    for i in range(count):
        x[i] = idctn(rng.standard_normal(edges, dtype=np.float32) * decay, axes=axes, norm="ortho")
    if kind != "grey":
        return file
    np.savez(folder / "grey.npz", np.clip(128 + 40 * x / x.std(), 0, 255).astype(np.uint8))
    return folder / "grey.npz"


def measured(arguments: list[str]) -> tuple[float, float, str]:
    """Seconds, peak memory in GB, and the last line of what was printed."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    text = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(arguments)} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 2**20, text.strip().splitlines()[-1] if text else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind, shape in KINDS.items():
        parser.add_argument(f"--{kind}", default=shape, help=f"{shape}, or nothing to leave it out")
    given = vars(parser.parse_args())
    os.environ["OMP_NUM_THREADS"] = "1"
    seconds, memory, _ = measured(["-c", "import subspace_sde.cli"])
    print(f"the command line alone: {seconds:.1f} s, {memory:.2f} GB")
    with tempfile.TemporaryDirectory() as folder:
        for kind, text in given.items():
            if text:
                file = written(Path(folder), kind, tuple(map(int, text.split("x"))))
                seconds, memory, answer = measured(["-m", "subspace_sde", "analyse", str(file)])
                print(f"{kind} {text}: {seconds:.1f} s, {memory:.2f} GB: {answer}", flush=True)


if __name__ == "__main__":
    main()
