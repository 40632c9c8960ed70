"""The stages between photographs and samples: compare subspaces, measure D_F, read off the times, sample side by side.

Every stage is a function that writes what it found into the folder of the run, whole or not at all, and returns it.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from subspace_sde import (
    VE,
    DivergenceCurve,
    Identity,
    IsotropicSDE,
    NestedSubspaces,
    SubspaceSDE,
    orthogonal_fisher_divergence,
    rmsd,
    sample,
)
from subspace_sde.arrays import Score
from subspace_sde.backend import streams
from subspace_sde.images import Images, save_grid, to_unit, unit_batches
from subspace_sde.sampling import stage_times
from subspace_sde.scores import denoiser
from subspace_sde.solvers import EulerMaruyama, Heun, Langevin, Solver

from .levels import Level, file_name, subspace_named

SDE: IsotropicSDE = VE(0.01, 50.0)
CHUNK = 16


class SolverName(StrEnum):
    """The solvers that the command line offers."""

    heun = "heun"
    euler_maruyama = "euler-maruyama"
    predictor_corrector = "predictor-corrector"

    def solver(self) -> tuple[Solver, Langevin | None]:
        """The solver, and the Langevin steps after each injection that go with it."""
        if self is SolverName.heun:
            return Heun(), None
        corrector = Langevin(steps=1) if self is SolverName.predictor_corrector else None
        return EulerMaruyama(corrector), Langevin(steps=2)


def write_json(path: Path, content: Any) -> None:
    """Write `content`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(content, indent=1))
    os.replace(fresh, path)


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


def default_levels(edge: int) -> list[str]:
    """``full``, two low-pass sizes near 5/8 and 1/4 of the edge (divisible by 4), and block means of half the edge."""
    large, small = (max(4, 4 * round(edge * part / 4)) for part in (5 / 8, 1 / 4))
    names = ["full", f"lowpass:{large}"] + ([f"lowpass:{small}"] if small < large else [])
    return names + ([f"downsampling:{edge // 2}"] if edge % 8 == 0 else [])


def plans_of(levels: Sequence[str]) -> dict[str, list[str]]:
    """The plans that these levels make: the full model alone, and one for each kind of subspace, largest size first."""
    plans: dict[str, list[str]] = {"full": []}
    for kind in ("lowpass", "downsampling"):
        sizes = sorted((int(n.partition(":")[2]) for n in levels if n.startswith(kind + ":")), reverse=True)
        if sizes:
            plans[kind] = [f"{kind}:{s}" for s in sizes]
    return plans


def analyse(images: Images, levels: Sequence[str], out: Path) -> dict[str, Any]:
    """RMSD per dimension of the complement (Table 1) of each subspace, about the origin and about the mean."""
    rows = []
    for name in tqdm([n for n in levels if n != "full"], desc="compare subspaces"):
        subspace = subspace_named(name, images.shape)
        about = {"origin": False, "mean": True}
        found = {k: rmsd(subspace, unit_batches(images.train), center=v) for k, v in about.items()}
        share = subspace.dim / subspace.ambient_dim
        rows.append({"level": name, "shape": list(subspace.shape), "share of pixels": share, "rmsd": found})
    result = {
        "data": images.name,
        "train": len(images.train),
        "held_out": len(images.held_out),
        "shape": list(images.shape),
        "rows": rows,
    }
    write_json(out / "analysis.json", result)
    return result


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
        score = _watched(full.score, bar)
        curves = orthogonal_fisher_divergence(score, data, full.sde, subspaces, times.tolist(), rng=seed)
    rows = {}
    for name, curve in zip(names, curves):
        try:
            t, note = curve.time_at(threshold), ""
        except ValueError as error:
            t, note = None, str(error)
        rows[name] = {"t": t, "note": note, "values": list(curve.values), "stderr": list(curve.stderr or ())}
    result = {"threshold": threshold, "images": count, "seed": seed, "times": times.tolist(), "levels": rows}
    write_json(out / "divergence.json", result)
    return result


