"""Videos of a ball in a box: 16 frames of 16 × 16 pixels, in which it keeps its size, its brightness and its speed.

The ball is bright inside of its radius and fades over a pixel; at a wall it turns back as light does at a mirror,
before it is cut off, so that all frames have the same brightness.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Matrix: TypeAlias = np.ndarray[Any, Any]

FRAMES, SIZE, RADIUS, FASTEST = 16, 16, 2.5, 0.8
_INSIDE = SIZE - 2 * RADIUS - 1  # the room for the centre: the ball fades out half a pixel beyond its radius


def paths(start: Matrix, velocity: Matrix) -> Matrix:
    """The centres (num, 16, 2) in pixels from the upper left corner; `start` and `velocity` are (num, 2).

    A straight line folded at the walls.
    """
    straight = start[:, None] - (SIZE - _INSIDE) / 2 + np.arange(FRAMES)[:, None] * velocity[:, None]
    folded: Matrix = _INSIDE - np.abs(straight % (2 * _INSIDE) - _INSIDE)
    return folded + (SIZE - _INSIDE) / 2


def film(centres: Matrix) -> Matrix:
    """(num, 1, 16, 16, 16) from the centres (num, 16, 2): in [0, 1], time before height and width."""
    pixels = np.arange(SIZE) + 0.5
    rows, columns = (pixels - centres[..., axis, None] for axis in (0, 1))
    distance = np.hypot(rows[..., :, None], columns[..., None, :])
    frames: Matrix = np.clip(RADIUS + 0.5 - distance, 0, 1)[:, None].astype(np.float32)
    return frames


def videos(num: int, seed: int) -> Matrix:
    """Balls that start anywhere in the box, in any direction, with a speed of at most 0.8 pixels a frame.

    >>> videos(3, seed=0).shape
    (3, 1, 16, 16, 16)
    """
    rng = np.random.default_rng(seed)
    start = (SIZE - _INSIDE) / 2 + _INSIDE * rng.random((num, 2))
    angle, speed = 2 * np.pi * rng.random(num), FASTEST * rng.random(num)
    return film(paths(start, speed[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=-1)))
