"""Bits per dimension of held-out images: the full model alone, and every plan in stages and by its full score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from subspace_sde import log_likelihood
from subspace_sde.backend import streams
from subspace_sde.images import Images, to_unit
from subspace_sde.likelihood import Bins, FullScore, Hutchinson, Staged
from subspace_sde.sampling import stage_times
from subspace_sde.solvers import DPMSolver

from .comparison import Way, summary, ways
from .devices import machine
from .evaluations import watched_by
from .levels import Level
from .results import fingerprint, folder_of, kept, write_json

CHUNK = 8


def measure_likelihood(
    images: Images,
    models: dict[str, Level],
    plans: Mapping[str, Sequence[str]],
    divergence: dict[str, Any],
    out: Path,
    num: int = 16,
    steps: int = 80,
    probes: int = 1,
    seed: int = 0,
    device: torch.device | None = None,
) -> dict[str, Any]:
    """log₂ P of `num` held-out images over their dimension, by DPM-Solver of order 3, chunk by chunk, the ways in turn.

    Image i has the same dequantising noise in every way, so that differences between two ways are far more certain
    than either number. Chunks are kept, and found again by a later call with the same networks, plans and settings.
    """
    device = torch.device("cpu") if device is None else device
    held_out = images.held_out[:num]
    chunk = CHUNK if device.type == "cpu" else 256
    found = ways(images, models, plans, divergence)
    settings = {
        "stage": "likelihood", "data": fingerprint(images), "num": len(held_out), "steps": steps, "probes": probes,
        "seed": seed, "chunk": chunk, "machine": machine(device),
    }  # fmt: skip
    starts = range(0, len(held_out), chunk)
    evaluations = {  # one a step, and one more where a stage begins
        name: sum(len(times) for times in stage_times(way.process, steps)) for name, way in found.items()
    }
    parts: dict[str, list[dict[str, Any]]] = {name: [] for name in found}
    with tqdm(total=sum(evaluations.values()) * len(starts), desc="likelihood", unit="evaluation") as bar:
        for start in starts:
            x = torch.from_numpy(to_unit(held_out[start : start + chunk])).to(device)
            for name, way in found.items():
                file = folder_of(settings | {"way": way.settings}, out) / f"{start}.npz"
                if file.exists():
                    bar.update(evaluations[name])

                def compute(way: Way = way, x: Any = x, start: int = start) -> dict[str, Any]:
                    scores = [watched_by(bar, score) for score in way.scores]
                    likelihood = log_likelihood(
                        way.process, scores, x, FullScore() if way.full else Staged(), DPMSolver(3), steps,
                        Hutchinson(probes), streams(seed, start, start + len(x)), Bins(),
                    )  # fmt: skip
                    per_bit = -1 / (likelihood.dim * math.log(2))
                    return {
                        "bits": per_bit * likelihood.estimates[0],
                        "seconds": likelihood.seconds,
                        "evaluations": likelihood.evaluations,
                    }

                parts[name].append(kept(file, compute))
    result = settings | {"ways": _compared(found, parts)}
    write_json(out / "likelihood.json", result)
    return result


def _compared(found: dict[str, Way], parts: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Of every way the mean over images, its standard error, and those of the difference from the full model."""
    draws = {name: np.concatenate([p["bits"] for p in chunks], axis=1) for name, chunks in parts.items()}
    bits = {name: d.mean(axis=0) for name, d in draws.items()}
    seconds = {name: float(sum(p["seconds"].sum() for p in chunks)) for name, chunks in parts.items()}
    rows = {}
    for name, way in found.items():
        mean, stderr = summary(bits[name])
        over, over_stderr = summary(bits[name], bits["full model"])
        rows[name] = {
            "levels": way.levels,
            "times": list(way.process.times),
            "bits": bits[name].tolist(),
            "mean": mean,
            "stderr": stderr,
            "over full": over,
            "over full stderr": over_stderr,
            # of one image's number, from the spread of its probes
            "probe stderr": float(np.mean([summary(d)[1] for d in draws[name].T])) if len(draws[name]) > 1 else None,
            "evaluations": parts[name][0]["evaluations"].tolist(),
            "seconds per image": seconds[name] / len(bits[name]),
            "ratio": seconds[name] / seconds["full model"],
        }
    return rows
