"""D_F of every subspace by the full network (eq. 14), and the times at which it meets the threshold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from subspace_sde import DivergenceCurve, orthogonal_fisher_divergence
from subspace_sde.analysis import subspace_named
from subspace_sde.divergence import LevelError, level_error
from subspace_sde.images import Images, to_unit
from subspace_sde.plotting import divergence_curves, save

from .evaluations import seconds_per_evaluation, watched_by
from .levels import SDE, Level
from .results import fingerprint, found_again, write_json


def measure_divergence(
    images: Images,
    full: Level,
    levels: Sequence[str],
    threshold: float,
    out: Path,
    count: int = 128,
    points: int = 21,
    minutes: float = float("inf"),
    seed: int = 0,
    device: torch.device | None = None,
) -> dict[str, Any]:
    """D_F(U_{k|0}; t) of every subspace from the same evaluations of the full network, and t_k at the threshold.

    Of a shared network also its excess error on each level (`level_error`), and from when on that meets the threshold.
    At most `count` training images are used, fewer where `minutes` would not do.

    Raises ValueError without a level beside the full one.
    """
    device = torch.device("cpu") if device is None else device
    names = [n for n in levels if n != "full"]
    if not names:
        raise ValueError("there is no subspace to measure D_F of: name some by --level lowpass:20, say")
    inputs = {
        "data": fingerprint(images), "network": full.digest, "levels": names, "threshold": threshold, "count": count,
        "points": points, "seed": seed,
    }  # fmt: skip
    if (before := found_again(out / "divergence.json", inputs)) is not None:
        return dict(before)
    subspaces = [subspace_named(n, images.shape) for n in names]
    noise = np.log([3.0, 0.03])  # the range of sigma/alpha, in units of the data's range, where the curves fall
    late, early = (full.sde.time_at_log_snr(-2 * float(v), clip=True) for v in noise)
    times = full.sde.grid_between(late, early, points - 1)[::-1]
    batch = 32 if device.type == "cpu" else 256
    like = torch.zeros((batch, *images.shape), device=device)
    cost = seconds_per_evaluation({"full": full.score}, {"full": tuple(like.shape[1:])}, batch, device, repeats=2)
    affordable = int(60 * minutes / (cost["full"] * len(times))) if np.isfinite(minutes) else count
    count = min(len(images.train), count, max(1, affordable) * batch)
    chosen = np.random.default_rng(seed).permutation(len(images.train))[:count]
    data = [torch.from_numpy(to_unit(images.train[chosen[i : i + batch]])).to(device) for i in range(0, count, batch)]
    with tqdm(total=len(data) * len(times), desc="divergence") as bar:
        score = watched_by(bar, full.score)
        curves = orthogonal_fisher_divergence(score, data, full.sde, subspaces, times.tolist(), rng=seed)
    rows: dict[str, dict[str, Any]] = {}
    for name, curve in zip(names, curves):
        t, note = _crossing(curve, threshold)
        rows[name] = {"t": t, "note": note, "values": list(curve.values), "stderr": list(curve.stderr or ())}
        assert curve.parts is not None
        rows[name]["variance"] = variance = curve.parts.energy / curve.parts.lost
        rows[name]["own error"] = own_error(curve, variance, threshold)
    if full.shared:
        # not on training images, and at every other time: this network is every level's, and it may err on one
        some = images.held_out[:count]
        held_out = [torch.from_numpy(to_unit(some[i : i + batch])).to(device) for i in range(0, len(some), batch)]
        errors = level_error(full.score, full.sde, subspaces, held_out, times[::2].tolist(), rng=seed)
        for name, error in zip(names, errors):
            t, note = _crossing(error, threshold)
            rows[name]["error"] = {"t": t, "note": note, "times": list(error.times), "excess": list(error.excess)}
            rows[name]["error"] |= {"ratio": list(error.ratio), "stderr": list(error.ratio_stderr)}
    result = {
        "inputs": inputs,
        "threshold": threshold,
        "images": count,
        "seed": seed,
        "times": times.tolist(),
        "levels": rows,
    }
    write_json(out / "divergence.json", result)
    return result


def own_error(curve: DivergenceCurve, variance: float, threshold: float) -> dict[str, float] | None:
    """Where D_F exceeds by most what a perfect network could have on any data; None where it does nowhere.

    A perfect score is s = −E[ε|x]/σ, so that E‖P⊥s‖² ≤ n⊥/σ², and E⟨P⊥s, x⊥⟩ = −n⊥. Eq. 14 is then Σ⊥ E‖P⊥s‖²/n⊥ − 1,
    at most Σ⊥/σ² − 1 = α²v/σ² with the data's `variance` v = E‖x⊥(0)‖²/n⊥, and at least the D_F of the Gaussian with
    their covariance (Cramér-Rao). What is measured above that is the network's own error. Times at which D_F is below
    the threshold decide nothing and are left out, as is what three standard errors would explain.

    Returns
    -------
    t, value (D_F) and bound (α²v/σ²) at the time at which D_F is the largest multiple of the bound.
    """
    sde = curve.sde or SDE
    beyond = []
    for t, value, error in zip(curve.times, curve.values, curve.stderr or (0.0,) * len(curve.times)):
        bound = variance * math.exp(sde.log_snr(t))
        if value - 3 * error > max(bound, threshold):
            beyond.append({"t": t, "value": value, "bound": bound})
    return max(beyond, key=lambda one: one["value"] / one["bound"], default=None)


def untrained(divergence: dict[str, Any]) -> str:
    """In words, on which subspaces the network's own error was measured, and how much of it; empty where on none."""
    found = {n: row["own error"] for n, row in divergence["levels"].items() if row.get("own error")}
    if not found:
        return ""
    name = max(found, key=lambda n: found[n]["value"] / found[n]["bound"])
    t, value, bound = (found[name][key] for key in ("t", "value", "bound"))
    return (
        f"The network is not trained enough: D_F of {', '.join(found)} shows its own error, not the images. At "
        f"t = {t:.3f} D_F of {name} is {value:.2g}, {value / bound:.1f} times the most ({bound:.2g}) that a perfect "
        "network could have on any images of this variance. Train it longer before you use these times."
    )


def _crossing(curve: DivergenceCurve | LevelError, threshold: float) -> tuple[float | None, str]:
    try:
        return curve.time_at(threshold), ""
    except ValueError as error:
        return None, str(error)


def at_threshold(divergence: dict[str, Any], threshold: float) -> dict[str, Any]:
    """The same curves, read off at another threshold."""
    levels = {}
    for name, row in divergence["levels"].items():
        t, note = _crossing(curve_of(divergence, name), threshold)
        levels[name] = {**row, "t": t, "note": note}
    return {**divergence, "threshold": threshold, "levels": levels}


def curve_of(divergence: dict[str, Any], name: str) -> DivergenceCurve:
    """One curve of `measure_divergence`."""
    row = divergence["levels"][name]
    return DivergenceCurve(divergence["times"], row["values"], row["stderr"], SDE)


def plot_divergence(divergence: dict[str, Any], path: Path) -> None:
    """The paper's Fig. 2 for these images: D_F against t, with standard errors, the threshold and the t_k."""
    curves = {name: curve_of(divergence, name) for name in divergence["levels"]}
    save(divergence_curves(curves, divergence["threshold"]), path)
