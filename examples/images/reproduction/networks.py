"""The networks of the study: trained here, a network for each level and one for all, or taken as they are."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from subspace_sde.analysis import subspace_named
from subspace_sde.images import Images

from ..analysis import analyse
from ..levels import SDE, SHARED, Level, check_sizes, file_name, load_levels
from ..plans import levels_of
from ..shared import shares_of
from ..training import Recipe, train_level
from .cells import MIDDLE, PLANS, SEPARATE, level_names
from .cells import SHARED as ONE

Networks = Mapping[str, Mapping[str, Level]]
"""Of each kind, ``separate`` and ``shared``, the levels by their names."""


def networks(
    images: Images, out: Path, recipe: Recipe, data_name: str, device: torch.device, weights: Path | None = None
) -> Networks:
    """Both kinds, each trained for the recipe's minutes into OUT/separate and OUT/shared; or those under `weights`.

    Of separate networks the full one has half of the time, the others equal shares of the rest; minutes are those of
    the processor where the device is a CPU, so that a busy machine trains as far. What was trained is found again.

    Raises ValueError where `weights` has neither folder, no full level in one, or networks of another SDE; and for
    sizes that cannot be halved.
    """
    plans = {plan: level_names(plan, images.shape) for plan in PLANS}
    names = levels_of(plans)
    if weights is None:
        _train(images, plans, out, recipe, data_name, device)
    folder = out if weights is None else weights
    kinds = [kind for kind in (SEPARATE, ONE) if (folder / kind).is_dir()]
    if not kinds:
        raise ValueError(f"{folder} has neither a folder {SEPARATE} nor a folder {ONE} with trained levels")
    return {kind: _load(folder / kind, names, images.shape, device) for kind in kinds}


def _train(
    images: Images,
    plans: Mapping[str, Sequence[str]],
    out: Path,
    recipe: Recipe,
    data_name: str,
    device: torch.device,
) -> None:
    names = levels_of(plans)
    for name in names:
        check_sizes(subspace_named(name, images.shape), len(recipe.channels) - 1)
    clock = time.process_time if device.type == "cpu" else time.monotonic

    def train(kind: str, name: str, part: float, shares: Mapping[str, float] | None = None) -> None:
        subspace, own = subspace_named(name, images.shape), replace(recipe, minutes=recipe.minutes * part)
        train_level(name, subspace, SDE, images.train, own, out / kind, data_name, str(device), shares, clock=clock)

    for name in names:
        train(SEPARATE, name, 0.5 if name == "full" else 0.5 / (len(names) - 1))
    train(ONE, "full", 1.0, shares_of(plans, analyse(images, names, MIDDLE[0], out / "analysis"), SDE))


def _load(folder: Path, names: Sequence[str], shape: tuple[int, int, int], device: torch.device) -> Mapping[str, Level]:
    """Those of the levels that are there; a ValueError without the full one, or with nothing beside it."""
    if (folder / SHARED).exists():
        there = [name for name in names if name in Level.load(folder / SHARED).shared]
    else:
        there = [name for name in names if name == "full" or (folder / file_name(name)).exists()]
    if len(there) == 1:
        raise ValueError(f"{folder} holds none of the levels {', '.join(names[1:])}: train one at least")
    found = load_levels(folder, there, shape, device)
    if (sde := found["full"].sde) != SDE:
        raise ValueError(f"the networks in {folder} were trained under {sde!r}, and the study is of {SDE!r}")
    return found
