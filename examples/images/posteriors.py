"""What was lost of an image, drawn given what is left, y = A x + noise: inpainting, colourisation, upscaling.

Every plan in stages, where above t_1 nothing has the size of an image, and the same networks in full dimension
(eq. 11), next to the full model alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from subspace_sde.backend import streams
from subspace_sde.images import Images, to_unit
from subspace_sde.measurements import LinearMeasurement, Mask, Mixing, Pooling
from subspace_sde.posterior import Method, Observation, PiGDM, RePaint, Replacement, sample_posterior
from subspace_sde.sampling import stage_times
from subspace_sde.scores import denoiser
from subspace_sde.solvers import DDIM

from .comparison import Way, summary, ways
from .devices import machine
from .levels import Level
from .results import fingerprint, folder_of, kept, write_json
from .strips import save_strips

CHUNK = 32  # samples; smaller batches leave the small networks waiting for their launches
METHODS: dict[str, Method] = {
    # r² with v = 1, as Song et al. have it: in full dimension the pixels' own variance, 0.07, costs decibels, for
    # neighbouring pixels vary together
    "pigdm": PiGDM(),
    "replacement": Replacement(),
    "repaint": RePaint(resamplings=4, jump=4),
}


@dataclass(frozen=True)
class Loss:
    """What was done to the images.

    Attributes
    ----------
    title: in words.
    measurement: A.
    shown: y, (N, *measurement.shape) on the host, as images for the eye, (N, 3, H, W).
    """

    title: str
    measurement: LinearMeasurement
    shown: Callable[[Any], Any]


def half(shape: tuple[int, int, int]) -> Loss:
    """The right half is missing."""
    seen = np.arange(shape[2]) < shape[2] // 2
    return _masked("right half hidden", np.broadcast_to(seen, shape[1:]), shape)


def scattered(shape: tuple[int, int, int], share: float, seed: int) -> Loss:
    """All but a random share of the pixels are missing."""
    if not 0 < share < 1:
        raise ValueError(f"the share of pixels that are seen lies between 0 and 1, got {share:g}")
    seen = np.random.default_rng(seed).random(shape[1:]) < share
    return _masked(f"{100 * (1 - share):g} % of the pixels hidden", seen, shape)


def grey(shape: tuple[int, int, int]) -> Loss:
    """The colours are missing; the luma is there."""
    return Loss("colours hidden", Mixing.greyscale(shape), lambda y: np.repeat(y, 3, axis=1))


def small(shape: tuple[int, int, int], factor: int) -> Loss:
    """Blocks of `factor` × `factor` pixels were averaged."""
    pooling = Pooling(shape, factor)
    return Loss(f"blocks of {factor} × {factor} averaged", pooling, lambda y: pooling.adjoint(y) * factor**2)


def _masked(title: str, seen: Any, shape: tuple[int, int, int]) -> Loss:
    mask = Mask(seen, shape)
    return Loss(title, mask, lambda y: mask.adjoint(y) + 0.5 * (1 - mask.mask))


def restore(
    images: Images,
    models: dict[str, Level],
    plans: Mapping[str, Sequence[str]],
    divergence: dict[str, Any],
    losses: Mapping[str, Loss],
    out: Path,
    command: str,
    num: int = 8,
    samples: int = 4,
    steps: int = 50,
    method: str = "pigdm",
    noise: float = 0.01,
    seed: int = 0,
    device: torch.device | None = None,
) -> dict[str, Any]:
    """`samples` posterior samples of each of `num` held-out images, by DDIM with η = 1.

    The ways take turns, chunk by chunk. Chunks are kept, and found again by a later call with the same networks, plans
    and settings. Writes ``COMMAND.json``, and for each loss ``NAME.png``: the images, what was seen of them, and every
    way's first sample.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}: choose one of {', '.join(METHODS)}")
    device = torch.device("cpu") if device is None else device
    truth = to_unit(images.held_out[:num])
    found = ways(images, models, plans, divergence)
    chunk = max(1, (CHUNK if device.type == "cpu" else 256) // samples)
    settings = {
        "data": fingerprint(images), "num": len(truth), "samples": samples, "steps": steps, "method": method,
        "noise": noise, "seed": seed, "chunk": chunk, "machine": machine(device),
    }  # fmt: skip
    starts = range(0, len(truth), chunk)
    total = sum(len(t) - 1 for way in found.values() for t in stage_times(way.process, steps))
    result: dict[str, Any] = settings | {"command": command, "losses": {}}
    with tqdm(total=total * len(starts) * len(losses), desc=command, unit="step") as bar:
        for name, loss in losses.items():
            y = loss.measurement.apply(truth)
            y = y + np.float32(noise) * np.random.default_rng(seed).standard_normal(y.shape, dtype=np.float32)
            parts: dict[str, list[dict[str, Any]]] = {w: [] for w in found}
            for start in starts:
                for w, way in found.items():
                    file = folder_of(settings | {"loss": loss.title, "way": way.settings}, out) / f"{start}.npz"
                    if file.exists():
                        bar.update(sum(len(t) - 1 for t in stage_times(way.process, steps)))
                    seen = y[start : start + chunk]
                    parts[w].append(
                        kept(file, partial(_drawn, way, loss.measurement, seen, start, settings, device, bar))
                    )
            drawn = {w: np.concatenate([p["x"] for p in chunks]) for w, chunks in parts.items()}
            drawn = {w: x.reshape(len(truth), samples, *truth.shape[1:]) for w, x in drawn.items()}
            seen = loss.shown(y)
            save_strips(
                {"photographs": truth, "seen": seen, **{w: x[:, 0] for w, x in drawn.items()}}, out / f"{name}.png"
            )
            result["losses"][name] = {
                "title": loss.title,
                "seen": _psnr(seen[:, None], truth),
                "ways": _compared(found, parts, drawn, loss.measurement, y, truth),
            }
    write_json(out / f"{command}.json", result)
    return result


def _drawn(
    way: Way, measurement: LinearMeasurement, y: Any, start: int, settings: Any, device: torch.device, bar: Any
) -> dict[str, Any]:
    """The samples of one chunk, whose first image is number `start`: all of the first image, then of the next."""
    first, count = start * settings["samples"], len(y) * settings["samples"]
    each = torch.from_numpy(y).to(device).repeat_interleave(settings["samples"], dim=0)
    method, rng = METHODS[settings["method"]], streams(settings["seed"], first, first + count)
    samples = sample_posterior(
        way.process, way.scores, Observation(measurement, each, settings["noise"]), count, method, DDIM(eta=1.0),
        settings["steps"], rng, full=way.full, callback=lambda step: bar.update(),
    )  # fmt: skip
    with torch.no_grad():
        clean = denoiser(way.scores[0], way.process.sde)(samples.x, way.process.sde.t_min)
    return {
        "x": clean.cpu().numpy().clip(0, 1),
        "seconds": samples.seconds,
        "evaluations": samples.evaluations,
        "methods": [type(m).__name__ for m in samples.methods],
    }


def _compared(
    found: dict[str, Way],
    parts: dict[str, list[dict[str, Any]]],
    drawn: dict[str, Any],
    measurement: LinearMeasurement,
    y: Any,
    truth: Any,
) -> dict[str, Any]:
    seconds = {w: float(sum(p["seconds"].sum() for p in chunks)) for w, chunks in parts.items()}
    psnr = {w: _psnr(x, truth) for w, x in drawn.items()}
    over = {w: summary(psnr[w]["each"], psnr["full model"]["each"]) for w in found}
    return {
        w: {
            "levels": way.levels,
            "times": list(way.process.times),
            "methods": parts[w][0]["methods"].tolist(),
            "evaluations": parts[w][0]["evaluations"].tolist(),
            "psnr": psnr[w],
            "over full": over[w][0],
            "over full stderr": over[w][1],
            "psnr of the mean": _psnr(drawn[w].mean(axis=1, keepdims=True), truth),
            "off": float(np.sqrt(np.mean((measurement.apply(drawn[w]) - y[:, None]) ** 2))),
            "seconds per sample": seconds[w] / (drawn[w].shape[0] * drawn[w].shape[1]),
            "ratio": seconds[w] / seconds["full model"],
        }
        for w, way in found.items()
    }


def _psnr(x: Any, truth: Any) -> dict[str, Any]:
    """10 log₁₀(1/mean squared error) of every image, averaged over its samples; the mean of that, its standard error.

    x is (N, samples, 3, H, W).
    """
    errors = np.mean((x.astype(np.float64) - truth[:, None]) ** 2, axis=(2, 3, 4))
    each = np.mean(-10 * np.log10(errors), axis=1)
    mean, stderr = summary(each)
    return {"each": each.tolist(), "mean": mean, "stderr": stderr}
