"""Which subspaces suit the images, found without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from subspace_sde import analysis as library
from subspace_sde.analysis.report import write
from subspace_sde.images import Images

from .levels import SDE
from .results import fingerprint, found_again


def analyse(images: Images, levels: Sequence[str], threshold: float, out: Path, multiple_of: int = 4) -> dict[str, Any]:
    """What `subspace_sde.analysis` finds without a network, these levels among its rows, and its pictures.

    The plans have images whose edges are multiples of `multiple_of`, as the networks need.
    """
    inputs = {"data": fingerprint(images), "threshold": threshold, "multiple of": multiple_of}
    if (before := found_again(out / "analysis.json", inputs)) is not None:
        if {"full", *(row["subspace"] for row in before["rows"])}.issuperset(levels):
            return dict(before)
    found = library.analyse(images, levels, SDE, threshold, multiple_of=multiple_of)
    return write(found, out, inputs=inputs, train=len(images.train), held_out=len(images.held_out))
