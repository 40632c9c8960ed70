"""A data set of images, and its batches as floats in [0, 1]."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ..arrays import check_unmasked
from ..border import checked
from ..shown import Shown

Pixels: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False, repr=False)
class Images(Shown):
    """A data set: `train` and `held_out`, uint8 arrays of shape (N, C, H, W), and the `name` it was asked for by."""

    name: str
    train: Pixels
    held_out: Pixels

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W): three channels, or one of grey images."""
        _, c, h, w = self.train.shape
        return c, h, w


def to_unit(images: Any) -> Pixels:
    """uint8 pixels as float32 in [0, 1]; any other dtype is a ValueError, lest floats be divided by 255 again.

    >>> to_unit(np.asarray([0, 255], dtype=np.uint8))
    array([0., 1.], dtype=float32)
    """
    check_unmasked(images)
    pixels = np.asarray(images)
    if pixels.dtype != np.uint8:
        raise ValueError(f"pixels must be uint8, got {pixels.dtype}")
    unit = pixels.astype(np.float32)
    unit /= np.float32(255)
    return unit


@checked
def unit_batches(images: Pixels, size: int = 1024) -> Iterator[Pixels]:
    """uint8 images as batches in [0, 1], so that a data set is never whole in floating point."""
    check_positive(size=size)
    return (to_unit(images[start : start + size]) for start in range(0, len(images), size))


def check_positive(**counts: int) -> None:
    """A ValueError for a number below 1, by its name."""
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
