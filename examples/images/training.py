"""Training a level: eq. 8 says that it is ordinary denoising score matching on ``subspace.restrict(x0)``.

Accelerate runs the same loop on a CPU, a GPU or many; the averaged weights come from diffusers. Everything random in
step i is drawn from streams fixed by (seed, i), so a run that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from subspace_sde import IsotropicSDE, Subspace
from subspace_sde.backend import streams
from subspace_sde.images import unit_batches
from subspace_sde.losses import denoising_score_matching, edm

from .levels import Level, file_name, unet


@dataclass(frozen=True)
class Recipe:
    """How a level is trained; `steps` or `minutes`, whichever comes first, ends it."""

    steps: int = 20_000
    minutes: float = float("inf")
    batch: int = 64
    learning_rate: float = 1e-3
    ema: float = 0.999
    channels: tuple[int, ...] = (32, 64, 128)
    layers: int = 1
    precision: str = "no"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or self.minutes <= 0 or self.learning_rate <= 0:
            raise ValueError("steps, batch, minutes and the learning rate must be positive")


class _Batches(torch.utils.data.Sampler[list[int]]):
    """The indices of each step, fixed by (seed, step)."""

    def __init__(self, images: int, batch: int, seed: int, start: int) -> None:
        self._images, self._batch, self._seed, self._start = images, batch, seed, start
        self.batch_size, self.drop_last = batch, True

    def __iter__(self) -> Iterator[list[int]]:
        step = self._start
        while True:
            rng = np.random.default_rng((self._seed, step))
            yield rng.integers(0, self._images, self._batch).tolist()
            step += 1


class _Pixels(torch.utils.data.Dataset[torch.Tensor]):
    """uint8 images that are handed out a batch at a time."""

    def __init__(self, images: np.ndarray[Any, Any]) -> None:
        self._images = torch.from_numpy(images)

    def __len__(self) -> int:
        return len(self._images)

    def __getitems__(self, indices: list[int]) -> torch.Tensor:
        return self._images[indices]


def draw_times(n: int, sde: IsotropicSDE, sigma_data: float, generator: torch.Generator) -> torch.Tensor:
    """Times over all of (t_min, T): three in four where the network learns most, the others uniform.

    The former have log(σ/(α σ_data)) normal about −0.6 with standard deviation 1.4 (Karras et al. 2022, widened).
    """
    uniform, normal = (f(n, generator=generator, device=generator.device) for f in (torch.rand, torch.randn))
    log_noise = (normal * 1.4 - 0.6) + float(np.log(sigma_data))
    chosen = sde.time_at_log_snr(-2 * log_noise, clip=True)
    anywhere = sde.t_min + (sde.T - sde.t_min) * uniform
    return torch.where(torch.arange(n, device=generator.device) % 4 == 0, anywhere, chosen)


def statistics(subspace: Subspace, images: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Mean and standard deviation of the entries of the level's coordinates."""
    count, total, squares = 0, 0.0, 0.0
    for batch in unit_batches(images):
        z = subspace.restrict(batch).astype(np.float64)
        count, total, squares = count + z.size, total + z.sum(), squares + (z * z).sum()
    mean = total / count
    return float(mean), float(np.sqrt(max(squares / count - mean * mean, 1e-12)))


