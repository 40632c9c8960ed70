"""How far videos of a ball are from others: whether it keeps its brightness, how fast it moves, what pixels hold."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from scipy.stats import wasserstein_distance

Matrix: TypeAlias = np.ndarray[Any, Any]


def flicker(x: Matrix) -> float:
    """Standard deviation over mean of the brightness of the frames of a video; the mean over (N, 1, frames, H, W)."""
    brightness = x[:, 0].astype(np.float64).sum(axis=(-2, -1))
    return float(np.mean(brightness.std(axis=1) / brightness.mean(axis=1)))


def speeds(x: Matrix) -> Matrix:
    """How many pixels the centre of brightness moves from each frame to the next, (N, 15)."""
    frames = x[:, 0].astype(np.float64)
    brightness = frames.sum(axis=(-2, -1))
    rows = np.einsum("nthw,h->nt", frames, np.arange(frames.shape[-2])) / brightness
    columns = np.einsum("nthw,w->nt", frames, np.arange(frames.shape[-1])) / brightness
    found: Matrix = np.hypot(np.diff(rows), np.diff(columns))
    return found


def judge(x: Matrix, reference: Matrix) -> dict[str, float]:
    """The `flicker`, and Wasserstein distances (order 1): of the `speeds` in pixels a frame, and of the pixels."""
    return {
        "flicker": flicker(x),
        "speed": float(wasserstein_distance(speeds(x).ravel(), speeds(reference).ravel())),
        "pixels": float(wasserstein_distance(x.ravel(), reference.ravel())),
    }
