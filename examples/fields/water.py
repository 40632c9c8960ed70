"""Waves in a ring-shaped channel with a ridge on its bottom: the viscous shallow-water equations.

With the height η of the surface over its level at rest, the depth h = 1 − b + η over the bottom b and the velocity u,
in units in which gravity, the depth at rest and the channel's length are 1,

    η_t + (hu)_x = 0,        u_t + (u²/2 + η)_x = ν (h u_x)_x / h

Volume ∫η is conserved, and d/dt ½∫(hu² + η²) = −ν∫h u_x². Differences in space are central of order 4, hence
antisymmetric, so that both laws hold exactly before the steps in time (Runge-Kutta of order 4) are taken.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np
from tqdm import tqdm

Matrix: TypeAlias = np.ndarray[Any, Any]

CELLS, VISCOSITY = 128, 2e-3
_TOGETHER = 256  # fields that fit in a cache


def places(cells: int = CELLS) -> Matrix:
    """The middles of the cells, (cells,)."""
    return (np.arange(cells) + 0.5) / cells


def bottom(x: Matrix) -> Matrix:
    """The ridge: b(x)."""
    ridge: Matrix = 0.6 * np.exp(-(((x - 0.5) / 0.1) ** 2))
    return ridge


def _slope(f: Matrix) -> Matrix:
    """f_x of order 4; (cells, n)."""
    near, far = np.roll(f, -1, 0) - np.roll(f, 1, 0), np.roll(f, -2, 0) - np.roll(f, 2, 0)
    slope: Matrix = (8 * near - far) * (len(f) / 12)
    return slope


def _rates(surface: Matrix, velocity: Matrix, rest: Matrix, viscosity: float) -> tuple[Matrix, Matrix]:
    """η_t and u_t; (cells, n)."""
    depth = rest + surface
    between = (depth + np.roll(depth, -1, 0)) / 2  # at the cells' right edges
    stress = between * (np.roll(velocity, -1, 0) - velocity) * (viscosity * len(depth) ** 2)
    friction = (stress - np.roll(stress, 1, 0)) / depth
    return -_slope(depth * velocity), friction - _slope(velocity * velocity / 2 + surface)


def evolve(
    surface: Matrix, velocity: Matrix, time: Any, steps: int, floor: Matrix, viscosity: float = VISCOSITY
) -> tuple[Matrix, Matrix]:
    """η and u after `time`, a number or one for each of the n fields; all (cells, n), the bottom `floor` (cells,)."""
    rest, dt = (1 - floor)[:, None], np.asarray(time) / steps
    for _ in range(steps):
        a = _rates(surface, velocity, rest, viscosity)
        b = _rates(surface + dt / 2 * a[0], velocity + dt / 2 * a[1], rest, viscosity)
        c = _rates(surface + dt / 2 * b[0], velocity + dt / 2 * b[1], rest, viscosity)
        d = _rates(surface + dt * c[0], velocity + dt * c[1], rest, viscosity)
        surface = surface + dt / 6 * (a[0] + 2 * (b[0] + c[0]) + d[0])
        velocity = velocity + dt / 6 * (a[1] + 2 * (b[1] + c[1]) + d[1])
    return surface, velocity


def simulate(num: int, seed: int, cells: int = CELLS, progress: bool = False) -> Matrix:
    """Independent fields (num, 2 · cells), η and then u: a hump of water, let go from rest for a random time.

    It has a random place, width and height; the volume of water is the same for all. The i-th field depends on
    `seed` and i alone.

    >>> simulate(3, seed=0).shape
    (3, 256)
    """
    x = places(cells)[:, None]
    steps = math.ceil(1.5 / min(1 / cells, 0.4 / (VISCOSITY * cells**2)))  # of waves, and of friction: stable
    fields = []
    for start in tqdm(range(0, num, _TOGETHER), "simulate", unit="batch", disable=not progress):
        rng, n = np.random.default_rng((seed, start)), min(_TOGETHER, num - start)
        place, width, height = rng.random((3, _TOGETHER))[:, :n]
        time = rng.uniform(0.3, 1.5, _TOGETHER)[:n]
        away = (x - place + 0.5) % 1 - 0.5
        surface = (0.12 + 0.2 * height) * np.exp(-((away / (0.03 + 0.05 * width)) ** 2))
        surface = surface - surface.mean(axis=0)
        found = evolve(surface, np.zeros_like(surface), time, steps, bottom(x[:, 0]))
        fields.append(np.concatenate(found).T)
    return np.concatenate(fields)