def train_level(
    name: str,
    subspace: Subspace,
    sde: IsotropicSDE,
    images: np.ndarray[Any, Any],
    recipe: Recipe,
    out: Path,
    data_name: str = "",
    device: str = "auto",
) -> Path:
    """Train one level and keep it in ``out``; goes on where an earlier call stopped; returns the level's file.

    A level that is finished by this recipe is left alone. With a deadline, the time already spent counts.
    """
    accelerator = Accelerator(mixed_precision=recipe.precision, cpu=device == "cpu")
    path, state = out / file_name(name), out / "state" / file_name(name).removesuffix(".safetensors")
    progress = _Progress.load(state)
    if progress.finished:
        return path
    torch.manual_seed(recipe.seed)
    mean, sigma_data = statistics(subspace, images)
    level = Level(
        name,
        sde,
        subspace,
        mean,
        sigma_data,
        recipe.channels,
        recipe.layers,
        unet(subspace.shape, recipe.channels, recipe.layers),
    )
    optimizer = torch.optim.AdamW(level.network.parameters(), lr=recipe.learning_rate, weight_decay=1e-4)
    loader = torch.utils.data.DataLoader(
        _Pixels(images),
        batch_sampler=_Batches(len(images), recipe.batch, recipe.seed, progress.step * accelerator.num_processes),
        collate_fn=lambda batch: batch,
    )
    network = level.network
    level.network, optimizer, loader = accelerator.prepare(level.network, optimizer, loader)
    average = EMAModel(network.parameters(), decay=recipe.ema, use_ema_warmup=True, power=0.75)
    average.to(accelerator.device)
    if progress.step:
        accelerator.load_state(str(state / "weights"))
        shadow = load_file(state / "average.safetensors", device=str(accelerator.device))
        kept = {"shadow_params": [shadow[str(i)] for i in range(len(shadow))], "optimization_step": progress.step}
        average.load_state_dict({**average.state_dict(), **kept})
    weighting = edm(sigma_data)
    bar = tqdm(total=recipe.steps, initial=progress.step, desc=f"train {name}", disable=not accelerator.is_main_process)
    started, saved = time.monotonic() - progress.seconds, time.monotonic()
    level.network.train()

    def keep(finished: bool) -> None:
        progress.finished, progress.seconds = finished, time.monotonic() - started
        accelerator.wait_for_everyone()
        _replace_state(accelerator, state, progress, average)
        if accelerator.is_main_process:
            average.store(network.parameters())
            average.copy_to(network.parameters())
            level.recipe = {
                **asdict(recipe),
                "channels": list(recipe.channels),
                "data": data_name,
                "minutes": round(progress.seconds / 60, 1),
                "steps": progress.step,
                "loss": round(progress.loss, 5),
                "commit": commit(),
                "device": str(accelerator.device),
                "parameters": sum(p.numel() for p in network.parameters()),
            }
            wrapped, level.network = level.network, network
            level.save(path)
            level.network = wrapped
            average.restore(network.parameters())

    for batch in loader:
        done = max(progress.step / recipe.steps, (time.monotonic() - started) / (60 * recipe.minutes))
        if done >= 1:
            break
        # warm up over 200 steps, constant, then down to nothing over the last 40 %
        rate = recipe.learning_rate * min(1.0, (progress.step + 1) / 200, max(0.02, (1 - done) / 0.4))
        for group in optimizer.param_groups:
            group["lr"] = rate
        stream = streams(recipe.seed, progress.step, progress.step + 1)[0]
        generator = torch.Generator(accelerator.device).manual_seed((stream + accelerator.process_index) % 2**63)
        x0 = batch.to(accelerator.device).float() / 255
        flip = torch.rand(len(x0), 1, 1, 1, generator=generator, device=x0.device) < 0.5
        z0 = subspace.restrict(torch.where(flip, x0.flip(-1), x0))
        t = draw_times(len(z0), sde, sigma_data, generator)
        with accelerator.autocast():
            loss = denoising_score_matching(level.score, z0, t, sde, generator, weighting).mean()
        optimizer.zero_grad()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(level.network.parameters(), 1.0)
        optimizer.step()
        average.step(network.parameters())
        progress.step += 1
        bar.update()
        if progress.step % 50 == 0:  # one read of the device for fifty steps
            value = float(loss.detach())
            if not np.isfinite(value):
                raise ValueError(f"the loss of {name} became {value} by step {progress.step}: lower the learning rate")
            progress.loss = value if progress.step == 50 else 0.9 * progress.loss + 0.1 * value
            bar.set_postfix(loss=f"{progress.loss:.3f}")
            if time.monotonic() - saved > 60:
                keep(finished=False)
                saved = time.monotonic()
    bar.close()
    keep(finished=True)
    accelerator.free_memory()
    return path


@dataclass
class _Progress:
    step: int = 0
    seconds: float = 0.0
    loss: float = float("nan")
    finished: bool = False

    @classmethod
    def load(cls, state: Path) -> _Progress:
        older = state.with_name(state.name + ".old")
        if not state.exists() and older.exists():  # stopped between the two renames of _replace_state
            older.rename(state)
        file = state / "progress.json"
        return cls(**json.loads(file.read_text())) if file.exists() else cls()


def _replace_state(accelerator: Accelerator, state: Path, progress: _Progress, average: EMAModel) -> None:
    """The state of training as a folder that is always whole: the old one goes when the new one is complete."""
    fresh, older = state.with_name(state.name + ".new"), state.with_name(state.name + ".old")
    try:
        accelerator.save_state(str(fresh / "weights"))
        if accelerator.is_main_process:
            # not through Accelerate's own checkpoints of custom objects, which are pickled
            save_file({str(i): p for i, p in enumerate(average.shadow_params)}, fresh / "average.safetensors")
            (fresh / "progress.json").write_text(json.dumps(asdict(progress)))
            shutil.rmtree(older, ignore_errors=True)
            if state.exists():
                os.replace(state, older)
            os.replace(fresh, state)
            shutil.rmtree(older, ignore_errors=True)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors wrap what the disk said
        shutil.rmtree(fresh, ignore_errors=True)
        raise OSError(f"the state of training could not be written to {state} ({error}): is the disk full?") from error
    accelerator.wait_for_everyone()


def commit() -> str:
    """The commit of this checkout, or ``unknown``."""
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
