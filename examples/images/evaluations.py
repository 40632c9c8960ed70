"""Evaluations of a score: how long one takes, and a progress bar that counts them."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch

from subspace_sde.arrays import Score
from subspace_sde.backend import backend_of


def seconds_per_evaluation(
    scores: dict[str, Score], shapes: dict[str, tuple[int, ...]], batch: int, device: torch.device, repeats: int = 7
) -> dict[str, float]:
    """The median time of one call of each score on a batch, the scores taken in turn."""
    taken: dict[str, list[float]] = {name: [] for name in scores}
    with torch.no_grad():
        for round_ in range(repeats + 1):
            for name, score in scores.items():
                x = torch.randn((batch, *shapes[name]), device=device)
                backend_of(x).synchronize(x)
                started = time.perf_counter()
                score(x, 0.4)
                backend_of(x).synchronize(x)
                if round_:  # the first round warms up
                    taken[name].append(time.perf_counter() - started)
    return {name: float(np.median(t)) for name, t in taken.items()}


def watched_by(bar: Any, score: Score) -> Score:
    """`score`, moving a progress bar by one at each call."""

    def watched(x: Any, t: Any) -> Any:
        bar.update()
        return score(x, t)

    return watched
