"""One network for all levels, or one each, at equal training time: ``python -m benchmarks.one_network``.

Three times the same minutes of training, of networks of one size, on a plan of two smaller levels:

- separate: a network for each level, half of the time for the full one, as in the paper;
- retrofitted: the full network alone, all of the time, which then serves levels that it never saw in training
  (`subspace_sde.scores.at_level`);
- shared: one network, trained on every level (``examples.images train --shared``).

All sample from the same seeds with the switch times of `analyse`, which know no network. The table has the time
of sampling and its pixels over the full model's, and against held-out images: the sliced Wasserstein distance, recall
(the share of held-out images that lie within the k-nearest-neighbour ball of some sample: Kynkäänniemi et al. 2019, in
place of a network's features the leading principal components) and the spread of the samples along those components
over the held-out images' own. ± are standard deviations over bootstrap resamplings of the samples and held-out images.
A second table has the denoising error on each level, E‖D(z + σn) − z‖² of held-out images, over that of the network
that was trained for this level alone, with the same noise; ± over bootstrap resamplings of the images.

Minutes are those of the processor (of the clock on a GPU), so that a busy machine trains as far. Stopped, it goes on
where it was; asked for more minutes or samples, too.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ot
import torch

from examples.images.analysis import analyse
from examples.images.comparison import Way, ways
from examples.images.levels import SDE, Level, load_levels
from examples.images.plans import levels_of
from examples.images.results import fingerprint, folder_of, kept, write_json
from examples.images.shared import shares_of
from examples.images.training import Recipe, train_level
from subspace_sde import sample
from subspace_sde.analysis import subspace_named
from subspace_sde.backend import streams
from subspace_sde.images import Images, load, to_unit
from subspace_sde.scores import denoiser
from subspace_sde.solvers import Heun

from .project import processor

CHUNK, STEPS, NEIGHBOURS, COMPONENTS, RESAMPLINGS = 32, 40, 5, 48, 50


def train(images: Images, plans: Mapping[str, Sequence[str]], recipe: Recipe, arguments: Any, analysis: Any) -> None:
    """The networks of the three, each three in its own folder."""
    names = levels_of(plans)
    clock = time.process_time if arguments.device == "cpu" else time.monotonic
    parts = {name: 0.5 if name == "full" else 0.5 / (len(names) - 1) for name in names}
    jobs = [(f"separate/{name}", name, part, None) for name, part in parts.items()]
    jobs += [("retrofitted", "full", 1.0, None), ("shared", "full", 1.0, shares_of(plans, analysis, SDE))]
    for folder, name, part, shares in jobs:
        path = train_level(
            name, subspace_named(name, images.shape), SDE, images.train, replace(recipe, minutes=recipe.minutes * part),
            arguments.out / folder.partition("/")[0], arguments.data, arguments.device, shares, clock=clock,
        )  # fmt: skip
        found = Level.load(path).recipe
        print(f"{folder}: {found['steps']} steps in {found['minutes']} minutes, loss {found['loss']}", flush=True)


def models(images: Images, names: Sequence[str], out: Path, device: torch.device) -> dict[str, dict[str, Level]]:
    """The levels of the three."""
    alone = load_levels(out / "retrofitted", ["full"], images.shape, device)["full"]
    as_if = replace(alone, shared=tuple(names))
    return {
        "separate": load_levels(out / "separate", names, images.shape, device),
        "retrofitted": {name: as_if.at(name) for name in names},
        "shared": load_levels(out / "shared", names, images.shape, device),
    }


def draw(found: dict[str, Way], settings: dict[str, Any], num: int, out: Path, device: torch.device) -> dict[str, Any]:
    """The samples of each way, and the seconds of its chunks, in turn; finished chunks are found again."""
    chunks: dict[str, list[dict[str, Any]]] = {name: [] for name in found}
    for start in range(0, num, CHUNK):
        count = min(CHUNK, num - start)
        for name, way in found.items():

            def compute(way: Way = way, start: int = start, count: int = count) -> dict[str, Any]:
                rng, like = streams(settings["seed"], start, start + count), torch.zeros((), device=device)
                samples = sample(way.process, way.scores, count, Heun(), STEPS, rng, like=like)
                with torch.no_grad():
                    x = denoiser(way.scores[0], way.process.sde)(samples.x, way.process.sde.t_min)
                pixels = sum(n * u.dim for n, u in zip(samples.evaluations, way.process.subspaces))
                return {"x": x.cpu().numpy().clip(0, 1), "seconds": sum(samples.seconds), "pixels": pixels}

            kind = settings | {"way": way.settings, "count": count}
            chunks[name].append(kept(folder_of(kind, out) / f"{start}.npz", compute))
        print(f"{start + count} of {num} samples", flush=True)
    return chunks


def denoising(
    three: dict[str, dict[str, Level]], images: Images, times: Mapping[str, float], device: torch.device
) -> dict[str, dict[str, tuple[float, float]]]:
    """The denoising error of the other two over that of separate networks, at each level and time, ± its deviation.

    The times are from when on the level may be used, and 0.1 and 0.2 later; for the full one those before the first.
    """
    x0, rng, rows = torch.from_numpy(to_unit(images.held_out[:128])).to(device), np.random.default_rng(0), {}
    picks = [rng.integers(0, len(x0), len(x0)) for _ in range(RESAMPLINGS)]
    first = min(times.values())
    for name in next(iter(three.values())):
        z = three["separate"][name].subspace.restrict(x0)
        for later in (0.0, 0.1, 0.2):
            t = first - later if name == "full" else times[name] + later
            generator, errors = torch.Generator(device).manual_seed(0), {}
            sigma = float(SDE.sigma(t))
            x = z + sigma * torch.randn(z.shape, generator=generator, device=device)
            for kind, levels in three.items():
                with torch.no_grad():
                    d = torch.cat([denoiser(levels[name].score, SDE)(part, t) for part in x.split(CHUNK)])
                errors[kind] = ((d - z) ** 2).flatten(1).mean(dim=1).cpu().numpy()
            own = errors.pop("separate")
            rows[f"{name}, t = {t:.3f}, noise {sigma * z.shape[2] / images.shape[1]:.2g}"] = {
                kind: (float(e.mean() / own.mean()), float(np.std([e[i].mean() / own[i].mean() for i in picks])))
                for kind, e in errors.items()
            }
    return rows


def measures(x: np.ndarray[Any, Any], real: np.ndarray[Any, Any], axes: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The distance, the recall and the spread of images (N, 3, H, W), each with its standard deviation."""
    rng = np.random.default_rng(0)
    a, b = (images.reshape(len(images), -1).astype(np.float64) for images in (x, real))
    p, q = a @ axes, b @ axes
    radius = np.sort(np.linalg.norm(p[:, None] - p, axis=-1), axis=1)[:, NEIGHBOURS]
    near = (np.linalg.norm(q[:, None] - p, axis=-1) <= radius).any(axis=1)
    functions: dict[str, Callable[[Any, Any], float]] = {
        "sliced wasserstein": lambda i, j: float(ot.sliced_wasserstein_distance(a[i], b[j], n_projections=256, seed=0)),
        "recall": lambda i, j: float(near[j].mean()),
        "spread": lambda i, j: float(np.mean(p[i].std(axis=0) / q[j].std(axis=0))),
    }
    draws = [(rng.integers(0, len(a), len(a)), rng.integers(0, len(b), len(b))) for _ in range(RESAMPLINGS)]
    everything = (np.arange(len(a)), np.arange(len(b)))
    return {name: (f(*everything), float(np.std([f(*d) for d in draws]))) for name, f in functions.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    parser.add_argument("--data", default="builtin", help="as in examples.images")
    parser.add_argument("--minutes", type=float, default=40.0, help="of training, of each of the three")
    parser.add_argument("--level", action="append", help="of the plan; lowpass:20 and lowpass:8 without it")
    parser.add_argument("--channels", default="24,48,80")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--num", type=int, default=1000, help="samples of each")
    parser.add_argument("--threshold", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("runs/one-network"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    images, device = load(arguments.data, channels=3), torch.device(arguments.device)
    plans = {"full": [], "plan": arguments.level or ["lowpass:20", "lowpass:8"]}
    channels = tuple(int(c) for c in arguments.channels.split(","))
    recipe = Recipe(
        steps=10**9, minutes=arguments.minutes, batch=arguments.batch, channels=channels, seed=arguments.seed
    )
    names, out = levels_of(plans), arguments.out
    print(f"{processor()}, {os.cpu_count()} cores; load before the run {os.getloadavg()[0]:.1f}; {device}")
    analysis = analyse(images, names, arguments.threshold, out)
    train(images, plans, recipe, arguments, analysis)
    three = models(images, names, out, device)
    divergence = {"levels": {row["subspace"]: row for row in analysis["rows"]}}
    found = {"full network": ways(images, three["retrofitted"], {"full": []}, divergence)["full model"]}
    for kind, levels in three.items():
        if (way := ways(images, levels, plans, divergence).get("plan, staged")) is None:
            raise ValueError("no level of the plan meets the threshold: give another --level, or more --minutes")
        found[kind] = way
    settings = {"data": fingerprint(images), "steps": STEPS, "seed": arguments.seed}
    chunks = draw(found, settings, arguments.num, out, device)

    real = to_unit(images.held_out)
    _, _, axes = np.linalg.svd((flat := real.reshape(len(real), -1)) - flat.mean(axis=0), full_matrices=False)
    sets = {"training images": to_unit(images.train[: arguments.num])}
    sets |= {name: np.concatenate([c["x"] for c in chunk]) for name, chunk in chunks.items()}
    times = ", ".join(f"{level} from t = {t:.3f}" for way in list(found.values())[1:2] for level, t in
                      zip(way.levels, way.process.times))  # fmt: skip
    print(f"\n{arguments.minutes:g} minutes of training each; {arguments.num} samples, {STEPS} steps of Heun; {times}")
    print(f"{'':18}{'time':>7}{'pixels':>8}{'sliced Wasserstein':>22}{'recall':>17}{'spread':>17}")
    rows = {}
    for name, x in sets.items():
        row = rows[name] = measures(x, real, axes[:COMPONENTS].T.astype(np.float64))
        cost = f"{'':15}"
        if name in chunks:
            pairs = list(zip(chunks[name], chunks["full network"]))
            ratio = float(np.median([a["seconds"] / b["seconds"] for a, b in pairs]))
            pixels = float(sum(a["pixels"] for a, _ in pairs) / sum(b["pixels"] for _, b in pairs))
            row |= {"time": ratio, "pixels": pixels}
            cost = f"{ratio:7.2f}{pixels:8.2f}"
        (w, dw), (r, dr), (s, ds) = row["sliced wasserstein"], row["recall"], row["spread"]
        print(f"{name:18}{cost}{w:13.4f} ± {dw:6.4f}{r:9.3f} ± {dr:5.3f}{s:9.3f} ± {ds:5.3f}")
    print(f"\ndenoising error over that of the level's own network\n{'':38}{'retrofitted':>17}{'shared':>17}")
    errors = denoising(three, images, dict(zip(way.levels, way.process.times)), device)
    for place, kinds in errors.items():
        print(f"{place:38}" + "".join(f"{value:9.3f} ± {error:5.3f}" for value, error in kinds.values()))
    write_json(
        out / "one-network.json", {"minutes": arguments.minutes, "num": arguments.num, "rows": rows, "errors": errors}
    )


if __name__ == "__main__":
    main()
