"""What a run folder is of: its images by their content, its SDE and its plans, in ``run.json``.

The first command that reads images for a folder writes it; the others take from it what is not said again, and refuse
what contradicts it. A folder in which nothing was made yet is bound to nothing.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from subspace_sde import IsotropicSDE
from subspace_sde.border import checked
from subspace_sde.files import reading_content, write_content
from subspace_sde.images import Images, load
from subspace_sde.specification import build, specify

from .levels import SDE, Level, load_levels
from .results import digest, read_json

FILE, VERSION = "run.json", 1
MADE = ("analysis.json", "divergence.json", "samples.json", "state", "*.safetensors", "separate", "shared", "cells")
"""What shows that a folder was worked in."""


@checked
@dataclass(frozen=True)
class Remembered:
    """The content of ``run.json``.

    Attributes
    ----------
    data, source: what the images were first called, and where they lie: an absolute path, or a name.
    size: that --size cuts them to, if any.
    shape, images: (C, H, W); how many there are to train on, and held out.
    train, held_out: the content of both.
    sde: of all levels.
    plans: those of --level, or that networks were trained for; None as long as `analyse` may still decide.
    """

    data: str
    source: str
    size: int | None
    shape: Sequence[int]
    images: Sequence[int]
    train: str
    held_out: str
    sde: IsotropicSDE
    plans: Mapping[str, Sequence[str]] | None = None

    def told(self) -> str:
        """The images in words."""
        (_, h, w), (train, held_out) = self.shape, self.images
        return f"{train} training images and {held_out} held out, {h} x {w}"

    def same_images(self, other: Remembered) -> bool:
        """Whether every pixel is the same, whatever the images are called."""
        mine, others = ((list(r.shape), list(r.images), r.train, r.held_out) for r in (self, other))
        return mine == others


@dataclass
class Held:
    """A run folder, the images that were read for it, and what it remembers."""

    out: Path
    images: Images
    about: Remembered

    def keep(self, plans: Mapping[str, Sequence[str]] | None = None) -> None:
        """Write ``run.json`` where it says something else, with these plans or those that it had.

        The full model alone is no plan to remember. Of several processes the first one writes.
        """
        chosen = {name: list(levels) for name, levels in (plans or {}).items()}
        if any(chosen.values()):
            self.about = replace(self.about, plans=chosen)
        if int(os.environ.get("RANK", "0")) == 0 and _read(self.out) != self.about:
            write_content(self.out / FILE, "run", VERSION, {**vars(self.about), "sde": specify(self.about.sde)})

    @contextmanager
    def remembering(self, plans: Mapping[str, Sequence[str]]) -> Iterator[None]:
        """`keep` these plans when the training in the block is done, or stopped by Ctrl-C: not where it is refused."""
        try:
            yield
        except KeyboardInterrupt:
            self.keep(plans)
            raise
        self.keep(plans)

    def networks(self, folder: Path, names: Sequence[str], device: torch.device) -> dict[str, Level]:
        """The named levels in a folder (`load_levels`); a ValueError where they were trained under another SDE."""
        models = load_levels(folder, names, self.images.shape, device)
        if (sde := models[names[0]].sde) != self.about.sde:
            raise ValueError(
                f"the networks in {folder} were trained under {sde!r}, {self.out} is of {self.about.sde!r}"
            )
        return models


def open_run(out: Path, data: str | None, size: int | None) -> Held:
    """The images of a run folder: those given or, without, those that it remembers; ``builtin`` for a new one.

    Nothing is written before `Held.keep`. The seed of the split is always the same: what was held out once is held out.

    Raises ValueError where the folder holds a run of other images, of another size or SDE, or one that does not say of
    which images; where the remembered ones are gone or have changed; and for a ``run.json`` that is none.
    """
    before, begun = _read(out), any(next(out.glob(pattern), None) for pattern in MADE)
    if begun and before is None and data is None:
        raise ValueError(
            f"{out} holds a run but no {FILE}, which would say of which images: give --data and --size once"
        )
    if begun and before is not None:
        if size is not None and list(before.shape[1:]) != [size, size]:
            raise ValueError(
                f"{out} holds a run of {before.data}, {before.told()}, and --size is {size}: leave --size out, or give "
                "another --out"
            )
        if before.sde != SDE:
            raise ValueError(
                f"{out} holds a run under {before.sde!r}, and levels have {SDE!r} here: give another --out"
            )
    known = before if begun or data is None else None
    source = data if data is not None else known.source if known else "builtin"
    try:
        images = load(source, size if size is not None or known is None else known.size, channels=3)
    except (ValueError, OSError) as error:
        if data is not None or known is None:
            raise
        raise ValueError(
            f"{out} is of {known.data}, {known.told()}, which cannot be read any more ({error}): give --data with "
            "where these images are now"
        ) from error
    found = Remembered(
        data=known.data if known and data is None else images.name,
        source=str(path.absolute()) if (path := Path(source).expanduser()).exists() else source,
        size=size if size is not None or known is None else known.size,
        shape=list(images.shape),
        images=[len(images.train), len(images.held_out)],
        train=digest(images.train),
        held_out=digest(images.held_out),
        sde=SDE,
        plans=known.plans if known else None,
    )
    if begun:
        _check_same(out, before, found, source, data is not None)
    return Held(out, replace(images, name=found.data), found)


def _check_same(out: Path, before: Remembered | None, found: Remembered, source: str, given: bool) -> None:
    """A ValueError where a run was begun with other images, as far as it says."""
    if before is None:  # from before there was a run.json
        analysis = read_json(out / "analysis.json", "analyse") if (out / "analysis.json").exists() else {}
        if (analysis.get("inputs") or {}).get("data", found.train) != found.train:
            raise ValueError(
                f"{out} holds a run of {analysis.get('data')}, and {source} with this --size ({found.told()}) holds "
                "other images: give those, or another --out"
            )
    elif not before.same_images(found) and given:
        raise ValueError(
            f"{out} holds a run of {before.data}, {before.told()}, and {source} holds other images ({found.told()}): "
            "leave --data out, or give another --out"
        )
    elif not before.same_images(found):
        raise ValueError(
            f"the images of {source} have changed since {out} was begun ({before.told()} then, {found.told()} now): "
            "put them back, or give another --out"
        )


def _read(out: Path) -> Remembered | None:
    """What ``run.json`` says, None where there is none."""
    path = out / FILE
    if not path.exists():
        return None
    try:
        with reading_content(path, "run", VERSION) as content:
            about = Remembered(**{**content, "sde": build(content["sde"])})
            if len(about.shape) != 3 or len(about.images) != 2:
                raise ValueError("shape has three numbers, and images two")
            if wrong := [name for name in about.plans or () if not re.fullmatch(r"[\w.-]+", name)]:
                raise ValueError(f"{wrong[0]!r} is no name of a plan")
            return about
    except ValueError as error:
        raise ValueError(f"{error}; or remove that file, and give --data and --size once more") from error


def kept_in(out: Path) -> str:
    """What a run folder holds, in words, after a command was stopped."""
    found = [f"the {file}" for file in ("analysis", "divergence", "samples") if (out / f"{file}.json").exists()]
    for file in sorted([*out.glob("state/*/progress.json"), *out.glob("*/state/*/progress.json")]):
        try:
            found.append(
                f"the network {file.parent.name} after {json.loads(file.read_text(encoding='utf-8'))['step']} steps"
            )
        except (ValueError, KeyError, TypeError):
            continue
    if cells := sum(1 for _ in out.glob("cells/*.json")):
        found.append(f"{cells} cell{'s' if cells > 1 else ''} of the study")
    if batches := sum(1 for pattern in ("chunks/*/*.npz", "*/*/*.parquet") for _ in out.glob(pattern)):
        found.append(f"{batches} finished batch{'es' if batches > 1 else ''}")
    return ", ".join(found) or "nothing yet"
