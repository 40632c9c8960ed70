"""The study itself: what a cell costs, its samples, their distance from held-out images; each kept when it is done."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from subspace_sde import NestedSubspaces, SubspaceSDE, sample
from subspace_sde.images import Images

from ..bulk import batch_on, described, read_shards, sample_shards
from ..devices import machine
from ..divergences import at_threshold, measure_divergence, untrained
from ..evaluation import Features, Reference, with_halves
from ..evaluation.distances import too_few
from ..evaluation.measuring import check_images, check_number, in_place_of_samples
from ..evaluations import seconds_per_evaluation
from ..likelihoods import measure_likelihood
from ..plans import build_process, levels_of, usable
from ..progress import commit
from ..results import digest, fingerprint, found_again, write_json
from ..sampling import SolverName
from .cells import MIDDLE, Bits, Cell, level_names
from .networks import Networks

REFERENCE = 2000
"""Evaluations of the full size that a cost of 1 stands for: the paper's 1000 steps of a predictor and a corrector."""
LOOKS, HELD_OUT, GRADIENT = 256, 64, 3  # images for D_F and for bits/dim; a trace costs as much as 3 evaluations
PRICED = 64  # images that the judge is timed with


@dataclass
class Study:
    """Images, networks and settings; `run` goes through cells as far as the time goes.

    Parameters
    ----------
    images, networks: what is modelled, and by what (`networks`).
    judge: the feature network of all distances.
    out: where samples, features and results are kept, and found again by the same settings.
    num: samples of a cell.

    Raises ValueError for fewer samples or held-out images than figures can be measured of, or smaller ones.
    """

    images: Images
    networks: Networks
    judge: Features
    out: Path
    num: int = 2000
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        check_images(self.images.held_out)
        check_number(self.num)
        self.data, self.held_out = fingerprint(self.images), digest(self.images.held_out)[:8]
        self.judging = 0.0  # seconds that a cell takes beside its samples
        self.divergence, self.switched = cache(self._divergence), cache(self._switched)
        self.process = cache(self._process)

    # -- what a cell is -------------------------------------------------------------------------------------------

    def _divergence(self, kind: str) -> dict[str, Any]:
        """D_F by the full network of this kind."""
        levels = self.networks[kind]
        return measure_divergence(
            self.images, levels["full"], list(levels), MIDDLE[0], self.out / "divergence" / kind, LOOKS,
            seed=self.seed, device=self.device,
        )  # fmt: skip

    def _switched(self, kind: str, threshold: float) -> dict[str, Any]:
        return at_threshold(self.divergence(kind), threshold)

    def left_out(self, cell: Cell) -> str:
        """Why a cell cannot be sampled; empty where it can."""
        if cell.networks not in self.networks:
            return "there are no such networks"
        asked = level_names(cell.plan, self.images.shape)
        if missing := [name for name in asked if name not in self.networks[cell.networks]]:
            return f"there is no network for {', '.join(missing)}"
        if asked and not self.levels(cell)[0]:
            return f"no level meets D_F = {cell.threshold:g}"
        return ""

    def levels(self, cell: Cell) -> tuple[tuple[str, ...], tuple[float, ...]]:
        """The levels that the threshold leaves, and their times t_k."""
        if cell.threshold is None:
            return (), ()
        found = self.switched(cell.networks, cell.threshold)
        names = usable(level_names(cell.plan, self.images.shape), found)
        return tuple(names), tuple(found["levels"][name]["t"] for name in names)

    def key(self, cell: Cell) -> str:
        """The same for cells that are the same samples, whatever they are called."""
        names, times = self.levels(cell)
        settings = {
            "data": self.data, "networks": [level.digest for level in self.models(cell)],
            "levels": names, "times": times, "solver": cell.solver, "steps": cell.steps, "seed": self.seed,
            "device": self.device.type, "num": self.num,
        }  # fmt: skip
        digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:8]
        said = [cell.networks, *(names or ["full"]), cell.solver, str(cell.steps), digest]
        return "-".join(said).replace(":", "-").replace("/", "-")

    def models(self, cell: Cell) -> list[Any]:
        """s_0 … s_K."""
        return [self.networks[cell.networks][name] for name in ("full", *self.levels(cell)[0])]

    def _process(self, kind: str, names: tuple[str, ...], threshold: float | None) -> SubspaceSDE:
        found = {"levels": {}} if threshold is None else self.switched(kind, threshold)
        return build_process(self.images, names, found, self.networks[kind]["full"].sde)

    @cached_property
    def features(self) -> int:
        """How many the judge has."""
        return int(self.judge(self.images.held_out[:1]).shape[1])

    @property
    def no_frechet(self) -> str:
        """Why there is no Fréchet distance, so that cells are compared by the kernel distance; empty where there is."""
        return too_few(self.num, len(self.images.held_out), self.features)

    @property
    def long_bars(self) -> str:
        """What is to be said of error bars from halves that have fewer samples than features."""
        if self.no_frechet or min(self.num, len(self.images.held_out)) // 2 > self.features:
            return ""
        return f" or more (halves have fewer samples than features, below {2 * self.features + 2} of each)"

    # -- what it costs --------------------------------------------------------------------------------------------

    @cached_property
    def seconds(self) -> dict[str, dict[str, float]]:
        """Of one sample's evaluation, of every level of every kind, measured once on a machine and kept."""
        digests = {kind: {n: level.digest for n, level in levels.items()} for kind, levels in self.networks.items()}
        inputs, file = {"machine": machine(self.device), "networks": digests}, self.out / "seconds.json"
        if (before := found_again(file, inputs)) is not None:
            return dict(before["seconds"])
        batch, found = batch_on(self.device), {}
        for kind, levels in self.networks.items():
            scores = {name: level.score for name, level in levels.items()}
            shapes = {name: level.subspace.shape for name, level in levels.items()}
            each = seconds_per_evaluation(scores, shapes, batch, self.device, 3)
            found[kind] = {name: s / batch for name, s in each.items()}
        write_json(file, {"inputs": inputs, "seconds": found})
        return found

    def evaluations(self, cell: Cell) -> tuple[int, ...]:
        """Calls of s_0 … s_K for a sample, counted with a score that costs nothing."""
        models, (_, times) = self.models(cell), self.levels(cell)
        spaces = [level.subspace for level in models[1:]]
        shape = self.images.shape
        nested = NestedSubspaces.from_subspaces(spaces) if spaces else NestedSubspaces([], ambient_shape=shape)
        process = SubspaceSDE(models[0].sde, nested, times, [1.0] * len(times))
        solver, langevin = SolverName(cell.solver).solver()
        scores = [lambda x, t: -x / (1 + process.sde.sigma(t) ** 2)] * len(models)
        return sample(process, scores, 1, solver, cell.steps, langevin=langevin, denoise=True).evaluations

    def price(self, cell: Cell) -> float:
        """Seconds of what is not there yet, about; the distances from held-out images come on top (`judging`)."""
        each = [self.seconds[cell.networks][level.name] for level in self.models(cell)]
        if isinstance(cell, Bits):  # the full model, and the plan twice
            return HELD_OUT * GRADIENT * 3 * (cell.steps + 2) * each[0]
        drawn = described(self.samples(cell)).num
        return (self.num - drawn) * float(np.dot(each, self.evaluations(cell)))

    # -- doing it -------------------------------------------------------------------------------------------------

    def file(self, cell: Cell) -> Path:
        """Where the result of a cell is kept."""
        judge = "" if isinstance(cell, Bits) else f"-{self.judge.digest}"
        return self.out / "cells" / f"{self.key(cell)}-{self.held_out}{judge}.json"

    def result(self, cell: Cell) -> dict[str, Any] | None:
        """What was found, or None for a cell that was not done yet."""
        if self.left_out(cell) or not self.file(cell).exists():
            return None
        return dict(json.loads(self.file(cell).read_text(encoding="utf-8")))

    def open(self, cell: Cell) -> bool:
        """Whether a cell is not done, or was before the full model's samples were there to make pairs with."""
        found = self.result(cell)
        if found is None or isinstance(cell, Bits):
            return found is None
        return bool(found["levels"]) and "cosine" not in found["figures"] and self.result(cell.full) is not None

    def samples(self, cell: Cell) -> Path:
        """The folder of a cell's samples."""
        return self.out / "samples" / self.key(cell)

    def run(self, cells: Sequence[Cell], minutes: float, tell: Any = print) -> None:
        """Do the cells in their order, those that the time is enough for; `tell` hears of each before it begins.

        The time is that of the cells: D_F, the prices, the held-out images' features and the figures of training images
        in place of samples come before it. At the end it hears of those that there was no time for.

        Raises ValueError where it is enough for none of those that are left, with the cheapest.
        """
        for kind in self.networks:
            if warning := untrained(self.divergence(kind)):
                tell(f"{kind} networks: {warning}")
        todo = [cell for cell in cells if not self.left_out(cell) and self.open(cell)]
        prices = {cell: self.price(cell) for cell in todo}
        if todo and (least := min(prices.values())) > 60 * minutes:
            cheapest = next(cell for cell in todo if prices[cell] == least)
            raise ValueError(
                f"{minutes:g} minutes are too few for any of the {len(todo)} cells that are left: the cheapest, "
                f"{cheapest.name}, takes about {least / 60:.2g}; give a larger --budget, or a smaller --num"
            )
        if any(not isinstance(cell, Bits) for cell in todo):
            seen = len(self.reference.images[:PRICED])  # all the held-out images are seen here, once
            self.judging = self.num / seen * self._looking()
            self._measure_floor()
        started = time.monotonic()
        for cell in todo:
            left = 60 * minutes - (time.monotonic() - started)
            if self.open(cell) and prices[cell] + self.judging <= left:
                tell(f"{cell.name}: about {(prices[cell] + self.judging) / 60:.1f} min")
                found = self._bits(cell) if isinstance(cell, Bits) else self._quality(cell, left / 60)
                if found is not None:
                    write_json(self.file(cell), found)
        if skipped := [cell for cell in todo if self.open(cell)]:
            tell(f"no time was left for {len(skipped)} cells, {skipped[0].name} the first: another call goes on there")

    def _looking(self) -> float:
        """Seconds in which the judge sees `PRICED` images."""
        started = time.monotonic()
        self.judge(self.images.held_out[:PRICED])
        return time.monotonic() - started

    def _quality(self, cell: Cell, minutes: float) -> dict[str, Any] | None:
        """None where the time ran out; the samples are kept."""
        models, names = self.models(cell), self.levels(cell)[0]
        process = self.process(cell.networks, names, cell.threshold)
        drawn = sample_shards(
            process, [level.score for level in models], self.num, self.samples(cell), SolverName(cell.solver),
            cell.steps, self.seed, batch_on(self.device), minutes, self.device, [level.digest for level in models],
        )  # fmt: skip
        if drawn.num < self.num:
            return None
        started, pairs = time.monotonic(), None
        if names and self.result(cell.full) is not None:
            pairs = read_shards(self.samples(cell.full))
        figures = with_halves(read_shards(drawn.folder), self.reference, pairs, self.seed)
        self.judging = time.monotonic() - started
        sizes = [level.subspace.dim for level in models]
        return {
            "levels": names,
            "times": process.times,
            "evaluations": drawn.evaluations,
            "of full size": float(np.dot(sizes, drawn.evaluations)) / sizes[0],
            "seconds": drawn.seconds / drawn.num,
            "num": drawn.num,
            "machine": machine(self.device),
            "commit": commit(),
            "figures": figures,
        }

    def _bits(self, cell: Cell) -> dict[str, Any]:
        plans = {"full": [], "plan": level_names(cell.plan, self.images.shape)}
        switched = self.switched(cell.networks, cell.threshold or MIDDLE[0])
        used = {name: self.networks[cell.networks][name] for name in levels_of(plans)}
        found = measure_likelihood(
            self.images, used, plans, switched, self.out / "bits" / self.held_out, HELD_OUT, cell.steps, seed=self.seed,
            device=self.device,
        )  # fmt: skip
        return {"num": found["num"], "ways": found["ways"]}

    @cached_property
    def reference(self) -> Reference:
        """The held-out images, seen by the judge once."""
        return Reference(self.images.held_out, self.judge, self.out / "features")

    @property
    def _floor(self) -> Path:
        about = [self.data, self.held_out, self.judge.digest, str(self.num), str(self.seed)]
        return self.out / f"training-images-{'-'.join(about)}.json"

    def floor(self) -> dict[str, list[float]] | None:
        """Those of as many training images in place of samples, what a perfect model would show; `run` keeps them."""
        return dict(json.loads(self._floor.read_text(encoding="utf-8"))) if self._floor.exists() else None

    def _measure_floor(self) -> None:
        if not self._floor.exists():
            some = in_place_of_samples(self.images.train, self.num, self.seed)
            write_json(self._floor, with_halves(some, self.reference, None, self.seed))

    def results(self, cells: Sequence[Cell]) -> list[dict[str, Any]]:
        """All that is done, each with its cell; costs are over `REFERENCE` evaluations of the full size."""
        found = []
        for cell in cells:
            if (result := self.result(cell)) is not None and not isinstance(cell, Bits):
                about = {"name": cell.name, **asdict(cell), "key": self.key(cell)}
                found.append(about | result | {"cost": result["of full size"] / REFERENCE})
        return found

    def bits(self, cells: Sequence[Cell]) -> list[dict[str, Any]]:
        """Those of the likelihoods that are done."""
        found: list[dict[str, Any]] = []
        for cell in cells:
            if isinstance(cell, Bits) and (result := self.result(cell)) is not None:
                found.append(asdict(cell) | result)
        return found
