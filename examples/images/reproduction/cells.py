"""What the study samples and in which order, as data: cheap and telling cells first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

PLANS: dict[str, tuple[str, ...]] = {
    "full": (),
    "means 1/2": ("downsampling:1/2",),
    "means 1/4": ("downsampling:1/4",),
    "lowpass 1": ("lowpass:3/8",),
    "lowpass 2": ("lowpass:5/8", "lowpass:3/8"),
    "lowpass 3": ("lowpass:5/8", "lowpass:3/8", "lowpass:1/4"),
}
"""The levels of each plan, largest first, with the share of the images' edges that their own have; the paper's are the
block means."""

SEPARATE, SHARED = "separate", "shared"  # a network for each level, one for all
FULL, PAIR = ("full",), ("means 1/2", "lowpass 2")
OTHERS = tuple(plan for plan in PLANS if plan not in FULL + PAIR)
HEUN, DPM, PAPER = "heun", "dpm-solver-2m", "predictor-corrector"
MIDDLE, AROUND = (3e-3,), (1e-3, 1e-2, 3e-2)

ORDER: list[tuple[str, str, Sequence[int], Sequence[float], Sequence[str]]] = [
    # networks, solver, steps, thresholds of D_F, plans
    (SEPARATE, DPM, (10, 18), MIDDLE, FULL + PAIR),
    (SHARED, DPM, (10,), MIDDLE, FULL + PAIR),
    (SEPARATE, DPM, (6,), MIDDLE, FULL + PAIR),  # what a plan of 10 steps costs buys the full model 6
    (SHARED, DPM, (6,), MIDDLE, FULL + PAIR),
    (SEPARATE, HEUN, (10,), MIDDLE, FULL + PAIR),
    (SEPARATE, PAPER, (30,), MIDDLE, FULL + PAIR),
    (SEPARATE, DPM, (18,), AROUND, PAIR),
    (SHARED, DPM, (18,), MIDDLE, FULL + PAIR),
    (SEPARATE, "bits/dim", (80,), (1e-3, 3e-3), PAIR),
    (SEPARATE, HEUN, (18,), MIDDLE, FULL + PAIR),
    (SEPARATE, PAPER, (100,), MIDDLE, FULL + PAIR),
    (SHARED, HEUN, (10, 18), MIDDLE, FULL + PAIR),
    (SHARED, PAPER, (30, 100), MIDDLE, FULL + PAIR),
    (SEPARATE, DPM, (18,), MIDDLE, OTHERS),
    (SHARED, DPM, (18,), MIDDLE, OTHERS),
    (SEPARATE, DPM, (10, 18, 30), MIDDLE, tuple(PLANS)),
    (SEPARATE, HEUN, (10, 18, 30), MIDDLE, tuple(PLANS)),
    (SHARED, DPM, (10, 18, 30), MIDDLE, tuple(PLANS)),
    (SHARED, HEUN, (10, 18, 30), MIDDLE, tuple(PLANS)),
    (SEPARATE, DPM, (18,), AROUND, OTHERS),
    (SHARED, DPM, (18,), AROUND, PAIR + OTHERS),
    (SEPARATE, "bits/dim", (80,), (1e-4, 3e-4, 1e-3), ("means 1/2", "means 1/4")),  # the rows of the paper's Table 3
    (SEPARATE, DPM, (18,), (1e-4, 3e-4), ("means 1/2", "means 1/4")),  # and their samples
    (SEPARATE, PAPER, (100,), AROUND, PAIR),
    (SEPARATE, PAPER, (300, 1000), MIDDLE, FULL + PAIR),  # 1000 steps are the paper's
    (SHARED, PAPER, (300, 1000), MIDDLE, FULL + PAIR),
]
"""Whoever has another question writes other lines."""


@dataclass(frozen=True)
class Cell:
    """Samples of one plan; of the full model without a threshold."""

    networks: str
    plan: str
    solver: str
    steps: int
    threshold: float | None = None

    @property
    def name(self) -> str:
        """As the tables call it."""
        at = "" if self.threshold is None else f", D_F {self.threshold:g}"
        return f"{self.networks}, {self.plan}, {self.solver} {self.steps}{at}"

    @property
    def full(self) -> Cell:
        """The full model's samples that these are held against, one by one."""
        return replace(self, plan="full", threshold=None)


@dataclass(frozen=True)
class Bits(Cell):
    """Bits/dim of held-out images, of the full model and of the plan in both forms."""


def _cells() -> Iterator[Cell]:
    for networks, solver, steps, thresholds, plans in ORDER:
        kind = Bits if solver == "bits/dim" else Cell
        for n in steps:
            for threshold in thresholds:
                for plan in plans:
                    yield kind(networks, plan, solver, n, threshold if PLANS[plan] else None)


CELLS = list(dict.fromkeys(_cells()))


def level_names(plan: str, shape: Sequence[int]) -> list[str]:
    """The levels of a plan for images (C, H, W): ``lowpass:20`` of 32 pixels, and of others in the same proportion.

    Raises ValueError for edges of which there is no such share.
    """
    edge, names = min(shape[1:]), []
    for level in PLANS[plan]:
        kind, _, share = level.partition(":")
        size = Fraction(share) * edge
        if size.denominator != 1:
            raise ValueError(f"an edge of {edge} pixels has no {share} of it: give a --size that 8 divides")
        names.append(f"{kind}:{size}")
    return names
