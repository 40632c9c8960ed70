"""Samples in bulk: those of one plan, by any number of processes, as Parquet shards that Hugging Face datasets read.

A shard is a batch. Which samples it has, and the stream of each (`subspace_sde.backend.streams`), do not depend on the
processes, so that any number of them draws the same images; and what is there already is not drawn again.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from accelerate import PartialState
from PIL import Image
from tqdm import tqdm

from subspace_sde import SubspaceSDE, sample
from subspace_sde.arrays import Score
from subspace_sde.files import reading_content, whole, write_content
from subspace_sde.images import Images
from subspace_sde.specification import specify

from .levels import Level
from .plans import build_process, usable
from .sampling import SolverName, randomness

ABOUT, VERSION = "shards.json", 1
SETTINGS = ("process", "networks", "solver", "steps", "seed", "batch", "device")
WAIT = 0.2  # seconds between two looks at what the other processes have drawn


@dataclass(frozen=True)
class Drawn:
    """What is in a folder of shards.

    Attributes
    ----------
    folder, num: where they lie, and how many samples they hold.
    evaluations: calls of s_0 … s_K that each sample went through, E[x(0)|x(t_min)] at the end among them.
    seconds: those of all batches, whichever process drew them.
    """

    folder: Path
    num: int
    evaluations: tuple[int, ...]
    seconds: float


def sample_shards(
    process: SubspaceSDE,
    scores: Sequence[Score],
    num: int,
    folder: Path,
    solver: SolverName = SolverName.heun,
    steps: int = 40,
    seed: int = 0,
    batch: int = 64,
    minutes: float = float("inf"),
    device: torch.device | None = None,
    networks: Sequence[str] = (),
) -> Drawn:
    """Draw samples 0 … num − 1 of a plan of images into `folder`; each process of `accelerate launch` takes its part.

    Every batch is a file, whole or not there: a call that was killed loses the batches that it was at, and another goes
    on, with any number of processes, or to a larger `num`. Sample i of one `seed` starts from the same x(T) of the full
    space in every plan. ``networks`` are the digests of what the scores were made from.

    Raises ValueError for a folder that holds the samples of other settings, or more than `num` of them.
    """
    device = torch.device("cpu") if device is None else device
    state = PartialState(cpu=device.type == "cpu")
    settings = {
        "process": specify(process), "networks": list(networks), "solver": solver.value, "steps": steps, "seed": seed,
        "batch": batch, "device": device.type,
    }  # fmt: skip
    with state.main_process_first():
        _claim(folder, settings)
    needed = {start: min(batch, num - start) for start in range(0, num, batch)}
    held = {int(file.stem): _count(file) for file in _files(folder)}
    if (most := max((start + count for start, count in held.items()), default=0)) > num:
        raise ValueError(f"{folder} holds {most} samples already: ask for as many or more, or move it away")
    missing = {start: count for start, count in needed.items() if held.get(start) != count}
    if state.is_main_process and (idle := state.num_processes - len(needed)) > 0:
        tqdm.write(f"{idle} of {state.num_processes} processes have nothing to do: {num} samples are {len(needed)} "
                   f"batches of {batch}")  # fmt: skip
    started = time.monotonic()

    def in_time() -> bool:
        return time.monotonic() - started < 60 * minutes

    with tqdm(
        total=num,
        initial=num - sum(missing.values()),
        desc=f"sample {folder.name}",
        unit="image",
        disable=not state.is_main_process,
    ) as bar:

        def look() -> None:
            """See what all the processes have drawn."""
            for start, count in list(missing.items()):
                if (file := _file(folder, start)).exists() and _count(file) == count:
                    del missing[start]
                    bar.update(count)

        for start in list(needed)[state.process_index :: state.num_processes]:
            if start in missing and in_time():
                rows = range(start, start + needed[start])
                _write(_file(folder, start), *_draw(process, scores, rows, solver, steps, seed, device))
                look()
        while state.is_main_process and missing and in_time():
            time.sleep(WAIT)
            look()
    return described(folder)


def sample_plan(
    images: Images,
    models: dict[str, Level],
    plans: Mapping[str, Sequence[str]],
    divergence: dict[str, Any],
    name: str,
    out: Path,
    num: int,
    steps: int,
    solver: SolverName,
    minutes: float,
    seed: int,
    device: torch.device,
) -> Drawn:
    """`sample_shards` for the plan `name`, into OUT/shards/NAME.

    Raises ValueError where there is no such plan, or none of its levels meets the threshold.
    """
    if name not in plans:
        raise ValueError(f"there is no plan {name!r} in this folder: choose one of {', '.join(plans)}")
    levels = usable(plans[name], divergence, models["full"].sde)
    if plans[name] and not levels:
        raise ValueError(f"no level of the plan {name} meets the threshold: it would be the full model, --plan full")
    used = [models[n] for n in ["full", *levels]]
    process = build_process(images, levels, divergence, models["full"].sde)
    return sample_shards(
        process, [level.score for level in used], num, out / "shards" / name, solver, steps, seed, batch_on(device),
        minutes, device, [level.digest for level in used],
    )  # fmt: skip


def batch_on(device: torch.device) -> int:
    """Samples at a time, which small networks are fast with."""
    return 64 if device.type == "cpu" else 256


def read_shards(folder: Path) -> np.ndarray[Any, Any]:
    """The samples in a folder of shards, in their order: uint8 (N, 3, H, W)."""
    pictures = (row["bytes"] for file in _files(folder) for row in pq.read_table(file)["image"].to_pylist())
    images = [np.atleast_3d(np.asarray(Image.open(io.BytesIO(png)))) for png in pictures]
    return np.stack(images).transpose(0, 3, 1, 2)


def whole_of(folder: Path) -> int:
    """The samples in a folder of shards, of which none is missing between the others.

    Raises ValueError where one is: `read_shards` would give the samples after it other numbers.
    """
    num = 0
    for file in _files(folder):
        if int(file.stem) != num:
            raise ValueError(
                f"{folder} lacks the samples from number {num} on, and has those from {int(file.stem)} on: call "
                "`sample` with the same --plan and --num again, which draws them"
            )
        num += _count(file)
    return num


def settings_of(folder: Path) -> dict[str, Any]:
    """What the samples in a folder of shards were drawn by."""
    with reading_content(folder / ABOUT, "shards", VERSION) as found:
        return {key: found[key] for key in SETTINGS}


def described(folder: Path) -> Drawn:
    """What the shards in a folder say of themselves."""
    costs = [(json.loads(m.metadata[b"subspace_sde"]), m.num_rows) for m in map(pq.read_metadata, _files(folder))]
    evaluations = tuple(costs[0][0]["evaluations"]) if costs else ()
    return Drawn(folder, sum(n for _, n in costs), evaluations, sum(cost["seconds"] for cost, _ in costs))


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    """Say what the folder holds; a ValueError where it holds something else."""
    about, asked = folder / ABOUT, json.loads(json.dumps(settings))
    if not about.exists():
        if _files(folder):
            raise ValueError(f"{folder} holds Parquet files of something else: move it away")
        write_content(about, "shards", VERSION, settings)
    found = settings_of(folder)
    if differ := [key for key in asked if found[key] != asked[key]]:
        raise ValueError(f"{folder} holds samples with another {', another '.join(differ)}: move it away to draw these")


def _draw(
    process: SubspaceSDE, scores: Sequence[Score], rows: range, name: SolverName, steps: int, seed: int, device: Any
) -> tuple[Any, dict[str, Any]]:
    """The samples of these numbers, and what they cost."""
    solver, langevin = name.solver()
    like = torch.zeros((), device=device)
    rng, noise = randomness(process.sde, process.shape(0), seed, rows.start, rows.stop, like)
    samples = sample(process, scores, len(rows), solver, steps, rng, like, langevin, noise=noise, denoise=True)
    return samples.x.cpu().numpy(), {"evaluations": samples.evaluations, "seconds": sum(samples.seconds)}


def _write(file: Path, x: np.ndarray[Any, Any], cost: dict[str, Any]) -> None:
    """One shard, whole or not at all: a column of PNGs, as the Image feature of Hugging Face datasets has them."""
    from datasets import Features
    from datasets import Image as ImageFeature  # seconds to import

    rows = []
    for image in (x.clip(0, 1) * 255 + 0.5).astype(np.uint8).transpose(0, 2, 3, 1):
        Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(png := io.BytesIO(), format="PNG")
        rows.append({"bytes": png.getvalue(), "path": None})
    schema = Features({"image": ImageFeature()}).arrow_schema
    schema = schema.with_metadata({**schema.metadata, b"subspace_sde": json.dumps(cost).encode()})
    with whole(file) as fresh:
        pq.write_table(pa.table({"image": rows}, schema=schema), fresh)


def _file(folder: Path, start: int) -> Path:
    return folder / f"{start:08d}.parquet"


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.parquet") if file.stem.isdecimal())


def _count(file: Path) -> int:
    """The samples in a shard."""
    try:
        return int(pq.read_metadata(file).num_rows)
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{file} is no whole shard ({error}): remove it, and it is drawn again") from error
