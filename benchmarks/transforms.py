"""Long axes, by transforms and by matrices, side by side: ``python -m benchmarks.transforms``.

For each length n of the axis: milliseconds to restrict float32 arrays to n/4 by `LowPass`, as it comes (a matrix up to
`SHORT`, beyond it a transform), by a matrix, and by scipy's dct and idct of the same arrays; by torch's FFT; and one
level of the wavelet db4 by its filter, by PyWavelets and by a matrix. All in turn, the median; milliseconds to build.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import array_api_compat
import numpy as np
import pywt
import torch
from scipy.fft import dct, idct

from subspace_sde import LowPass
from subspace_sde.subspaces.axis_maps import AxisMap, Dense
from subspace_sde.subspaces.cosines import LowestCosines
from subspace_sde.subspaces.wavelet import _Halving, _scaling_filter

from .project import processor

NUMBERS = 2**22  # of a batch
LONGEST_MATRIX = 2**12


def scipy_way(x: np.ndarray, m: int) -> np.ndarray:
    found: np.ndarray = idct(dct(x, axis=-1, norm="ortho")[..., :m], axis=-1, norm="ortho")
    return found


def timed(ways: dict[str, Callable[[], Any]], turns: int) -> dict[str, float]:
    """Milliseconds of each, the median of the turns after the first."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        for name, way in ways.items():
            start = perf_counter()
            way()
            if turn:
                taken[name].append(1e3 * (perf_counter() - start))
    return {name: median(each) for name, each in taken.items()}


def by(each: AxisMap, x: Any) -> Callable[[], Any]:
    xp = array_api_compat.array_namespace(x)
    return lambda: each.restrict(x, -1, xp)


def measured(n: int, turns: int) -> tuple[int, list[float | None]]:
    """The batch and a row of the table, for axes of length n."""
    batch = max(1, min(256, NUMBERS // n))
    x = np.random.default_rng(0).standard_normal((batch, 1, n)).astype(np.float32)
    y, m = torch.from_numpy(x), n // 4
    start = perf_counter()
    low = LowPass((1, n), m, axes=-1)
    build = 1e3 * (perf_counter() - start)
    halving = _Halving(n, _scaling_filter("db4"))
    ways = {
        "LowPass": lambda: low.restrict(x),
        "scipy": lambda: scipy_way(x, m),
        "torch": by(LowestCosines(n, m), y),
        "filter": by(halving, x),
        "pywt": lambda: pywt.dwt(x, "db4", mode="periodization", axis=-1),
    }
    if n <= LONGEST_MATRIX:
        matrix = Dense(LowestCosines(n, m).matrix())
        ways |= {"matrix": by(matrix, x), "torch matrix": by(matrix, y), "band": by(Dense(halving.matrix()), x)}
    taken = timed(ways, turns)
    ratios = taken["LowPass"] / taken["scipy"], taken["filter"] / taken["pywt"]
    row: list[float | None] = [build, taken["LowPass"], taken["scipy"], ratios[0], taken.get("matrix"), taken["torch"]]
    return batch, [*row, taken.get("torch matrix"), taken["filter"], taken["pywt"], ratios[1], taken.get("band")]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--length", type=int, action="append", help="2^6 to 2^20, and 16000, without it")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lengths = arguments.length or [*(2**k for k in range(6, 13)), 16000, 2**16, 2**20]
    print(f"{processor()}, {os.cpu_count()} cores, one thread; load before the run {os.getloadavg()[0]:.1f}\n")
    columns = ("build", "LowPass", "scipy", "ratio", "matrix", "torch", "matrix", "filter", "pywt", "ratio", "matrix")
    print(f"{'n':>8}{'batch':>8}" + "".join(f"{name:>9}" for name in columns))
    for n in lengths:
        batch, row = measured(n, arguments.turns)
        print(f"{n:8}{batch:8}" + "".join(f"{'':9}" if value is None else f"{value:9.2f}" for value in row), flush=True)


if __name__ == "__main__":
    main()
