"""How busy a GPU was: operations a second in training and in sampling, over those that it can do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from statistics import median
from typing import Any

import torch

from subspace_sde.analysis import subspace_named
from subspace_sde.backend import backend_of
from subspace_sde.planning import flops

from ..levels import Level
from ..shared import scale_of

STEP = 3  # a training step costs as much as this many evaluations
TYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def operations(level: Level, device: torch.device) -> float:
    """Floating-point operations of one evaluation of this level on one sample, those of products and convolutions."""
    like = torch.zeros((), device=device)
    return flops(lambda subspace: level.score, like, 0.5)(level.subspace)


@cache
def peak(device: torch.device, precision: str = "no") -> float:
    """Operations a second of a large convolution, 3 × 3 with 256 channels: what a U-Net could reach here at most."""
    dtype, (n, c, edge) = TYPES[precision], (4 if device.type == "cpu" else 256, 256, 32)
    x, w = (torch.randn(shape, device=device, dtype=dtype) for shape in ((n, c, edge, edge), (c, c, 3, 3)))
    taken, backend = [], backend_of(x)
    with torch.no_grad():
        for _ in range(8):
            backend.synchronize(x)
            started = time.perf_counter()
            torch.nn.functional.conv2d(x, w, padding=1)
            backend.synchronize(x)
            taken.append(time.perf_counter() - started)
    return 2 * 9 * n * c * c * edge * edge / median(taken[2:])  # the first ones warm up


def training(level: Level, device: torch.device) -> dict[str, float]:
    """Images of the full size a second in training, and the share of the peak; empty for a recipe that does not say.

    A step of a shared network that is for images c times smaller has 1/c of the pixels, c times as many images of 1/c²
    each.
    """
    recipe = level.recipe
    if not all(recipe.get(key) for key in ("minutes", "steps", "batch", "precision")):
        return {}
    shape, shares = level.subspace.ambient_shape, recipe.get("shares") or {"full": 1.0}  # one of its own: all its size
    pixels = sum(share / scale_of(name, subspace_named(name, shape)) for name, share in shares.items())
    images = recipe["steps"] * recipe["batch"] * pixels / (60 * recipe["minutes"])
    share = STEP * images * operations(level, device) / peak(device, recipe["precision"])
    return {"images a second": images, "of peak": share}


def sampling(cells: list[dict[str, Any]], networks: Mapping[str, Mapping[str, Level]], device: torch.device) -> Any:
    """The same of each cell's samples, by its name."""
    each = {kind: {n: operations(level, device) for n, level in levels.items()} for kind, levels in networks.items()}
    best = peak(device)

    def of(cell: dict[str, Any]) -> dict[str, float]:
        done = sum(n * each[cell["networks"]][name] for n, name in zip(cell["evaluations"], ["full", *cell["levels"]]))
        return {"images a second": 1 / cell["seconds"], "of peak": done / cell["seconds"] / best}

    return {cell["name"]: of(cell) for cell in cells}
