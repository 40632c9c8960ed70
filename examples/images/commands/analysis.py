"""``analyse``: which subspaces suit the images."""

from __future__ import annotations

from pathlib import Path

from ..options import Data, Levels, Out, Size, Threshold, named, read_images
from ..tables import console


def analyse(
    data: Data = None,
    out: Out = Path("runs/images"),
    level: Levels = None,
    size: Size = None,
    threshold: Threshold = 3e-3,
) -> None:
    """Compare subspaces: how far do the images lie from each, from when could it be used? Seconds, no network."""
    from subspace_sde.analysis.report import show

    from ..analysis import analyse as compare
    from ..plans import levels_of

    held = read_images(data, size, out)
    plans = named(level, held) or {}
    held.keep()
    show(compare(held.images, levels_of(plans), threshold, out), console)
