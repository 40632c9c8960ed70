"""Many images on one sheet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..arrays import check_unmasked
from ..border import checked
from ..files import whole
from .batches import check_positive


@checked
def save_grid(images: Any, path: str | Path, columns: int = 8, zoom: int = 4) -> None:
    """Images (N, C, H, W), C = 1 or 3, floats in [0, 1] (others are clipped) or uint8, as one PNG with white borders.

    The file appears under its name when it is whole. A ValueError for no images, another shape or dtype, or NaN.
    """
    check_positive(columns=columns, zoom=zoom)
    check_unmasked(images)
    pixels, path = np.asarray(images), Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"a grid is written as PNG: {path} must end in .png")
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or 0 in pixels.shape:
        raise ValueError(f"a grid needs images of shape (N, 3, H, W) or (N, 1, H, W), at least one; got {pixels.shape}")
    if pixels.dtype != np.uint8:
        if not np.issubdtype(pixels.dtype, np.floating) or np.isnan(pixels).any():
            raise ValueError(f"a grid needs uint8 or floats without NaN, got {pixels.dtype}")
        pixels = (np.clip(pixels, 0, 1) * 255 + 0.5).astype(np.uint8)
    n, _, h, w = pixels.shape
    if (edge := zoom * (max(columns * (w + 1), -(-n // columns) * (h + 1)) + 1)) > 2**16:
        raise ValueError(f"the grid would be {edge:,} pixels long: give a smaller zoom, or fewer images")
    sheet = np.full((3, -(-n // columns) * (h + 1) + 1, columns * (w + 1) + 1), 255, dtype=np.uint8)
    for i, image in enumerate(pixels):
        top, left = (i // columns) * (h + 1) + 1, (i % columns) * (w + 1) + 1
        sheet[:, top : top + h, left : left + w] = image
    sheet = sheet.repeat(zoom, axis=1).repeat(zoom, axis=2)
    with whole(path) as fresh:
        Image.fromarray(sheet.transpose(1, 2, 0)).save(fresh, format="PNG")
