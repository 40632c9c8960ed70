"""How busy the device was: operations a second in training and in sampling, over those that it can do."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from statistics import median
from typing import Any

import torch

from subspace_sde.backend import backend_of
from subspace_sde.planning import flops

from ..devices import machine
from ..levels import Level
from ..results import write_json
from .study import Study

BACKWARD = 3  # a training step costs as much as this many evaluations
TYPES = {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def operations(level: Level, device: torch.device) -> float:
    """Floating-point operations of one evaluation of this level on one sample, those of products and convolutions."""
    like = torch.zeros((), device=device)
    return flops(lambda subspace: level.score, like, 0.5)(level.subspace)


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


def peaks(study: Study) -> dict[str, float]:
    """`peak` for each precision that is asked for, measured once on a machine and kept."""
    file = study.out / "peak.json"
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    here = found.setdefault(machine(study.device), {})
    recipes = [level.recipe for levels in study.networks.values() for level in levels.values()]
    if missing := {"no", *(recipe["precision"] for recipe in recipes)} - set(here):
        here |= {precision: peak(study.device, precision) for precision in sorted(missing)}
        write_json(file, found)
    return dict(here)


def training(level: Level, study: Study) -> dict[str, float]:
    """Images a second in training, and the share of the peak; empty where it was trained on another kind of device.

    A shared network counts images of the full size: each of its steps has as many pixels.
    """
    recipe = level.recipe
    if not recipe["minutes"] or torch.device(recipe["device"]).type != study.device.type:
        return {}
    images = recipe["steps"] * recipe["batch"] / (60 * recipe["minutes"])
    share = BACKWARD * images * operations(level, study.device) / peaks(study)[recipe["precision"]]
    return {"images a second": images, "of peak": share}


def sampling(cells: list[dict[str, Any]], study: Study) -> dict[str, Mapping[str, float]]:
    """The same of each cell's samples, by its name."""
    each = {
        kind: {name: operations(level, study.device) for name, level in levels.items()}
        for kind, levels in study.networks.items()
    }
    best = peaks(study)["no"]

    def of(cell: dict[str, Any]) -> Mapping[str, float]:
        done = sum(n * each[cell["networks"]][name] for n, name in zip(cell["evaluations"], ["full", *cell["levels"]]))
        return {"images a second": 1 / cell["seconds"], "of peak": done / cell["seconds"] / best}

    return {cell["name"]: of(cell) for cell in cells}
