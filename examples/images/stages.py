"""The stages between photographs and samples: compare subspaces, measure D_F, read off the times, sample side by side.

Every stage is a function that writes what it found into the folder of the run, whole or not at all, and returns it.
It writes what it was made from too; asked for the same again, it finds it instead of computing it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from subspace_sde import (
    VE,
    DivergenceCurve,
    IsotropicSDE,
    NestedSubspaces,
    SubspaceSDE,
    orthogonal_fisher_divergence,
)
from subspace_sde import analysis as library
from subspace_sde.analysis import subspace_named
from subspace_sde.analysis.report import write
from subspace_sde.arrays import Score
from subspace_sde.backend import backend_of
from subspace_sde.images import Images, to_unit, unit_batches
from subspace_sde.specification import specify

from .levels import Level, file_name

SDE: IsotropicSDE = VE(0.01, 50.0)


def write_json(path: Path, content: Any) -> None:
    """Write `content`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(content, indent=1))
    os.replace(fresh, path)


def read_json(path: Path, stage: str) -> Any:
    """What a stage wrote, or a ValueError that says to run it first."""
    if not path.exists():
        raise ValueError(f"{path} is missing: run `python -m examples.images {stage}` with the same --out first")
    return json.loads(path.read_text())


def found_again(path: Path, inputs: dict[str, Any]) -> Any:
    """What a stage wrote when it was made from the same `inputs`, or None."""
    content = json.loads(path.read_text()) if path.exists() else {}
    return content if content.get("inputs") == json.loads(json.dumps(inputs)) else None


