"""Long axes, by transforms and by matrices, side by side: ``python -m benchmarks.transforms``.

For each length n of the axis, 2^6 to 2^20 and 16000: milliseconds to restrict float32 arrays to n/4 by `LowPass`, as it
comes (a matrix, beyond some length a transform), by a matrix and by the transform alone, and by scipy's dct and
idct of the same arrays; by torch's FFT and by a matrix; and one level of the wavelet db4 by its filter, by PyWavelets
and by a matrix. All in turn, in another order each turn, the median; milliseconds to build. At last the crossovers:
from which n on the transform, or the filter, takes less time than the matrix.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
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
WAYS = ("build", "LowPass", "scipy", "transform", "matrix", "torch", "torch matrix", "filter", "pywt", "band")


def scipy_way(x: np.ndarray, m: int) -> np.ndarray:
    found: np.ndarray = idct(dct(x, axis=-1, norm="ortho")[..., :m], axis=-1, norm="ortho")
    return found


def timed(ways: dict[str, Callable[[], Any]], turns: int) -> dict[str, float]:
    """Milliseconds of each, the median of the turns after the first."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns + 1):
        first = turn % len(ways)  # what came before leaves the caches as it needs them
        for name in [*ways, *ways][first : first + len(ways)]:
            start = perf_counter()
            ways[name]()
            if turn:
                taken[name].append(1e3 * (perf_counter() - start))
    return {name: median(each) for name, each in taken.items()}


def by(each: AxisMap, x: Any) -> Callable[[], Any]:
    xp = array_api_compat.array_namespace(x)
    return lambda: each.restrict(x, -1, xp)


def measured(n: int, turns: int) -> tuple[int, dict[str, float]]:
    """The batch and the milliseconds of each way, for axes of length n."""
    batch = max(1, min(256, NUMBERS // n))
    x = np.random.default_rng(0).standard_normal((batch, 1, n)).astype(np.float32)
    y, m = torch.from_numpy(x), n // 4
    start = perf_counter()
    low = LowPass((1, n), m, axes=-1)
    build = 1e3 * (perf_counter() - start)
    halving = _Halving(n, _scaling_filter("db4"))
    transform = LowestCosines(n, m)
    ways = {
        "LowPass": lambda: low.restrict(x),
        "transform": lambda: transform._forth(x, -1, array_api_compat.array_namespace(x)),
        "scipy": lambda: scipy_way(x, m),
        "torch": lambda: transform._forth(y, -1, array_api_compat.array_namespace(y)),
        "filter": by(halving, x),
        "pywt": lambda: pywt.dwt(x, "db4", mode="periodization", axis=-1),
    }
    if n <= LONGEST_MATRIX:
        matrix = Dense(transform.matrix())
        ways |= {"matrix": by(matrix, x), "torch matrix": by(matrix, y), "band": by(Dense(halving.matrix()), x)}
    return batch, {"build": build, **timed(ways, turns)}


def crossovers(found: dict[int, dict[str, float]]) -> Iterator[str]:
    """From which n on one way takes less time than another."""
    for one, other in (("transform", "matrix"), ("torch", "torch matrix"), ("filter", "band")):
        slower = [n for n, row in found.items() if other in row and row[one] >= row[other]]
        faster = [n for n, row in found.items() if other in row and n > max(slower, default=0)]
        yield f"{one} below {other}: {f'from n = {min(faster)} on' if faster else 'at no n measured'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--length", type=int, action="append", help="2^6 to 2^20, and 16000, without it")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lengths = arguments.length or sorted([*(2**k for k in range(6, 21)), 16000])
    print(f"{processor()}, {os.cpu_count()} cores, one thread; load before the run {os.getloadavg()[0]:.1f}\n")
    print(f"{'n':>8}{'batch':>7}" + "".join(f"{name:>14}" for name in (*WAYS, "LowPass/scipy", "filter/pywt")))
    found = {}
    for n in lengths:
        batch, row = measured(n, arguments.turns)
        found[n] = row
        ratios = row["LowPass"] / row["scipy"], row["filter"] / row["pywt"]
        cells = [f"{row[name]:14.2f}" if name in row else f"{'':14}" for name in WAYS]
        print(f"{n:8}{batch:7}" + "".join(cells) + "".join(f"{ratio:14.2f}" for ratio in ratios), flush=True)
    print("", *crossovers(found), sep="\n")


if __name__ == "__main__":
    main()