def curve_of(divergence: dict[str, Any], name: str) -> DivergenceCurve:
    """One curve of `measure_divergence`."""
    row = divergence["levels"][name]
    return DivergenceCurve(divergence["times"], row["values"], row["stderr"])


def usable(plan: Sequence[str], divergence: dict[str, Any], sde: IsotropicSDE = SDE) -> list[str]:
    """The levels of a plan that meet the threshold, each later than the one before it; others save nothing."""
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
    nested = (
        NestedSubspaces.from_subspaces(subspaces)
        if subspaces
        else NestedSubspaces([], ambient_shape=Identity(images.shape).shape)
    )
    times = [divergence["levels"][n]["t"] for n in names]
    return SubspaceSDE.fit(sde, nested, times, unit_batches(images.train))


def seconds_per_evaluation(
    scores: dict[str, Score], shapes: dict[str, tuple[int, ...]], batch: int, device: torch.device, repeats: int = 7
) -> dict[str, float]:
    """The median time of one call of each score on a batch, the scores taken in turn."""
    wait: Callable[[], None] = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    taken: dict[str, list[float]] = {name: [] for name in scores}
    with torch.no_grad():
        for round_ in range(repeats + 1):
            for name, score in scores.items():
                x = torch.randn((batch, *shapes[name]), device=device)
                wait()
                started = time.perf_counter()
                score(x, 0.4)
                wait()
                if round_:  # the first round warms up
                    taken[name].append(time.perf_counter() - started)
    return {name: float(np.median(t)) for name, t in taken.items()}


def draw(
    images: Images,
    models: dict[str, Level],
    divergence: dict[str, Any],
    out: Path,
    num: int = 64,
    steps: int = 40,
    solver: SolverName = SolverName.heun,
    minutes: float = float("inf"),
    seed: int = 0,
    device: torch.device | None = None,
) -> dict[str, Any]:
    """Sample the full model and every plan from the same seeds with the same steps, chunk by chunk in turn.

    Chunks are kept as they are finished, and found again by a later call. The seconds of a plan are those of its
    sampling alone; the last step, E[x(0)|x(t_min)], is the same for all and not counted.
    """
    device = torch.device("cpu") if device is None else device
    sde = models["full"].sde
    names = {p: usable(levels, divergence, sde) for p, levels in plans_of(list(models)).items()}
    names = {p: levels for p, levels in names.items() if levels or p == "full"}
    processes = {p: build_process(images, levels, divergence, sde) for p, levels in names.items()}
    used = {"full", *(n for levels in names.values() for n in levels)}
    scores = {n: models[n].score for n in used}
    chunk = min(num, CHUNK if device.type == "cpu" else 256)
    shapes = {n: models[n].subspace.shape for n in used}
    per_call = seconds_per_evaluation(scores, shapes, chunk, device)
    kept = out / "chunks"
    kept.mkdir(parents=True, exist_ok=True)
    spent, starts = 0.0, list(range(0, num, chunk))
    grids = {p: [len(t) - 1 for t in stage_times(process, steps)] for p, process in processes.items()}
    per_step = {"heun": 2, "euler-maruyama": 1, "predictor-corrector": 2}[solver.value]
    with tqdm(total=sum(sum(g) for g in grids.values()) * per_step * len(starts), desc="sample") as bar:
        for start in starts:
            if start and spent > 60 * minutes:
                tqdm.write(f"the time for sampling is used up: {start} of {num} samples")
                break
            for p, process in processes.items():
                file = kept / f"{p}-{start}.npz"
                if not file.exists():
                    spent += _draw_chunk(
                        process, [scores[n] for n in ["full", *names[p]]], start, min(chunk, num - start), steps,
                        solver, seed, device, file, bar,
                    )  # fmt: skip
                else:
                    bar.update(sum(grids[p]) * per_step)
    result = _collect(kept, names, processes, per_call, images, steps)
    result |= {"solver": solver.value, "seed": seed, "batch": chunk, "machine": machine(device)}
    write_json(out / "samples.json", result)
    for p in names:
        save_grid(load_samples(out, p)[:32], out / f"samples-{p}.png", zoom=3)
    return result