def kept(file: Path, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The arrays in `file`; where it is missing they are computed, and written whole or not at all."""
    if not file.exists():
        arrays = compute()
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_name(file.stem + ".new.npz")
        np.savez(fresh, **arrays)
        os.replace(fresh, file)
    with np.load(file) as found:
        return dict(found)


def summary(values: Any, reference: Any = 0.0) -> tuple[float, float | None]:
    """The mean of values − reference, and its standard error; None for one value."""
    differences = np.asarray(values, dtype=np.float64) - np.asarray(reference)
    error = differences.std(ddof=1) / np.sqrt(len(differences)) if len(differences) > 1 else None
    return float(differences.mean()), None if error is None else float(error)


def folder_of(settings: dict[str, Any], out: Path) -> Path:
    """The folder in which a stage keeps what it makes from these settings."""
    return out / "chunks" / hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]


def fingerprint(images: Images) -> str:
    """The training images in sixteen letters."""
    return hashlib.sha256(images.train.tobytes()).hexdigest()[:16]


def pick_device(device: str) -> torch.device:
    """``auto`` is CUDA where there is one, then MPS, then the CPU."""
    if device == "auto":
        mps = torch.backends.mps.is_available()
        device = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"the device {device!r} is not to be had here: {str(error).splitlines()[0]}") from error
    return torch.device(device)


def default_levels(shape: tuple[int, int, int]) -> list[str]:
    """``full``, two low-pass sizes near 5/8 and 1/4 of the edges (divisible by 4), and block means of half of them."""
    edges, edge = shape[1:], min(shape[1:])
    sizes = [n for n in range(4, edge, 4) if all(round(n * whole / edge) % 4 == 0 for whole in edges)]
    near = [min(sizes, key=lambda n: abs(n - part * edge)) for part in (5 / 8, 1 / 4) if sizes]
    halves = [f"downsampling:{edge // 2}"] if all(n % 8 == 0 for n in edges) else []
    return ["full", *(f"lowpass:{n}" for n in dict.fromkeys(near)), *halves]


def plans_of(levels: Sequence[str]) -> dict[str, list[str]]:
    """The plans that these levels make: the full model alone, and one for each kind of subspace, largest size first."""
    plans: dict[str, list[str]] = {"full": []}
    for name in levels:
        if name != "full":
            plans.setdefault(name.partition(":")[0], []).append(name)
    return {kind: sorted(names, key=lambda n: -int(n.partition(":")[2])) for kind, names in plans.items()}


def analyse(images: Images, levels: Sequence[str], threshold: float, out: Path) -> dict[str, Any]:
    """What `subspace_sde.analysis` finds without a network, these levels among its rows, and its pictures."""
    inputs = {"data": fingerprint(images), "levels": list(levels), "threshold": threshold}
    if (before := found_again(out / "analysis.json", inputs)) is not None:
        return dict(before)
    found = library.analyse(images, levels, SDE, threshold)
    return write(found, images, out, inputs=inputs, train=len(images.train), held_out=len(images.held_out))


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

    At most `count` training images are used, fewer where `minutes` would not do.
    """
    device = torch.device("cpu") if device is None else device
    names = [n for n in levels if n != "full"]
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
    rows = {}
    for name, curve in zip(names, curves):
        try:
            t, note = curve.time_at(threshold), ""
        except ValueError as error:
            t, note = None, str(error)
        rows[name] = {"t": t, "note": note, "values": list(curve.values), "stderr": list(curve.stderr or ())}
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


def curve_of(divergence: dict[str, Any], name: str) -> DivergenceCurve:
    """One curve of `measure_divergence`."""
    row = divergence["levels"][name]
    return DivergenceCurve(divergence["times"], row["values"], row["stderr"], SDE)


def usable(plan: Sequence[str], divergence: dict[str, Any], sde: IsotropicSDE = SDE) -> list[str]:
    """The levels of a plan that meet the threshold, each later than the one before it; others save nothing."""
    unknown = [n for n in plan if n not in divergence["levels"]]
    if unknown:
        raise ValueError(f"the divergence of {', '.join(unknown)} was not measured: run `divergence` with these levels")
    chosen: list[str] = []
    for name in reversed(plan):  # the smallest first: a larger level must give way to it before its own time
        t = divergence["levels"][name]["t"]
        later = divergence["levels"][chosen[0]]["t"] if chosen else sde.T
        if t is not None and sde.t_min < t < later:
            chosen.insert(0, name)
    return chosen


def build_process(images: Images, names: Sequence[str], divergence: dict[str, Any], sde: IsotropicSDE) -> SubspaceSDE:
    """The subspace diffusion of a plan, its complement variances (eq. 9) from the training images."""
    subspaces = [subspace_named(n, images.shape) for n in names]
    nested = NestedSubspaces.from_subspaces(subspaces) if subspaces else NestedSubspaces([], ambient_shape=images.shape)
    times = [divergence["levels"][n]["t"] for n in names]
    return SubspaceSDE.fit(sde, nested, times, unit_batches(images.train))


@dataclass(frozen=True)
class Way:
    """A plan that is ready to run.

    Attributes
    ----------
    process: with its K subspaces and times.
    models: the K + 1 levels, the full one first.
    full: in full dimension (eq. 11), not in stages.
    """

    process: SubspaceSDE
    models: list[Level]
    full: bool

    @property
    def levels(self) -> list[str]:
        """The names of the levels below the full one."""
        return [level.name for level in self.models[1:]]

    @property
    def scores(self) -> list[Score]:
        """s_0 … s_K."""
        return [level.score for level in self.models]

    @property
    def settings(self) -> list[Any]:
        """What it was made from."""
        digests = [level.digest for level in self.models]
        return [digests, self.process.times, self.process.complement_variances, self.full]


def ways(images: Images, models: dict[str, Level], divergence: dict[str, Any]) -> dict[str, Way]:
    """``full model``, and every plan whose levels meet the threshold ``staged`` and by ``eq. 11``."""
    found = {}
    for plan, names in plans_of(list(models)).items():
        levels = usable(names, divergence, models["full"].sde)
        if not levels and plan != "full":
            continue
        process = build_process(images, levels, divergence, models["full"].sde)
        kinds = {f"{plan}, staged": False, f"{plan}, eq. 11": True} if levels else {"full model": False}
        for name, full in kinds.items():
            found[name] = Way(process, [models[n] for n in ["full", *levels]], full)
    return found


def load_levels(
    folder: Path, names: Sequence[str], shape: tuple[int, int, int], device: torch.device
) -> dict[str, Level]:
    """The named levels in a folder of weights; a ValueError for one of another image shape, subspace or SDE."""
    models = {n: Level.load(folder / file_name(n), device) for n in names}
    for name, level in models.items():
        if level.subspace.ambient_shape != tuple(shape):
            raise ValueError(
                f"{folder / file_name(name)} was trained on images of shape {level.subspace.ambient_shape}, "
                f"these have {tuple(shape)}"
            )
        if specify(level.subspace) != specify(subspace_named(name, shape)):
            raise ValueError(f"{folder / file_name(name)} holds the level {level.name}, not {name}")
        if specify(level.sde) != specify(models[names[0]].sde):
            raise ValueError(f"{folder / file_name(name)} was trained under {level.sde!r}, {names[0]} under another")
    return models


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
