"""From one held-out image to another, along the great circle between their latents."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from subspace_sde import decode, encode
from subspace_sde.images import Images, to_unit
from subspace_sde.likelihood import interpolate
from subspace_sde.sampling import stage_times
from subspace_sde.solvers import Heun

from .comparison import Way, ways
from .devices import machine
from .evaluations import watched_by
from .levels import Level
from .results import fingerprint, folder_of, kept, write_json
from .strips import save_strips


def interpolate_pairs(
    images: Images,
    models: dict[str, Level],
    plans: Mapping[str, Sequence[str]],
    divergence: dict[str, Any],
    out: Path,
    pairs: int = 3,
    points: int = 9,
    steps: int = 40,
    seed: int = 0,
    device: torch.device | None = None,
) -> dict[str, Any]:
    """Encode, interpolate and decode `pairs` pairs of held-out images, by the full model and by every plan in stages.

    Each way's images are kept, and found again by a later call with the same networks, plans and settings. Writes
    ``interpolate.json`` and ``interpolate.png``.
    """
    if not 1 <= pairs <= len(images.held_out) // 2:
        raise ValueError(f"{len(images.held_out)} held-out images make {len(images.held_out) // 2} pairs, not {pairs}")
    device = torch.device("cpu") if device is None else device
    chosen = np.random.default_rng(seed).permutation(len(images.held_out))[: 2 * pairs]
    photographs = to_unit(images.held_out[chosen])
    found = {name: way for name, way in ways(images, models, plans, divergence).items() if not way.full}
    settings = {
        "stage": "interpolate", "data": fingerprint(images), "images": chosen.tolist(), "points": points,
        "steps": steps, "machine": machine(device),
    }  # fmt: skip
    x, rows = torch.from_numpy(photographs).to(device), {}
    walks, evaluations = {}, {n: sum(2 * len(t) - 2 for t in stage_times(w.process, steps)) for n, w in found.items()}
    with tqdm(total=2 * sum(evaluations.values()), desc="interpolate", unit="evaluation") as bar:
        for name, way in found.items():
            file = folder_of(settings | {"way": way.settings}, out) / "walks.npz"
            if file.exists():
                bar.update(2 * evaluations[name])

            def compute(way: Way = way) -> dict[str, Any]:
                return _walks(way, x, points, steps, bar)

            walk = kept(file, compute)
            walks[name] = walk["x"]
            ends = walk["x"][:, [0, -1]].reshape(photographs.shape)
            rows[name] = {
                "levels": way.levels,
                "times": list(way.process.times),
                "length": float(walk["lengths"].mean()),
                "angle": float(walk["angles"].mean()),
                "round trip": float(np.sqrt(np.mean((ends - photographs) ** 2))),
                "evaluations": evaluations[name],
                "seconds per image": float(walk["seconds"]) / (2 * pairs + pairs * points),
            }
    save_strips(
        {f"{name} ({i + 1})": walk[i] for i in range(pairs) for name, walk in walks.items()}, out / "interpolate.png"
    )
    result = settings | {"ways": rows}
    write_json(out / "interpolate.json", result)
    return result


def _walks(way: Way, x: Any, points: int, steps: int, bar: Any) -> dict[str, Any]:
    """Pairs of neighbours in x, and what lies between them: (pairs, points, 3, H, W)."""
    scores = [watched_by(bar, score) for score in way.scores]
    started = time.perf_counter()
    z = encode(way.process, scores, x, Heun(), steps)
    weights = np.linspace(0, 1, points).tolist()
    between = torch.stack([interpolate(a, b, weights) for a, b in zip(z[::2], z[1::2])])
    found = decode(way.process, scores, between, Heun(), steps).cpu().numpy()
    seconds = time.perf_counter() - started
    flat = z.flatten(1).double().cpu().numpy()
    lengths = np.linalg.norm(flat, axis=1)
    cosines = np.sum(flat[::2] * flat[1::2], axis=1) / (lengths[::2] * lengths[1::2])
    return {
        "x": found,
        "seconds": seconds,
        "lengths": lengths / np.sqrt(flat.shape[1]),
        "angles": np.degrees(np.arccos(cosines)),
    }