def _draw_chunk(
    process: SubspaceSDE,
    scores: list[Score],
    start: int,
    count: int,
    steps: int,
    solver: SolverName,
    seed: int,
    device: torch.device,
    file: Path,
    bar: Any,
) -> float:
    method, langevin = solver.solver()
    like = torch.zeros((), device=device)
    rng = streams(seed, start, start + count)
    watched = [_watched(s, bar) for s in scores]
    samples = sample(process, watched, count, method, steps, rng, like=like, langevin=langevin)
    with torch.no_grad():
        clean = denoiser(scores[0], process.sde)(samples.x, process.sde.t_min)
    fresh = file.with_name(file.stem + ".new.npz")
    np.savez(fresh, x=clean.cpu().numpy(), seconds=samples.seconds, evaluations=samples.evaluations)
    os.replace(fresh, file)
    return sum(samples.seconds)


def _collect(
    kept: Path,
    names: dict[str, list[str]],
    processes: dict[str, SubspaceSDE],
    per_call: dict[str, float],
    images: Images,
    steps: int,
) -> dict[str, Any]:
    plans: dict[str, Any] = {}
    for p, levels in names.items():
        chunks = [np.load(f) for f in _chunks(kept, p)]
        evaluations = chunks[0]["evaluations"]
        predicted = float(sum(n * per_call[name] for n, name in zip(evaluations, ["full", *levels])))
        pixels = float(sum(n * processes[p].subspaces[k].dim for k, n in enumerate(evaluations)))
        plans[p] = {
            "levels": levels,
            "times": list(processes[p].times),
            "evaluations": evaluations.tolist(),
            "num": int(sum(len(c["x"]) for c in chunks)),
            "seconds": float(sum(c["seconds"].sum() for c in chunks)),
            "chunk seconds": [float(c["seconds"].sum()) for c in chunks],
            "predicted seconds per chunk": predicted,
            "pixel evaluations": pixels,
        }
    full = plans["full"]
    for plan in plans.values():
        plan["seconds per sample"] = plan["seconds"] / plan["num"]
        # chunk by chunk against the full model's chunk of the same round, so that a slow minute counts for both
        pairs = zip(plan["chunk seconds"], full["chunk seconds"])
        plan["ratio"] = float(np.median([a / b for a, b in pairs]))
        plan["predicted ratio"] = plan["predicted seconds per chunk"] / full["predicted seconds per chunk"]
        plan["pixel ratio"] = plan["pixel evaluations"] / full["pixel evaluations"]
    return {"steps": steps, "seconds per evaluation": per_call, "plans": plans}


def _chunks(kept: Path, plan: str) -> list[Path]:
    return sorted(kept.glob(f"{plan}-*[0-9].npz"), key=lambda f: int(f.stem.rpartition("-")[2]))


def load_samples(out: Path, plan: str) -> np.ndarray[Any, Any]:
    """The samples of a plan that `draw` kept, (num, 3, H, W), clipped to [0, 1]."""
    images: np.ndarray[Any, Any] = np.concatenate([np.load(f)["x"] for f in _chunks(out / "chunks", plan)])
    return images.clip(0, 1)


def load_levels(folder: Path, names: Sequence[str], shape: tuple[int, ...], device: torch.device) -> dict[str, Level]:
    """The named levels in a folder of weights; a ValueError for one that was trained on images of another shape."""
    models = {n: Level.load(folder / file_name(n), device) for n in names}
    for name, level in models.items():
        if level.subspace.ambient_shape != tuple(shape):
            raise ValueError(
                f"{folder / file_name(name)} was trained on images of shape {level.subspace.ambient_shape}, "
                f"these have {tuple(shape)}"
            )
    return models


def machine(device: torch.device) -> str:
    """The hardware and versions, in words."""
    what = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type}, {_processor()}"
    return f"{what}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _watched(score: Score, bar: Any) -> Score:
    def watched(x: Any, t: Any) -> Any:
        bar.update()
        return score(x, t)

    return watched
