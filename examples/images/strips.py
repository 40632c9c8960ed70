"""Strips of images, one below the other in one picture, with their names beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from subspace_sde.plotting import save

ZOOM, DPI, GAP, MARGIN = 3, 100, 2, 110


def save_strips(strips: Mapping[str, Any], path: Path, columns: int = 12) -> None:
    """Each entry one strip of images, (N, 3, H, W) in [0, 1], with its name on the left; at most `columns` of them.

    Every pixel of an image is `ZOOM` × `ZOOM` of the picture's.
    """
    shown = {name: np.clip(x[:columns], 0, 1) for name, x in strips.items()}
    n, _, h, w = next(iter(shown.values())).shape
    height = len(shown) * (h * ZOOM + GAP) - GAP
    width = MARGIN + n * (w * ZOOM + GAP) - GAP
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    for i, (name, x) in enumerate(shown.items()):
        sheet = np.ones((h * ZOOM, n * (w * ZOOM + GAP) - GAP, 3))
        for j, image in enumerate(x):
            large = image.transpose(1, 2, 0).repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)
            sheet[:, j * (w * ZOOM + GAP) :][:, : w * ZOOM] = large
        top = height - i * (h * ZOOM + GAP)
        figure.figimage(sheet, MARGIN, top - h * ZOOM, origin="upper")
        middle = (top - h * ZOOM / 2) / height
        figure.text((MARGIN - 8) / width, middle, name.replace(", ", ",\n"), ha="right", va="center", fontsize=9)
    save(figure, path, dpi=DPI)
