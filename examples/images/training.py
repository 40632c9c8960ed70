"""Training a level: eq. 8 says that it is ordinary denoising score matching on ``subspace.restrict(x0)``.

Accelerate runs the same loop on a CPU, a GPU or many; the averaged weights come from diffusers. Everything random in
step i is drawn from streams fixed by (seed, i), so that training by steps goes on after a stop as if there had been
none; training by minutes does too, but its learning rate follows the clock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file

from subspace_sde import IsotropicSDE, Subspace
from subspace_sde.analysis import subspace_named
from subspace_sde.backend import streams
from subspace_sde.images import Images, unit_batches
from subspace_sde.losses import denoising_score_matching, edm
from subspace_sde.specification import specify

from .devices import machine, pick_device
from .levels import SDE, SHARED, Level, check_kind, check_sizes, file_name, unet
from .plans import levels_of
from .progress import Bar, Progress, replace_state
from .results import digest
from .shared import Sizes, shares_of


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

    def done(self, step: int, seconds: float) -> float:
        """The part of the training that is behind: 1 or more at its end."""
        return max(step / self.steps, seconds / (60 * self.minutes))

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
    shares: Mapping[str, float] | None = None,
    start: Path | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Path:
    """Train one level and keep it in ``out``; goes on where an earlier call stopped; returns the level's file.

    With the ``shares`` of other levels the network of the full space is theirs too: each step is for one of them, and
    sees its small images in the range of the full ones, with the noise of all of (t_min, T). With ``start``, the file
    of a level with the same network, the training begins from those weights. The recipe's minutes are the `clock`'s.

    A level that has had the steps or the minutes asked for is left alone; more of either trains it further. Stopped
    by Ctrl-C, it keeps what it has.

    Raises ValueError where ``out`` holds this level trained otherwise: on other data, under another SDE or recipe; for
    levels that are no smaller images, and for a ``start`` of another network.
    """
    shared = list(shares or ())
    known = None if start is None else Level.load(start)
    place = pick_device(device)
    if place.type == "cuda" and place.index is not None:
        torch.cuda.set_device(place)
    accelerator = Accelerator(mixed_precision=recipe.precision, cpu=place.type == "cpu")
    path = out / (SHARED if shared else file_name(name))
    state = out / "state" / path.stem
    asked = {
        **{k: v for k, v in asdict(recipe).items() if k not in ("steps", "minutes")},
        "channels": list(recipe.channels),
        "data": digest(images),
        "sde": specify(sde),
        "subspace": specify(subspace),
        **({"shares": {n: round(share, 4) for n, share in shares.items()}} if shares else {}),
        **({"start": known.digest} if known else {}),
    }
    with accelerator.main_process_first():
        progress = Progress.load(state, asked, data_name)
    if recipe.done(progress.step, progress.seconds) >= 1 and path.exists():
        return path
    torch.manual_seed(recipe.seed)
    mean, sigma_data = statistics(subspace, images)
    network = unet(subspace.shape, recipe.channels, recipe.layers)
    if known:
        _take(network, known, recipe)
        mean, sigma_data = known.mean, known.sigma_data  # the weights mean nothing beside others
    level = Level(name, sde, subspace, mean, sigma_data, recipe.channels, recipe.layers, network, shared=tuple(shared))
    sizes = Sizes(shares, subspace.shape, recipe.batch, recipe.seed) if shares else None
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=1e-4)
    first = progress.step * accelerator.num_processes
    loader = torch.utils.data.DataLoader(
        _Pixels(images),
        batch_sampler=_Batches(len(images), sizes.largest if sizes else recipe.batch, recipe.seed, first),
        collate_fn=lambda batch: batch,
    )
    level.network, optimizer, loader = accelerator.prepare(network, optimizer, loader)
    average = EMAModel(network.parameters(), decay=recipe.ema, use_ema_warmup=True, power=0.75)
    average.to(accelerator.device)
    if progress.step:
        accelerator.load_state(str(state / "weights"))
        shadow = load_file(state / "average.safetensors", device=str(accelerator.device))
        kept = {"shadow_params": [shadow[str(i)] for i in range(len(shadow))], "optimization_step": progress.step}
        average.load_state_dict({**average.state_dict(), **kept})
    weighting = edm(sigma_data)
    started = clock() - progress.seconds
    saved = progress.seconds

    def keep() -> None:
        if accelerator.is_main_process:
            level.recipe = {
                **{k: v for k, v in asked.items() if k not in ("sde", "subspace")},
                "data": data_name,
                "steps": progress.step,
                "minutes": round(progress.seconds / 60, 1),
                "loss": round(progress.loss, 5),
                "commit": progress.commit,
                "device": str(accelerator.device),
                "machine": machine(accelerator.device),
                "parameters": sum(p.numel() for p in network.parameters()),
            }
            average.store(network.parameters())
            average.copy_to(network.parameters())
            replace(level, network=network).save(path)
            average.restore(network.parameters())
        replace_state(accelerator, state, progress, average)

    level.network.train()
    try:
        with Bar(
            recipe.steps, recipe.minutes, progress, f"train {path.stem}", disable=not accelerator.is_main_process
        ) as bar:
            for batch in loader:
                if accelerator.num_processes == 1 or progress.step % 50 == 0:
                    # every process goes by the clock of the first, or they would part ways
                    elapsed = torch.tensor(clock() - started, device=accelerator.device)
                    progress.seconds = float(broadcast(elapsed)) if accelerator.num_processes > 1 else float(elapsed)
                done = recipe.done(progress.step, progress.seconds)
                if done >= 1:
                    break
                if progress.seconds - saved > 60:
                    keep()
                    saved = progress.seconds
                # warm up over 200 steps, constant, then down to nothing over the last 40 %
                rate = recipe.learning_rate * min(1.0, (progress.step + 1) / 200, max(0.02, (1 - done) / 0.4))
                for group in optimizer.param_groups:
                    group["lr"] = rate
                loss = _step(level, sizes, batch, weighting, progress.step, recipe, accelerator)
                optimizer.zero_grad()
                accelerator.backward(loss)
                accelerator.clip_grad_norm_(level.network.parameters(), 1.0)
                optimizer.step()
                average.step(network.parameters())
                progress.step += 1
                bar.follow(progress)
                if progress.step % 50 == 0 or progress.step == recipe.steps:
                    value = float(accelerator.gather(loss.detach()).mean())
                    if not np.isfinite(value):
                        raise ValueError(
                            f"the loss of {name} became {value} by step {progress.step}: lower the learning rate"
                        )
                    progress.loss = 0.9 * progress.loss + 0.1 * value if np.isfinite(progress.loss) else value
    except KeyboardInterrupt:
        if accelerator.num_processes == 1 and progress.step:
            keep()
        raise
    keep()
    accelerator.free_memory()
    return path


def train_named(
    name: str, images: Images, recipe: Recipe, out: Path, data_name: str, device: str, half: bool = False
) -> Level:
    """Train the level that the command line calls `name` (`train_level`); ``half`` keeps it under ``out/half`` too.

    There it is in half precision.
    """
    check_kind(out, shared=False)
    subspace = subspace_named(name, images.shape)
    level = Level.load(train_level(name, subspace, SDE, images.train, recipe, out, data_name, device))
    if half and int(os.environ.get("RANK", "0")) == 0:
        level.save(out / "half" / file_name(name), torch.float16)
    return level


def train_shared(
    plans: Mapping[str, Sequence[str]],
    analysis: dict[str, Any],
    images: Images,
    recipe: Recipe,
    out: Path,
    data_name: str,
    device: str,
    half: bool = False,
    start: Path | None = None,
) -> Level:
    """Train one network for all the levels of these plans (`train_level`), with the times that `analyse` found.

    Raises ValueError for levels that are no smaller images or that the network cannot halve, before any work.
    """
    subspaces = {name: subspace_named(name, images.shape) for name in levels_of(plans)}
    for subspace in subspaces.values():
        check_sizes(subspace, len(recipe.channels) - 1)
    check_kind(out, shared=True)
    shares = shares_of(plans, analysis, SDE)
    path = train_level("full", subspaces["full"], SDE, images.train, recipe, out, data_name, device, shares, start)
    level = Level.load(path)
    if half and int(os.environ.get("RANK", "0")) == 0:
        level.save(out / "half" / SHARED, torch.float16)
    return level


def _step(
    level: Level, sizes: Sizes | None, batch: Any, weighting: Any, step: int, recipe: Recipe, accelerator: Accelerator
) -> Any:
    """The loss of one step: its flips, times and noise come from a stream of its own."""
    stream = streams(recipe.seed, step, step + 1)[0]
    generator = torch.Generator(accelerator.device).manual_seed((stream + accelerator.process_index) % 2**63)
    x0 = batch.to(accelerator.device).float() / 255
    flip = torch.rand(len(x0), 1, 1, 1, generator=generator, device=x0.device) < 0.5
    x0 = torch.where(flip, x0.flip(-1), x0)
    z0 = sizes.shrink(x0, step) if sizes else level.subspace.restrict(x0)
    t = draw_times(len(z0), level.sde, level.sigma_data, generator)
    with accelerator.autocast():
        return denoising_score_matching(level.score, z0, t, level.sde, generator, weighting).mean()


def _take(network: torch.nn.Module, known: Level, recipe: Recipe) -> None:
    """The weights of a level, for a network like its own."""
    if (known.channels, known.layers) != (tuple(recipe.channels), recipe.layers):
        raise ValueError(
            f"training can start from the weights of {known.name} alone for a network of its channels "
            f"{','.join(map(str, known.channels))} and {known.layers} layers"
        )
    network.load_state_dict(known.network.state_dict())
