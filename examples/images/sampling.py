"""Sampling side by side: the full model and every plan, from the same x(T), chunk by chunk in turn."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from tqdm import tqdm

from subspace_sde import IsotropicSDE, SubspaceSDE, sample
from subspace_sde.arrays import Score
from subspace_sde.backend import Noise, streams
from subspace_sde.images import Images, save_grid
from subspace_sde.sampling import stage_times
from subspace_sde.scores import denoiser
from subspace_sde.solvers import DDIM, DPMSolver, EulerMaruyama, Heun, Langevin, PredictorCorrector, Solver

from .devices import machine
from .evaluations import seconds_per_evaluation
from .levels import Level
from .plans import build_process, usable
from .results import fingerprint, folder_of, write_json

CHUNK = 32  # smaller batches leave the small networks waiting for their launches


class SolverName(StrEnum):
    """The solvers that the command line offers."""

    heun = "heun"
    dpm_solver_2m = "dpm-solver-2m"
    dpm_solver_3m = "dpm-solver-3m"
    ddim = "ddim"
    euler_maruyama = "euler-maruyama"
    predictor_corrector = "predictor-corrector"

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise ValueError(f"unknown solver {value!r}: choose one of {', '.join(cls)}")

    def solver(self) -> tuple[Solver, Langevin | None]:
        """The solver, and the Langevin steps after each injection that go with it."""
        after = Langevin(steps=2)
        table: dict[SolverName, tuple[Solver, Langevin | None]] = {
            SolverName.heun: (Heun(), None),
            SolverName.dpm_solver_2m: (DPMSolver(order=2), None),
            SolverName.dpm_solver_3m: (DPMSolver(order=3), None),
            SolverName.ddim: (DDIM(), None),
            SolverName.euler_maruyama: (EulerMaruyama(), after),
            SolverName.predictor_corrector: (PredictorCorrector(), after),
        }
        return table[self]


def draw(
    images: Images,
    models: dict[str, Level],
    plans: Mapping[str, Sequence[str]],
    divergence: dict[str, Any],
    out: Path,
    num: int = 64,
    steps: int = 40,
    solver: SolverName = SolverName.heun,
    minutes: float = float("inf"),
    seed: int = 0,
    device: torch.device | None = None,
) -> dict[str, Any]:
    """Sample the full model and every plan from the same x(T) with the same steps, chunk by chunk in turn.

    Samples of one number belong together, whatever their plan (`randomness`). Chunks are kept as they are finished, and
    found again by a later call with the same networks, plans and settings. The seconds of a plan are those of its
    sampling alone; the last step, E[x(0)|x(t_min)], is the same for all and not counted.
    """
    device = torch.device("cpu") if device is None else device
    sde = models["full"].sde
    names = {p: usable(levels, divergence, sde) for p, levels in plans.items()}
    names = {p: levels for p, levels in names.items() if levels or p == "full"}
    processes = {p: build_process(images, levels, divergence, sde) for p, levels in names.items()}
    used = {"full", *(n for levels in names.values() for n in levels)}
    scores = {n: models[n].score for n in used}
    chunk = min(num, CHUNK if device.type == "cpu" else 256)
    shapes = {n: models[n].subspace.shape for n in used}
    settings = {
        "plans": {p: [names[p], processes[p].times, processes[p].complement_variances] for p in names},
        "networks": {n: models[n].digest for n in sorted(used)},
        "steps": steps, "solver": solver.value, "seed": seed, "chunk": chunk,
        "last chunk": num % chunk, "machine": machine(device), "noise": "x(T) of the full space",
    }  # fmt: skip
    kept = folder_of(settings, out)
    if not (kept / "per-call.json").exists():
        write_json(kept / "per-call.json", seconds_per_evaluation(scores, shapes, chunk, device))
    per_call = json.loads((kept / "per-call.json").read_text(encoding="utf-8"))
    spent, starts = 0.0, list(range(0, num, chunk))
    grids = {p: [len(t) - 1 for t in stage_times(process, steps)] for p, process in processes.items()}
    with tqdm(total=sum(sum(g) for g in grids.values()) * len(starts), desc="sample", unit="step") as bar:
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
                    bar.update(sum(grids[p]))
    result = _collect(kept, num, names, processes, per_call, steps)
    result |= {"key": kept.name, "solver": solver.value, "seed": seed, "batch": chunk, "machine": machine(device)}
    result |= {"data": fingerprint(images)}
    write_json(out / "samples.json", result)
    for p in names:
        save_grid(load_samples(out, result, p)[:32], out / f"samples-{p}.png", zoom=3)
    return result


def randomness(
    sde: IsotropicSDE, shape: tuple[int, ...], seed: int, start: int, stop: int, like: Any
) -> tuple[tuple[int, ...], Any]:
    """``rng`` and ``noise`` of `sample` for the samples `start` to `stop`, the same in every plan and chunk.

    x(T) is of the full space, (stop - start, *shape): a plan starts from its part in the smallest subspace and is
    injected the others. What a solver draws on the way comes from streams of their own, independent of x(T).
    """
    x = sde.prior_std * Noise(streams(seed, start, stop), (stop - start,), like).normal(shape)
    on_the_way = int(np.random.SeedSequence((seed, 1)).generate_state(1)[0])
    return streams(on_the_way, start, stop), x


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
    rng, noise = randomness(process.sde, process.shape(0), seed, start, start + count, like)
    samples = sample(
        process, scores, count, method, steps, rng, like=like, langevin=langevin, noise=noise,
        callback=lambda step: bar.update(),
    )  # fmt: skip
    with torch.no_grad():
        clean = denoiser(scores[0], process.sde)(samples.x, process.sde.t_min)
    fresh = file.with_name(file.stem + ".new.npz")
    np.savez(fresh, x=clean.cpu().numpy(), seconds=samples.seconds, evaluations=samples.evaluations)
    os.replace(fresh, file)
    return sum(samples.seconds)


def _collect(
    kept: Path,
    num: int,
    names: dict[str, list[str]],
    processes: dict[str, SubspaceSDE],
    per_call: dict[str, float],
    steps: int,
) -> dict[str, Any]:
    plans: dict[str, Any] = {}
    for p, levels in names.items():
        chunks = [np.load(f) for f in _chunks(kept, p, num)]
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


def _chunks(kept: Path, plan: str, num: int) -> list[Path]:
    starts = {int(f.stem.rpartition("-")[2]): f for f in kept.glob(f"{plan}-*[0-9].npz")}
    return [starts[s] for s in sorted(starts) if s < num]


def load_samples(out: Path, drawn: dict[str, Any], plan: str) -> np.ndarray[Any, Any]:
    """The samples of a plan that `draw` kept and described in `drawn`, (num, 3, H, W), clipped to [0, 1]."""
    files = _chunks(out / "chunks" / drawn["key"], plan, drawn["plans"][plan]["num"])
    images: np.ndarray[Any, Any] = np.concatenate([np.load(f)["x"] for f in files])
    return images.clip(0, 1)
