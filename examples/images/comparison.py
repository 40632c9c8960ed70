"""What is compared on held-out images: the full model, and every plan in stages and in full dimension (eq. 11)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from subspace_sde import SubspaceSDE
from subspace_sde.arrays import Score
from subspace_sde.images import Images

from .levels import Level
from .plans import build_process, usable


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
        networks = [[level.name, level.digest] for level in self.models]
        return [networks, self.process.times, self.process.complement_variances, self.full]


def ways(
    images: Images, models: dict[str, Level], plans: Mapping[str, Sequence[str]], divergence: dict[str, Any]
) -> dict[str, Way]:
    """``full model``, and every plan whose levels meet the threshold ``staged`` and by ``eq. 11``."""
    found: dict[str, Way] = {}
    for plan, names in plans.items():
        levels = usable(names, divergence, models["full"].sde)
        if not levels and plan != "full":
            continue
        process = build_process(images, levels, divergence, models["full"].sde)
        kinds = {f"{plan}, staged": False, f"{plan}, eq. 11": True} if levels else {"full model": False}
        for name, full in kinds.items():
            found[name] = Way(process, [models[n] for n in ["full", *levels]], full)
    return found


def summary(values: Any, reference: Any = 0.0) -> tuple[float, float | None]:
    """The mean of values − reference, and its standard error; None for one value."""
    differences = np.asarray(values, dtype=np.float64) - np.asarray(reference)
    error = differences.std(ddof=1) / np.sqrt(len(differences)) if len(differences) > 1 else None
    return float(differences.mean()), None if error is None else float(error)
