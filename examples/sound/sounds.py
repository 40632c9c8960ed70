"""Sounds whose law is known: chords that die away, and sweeps. One second at 16 kHz, with a root mean square of 0.1.

A tone of phase φ(t), whose pitch is φ'/2π, has all the overtones below half the rate, as a bowed string has:

    x(t) = Σ_k cos(k φ(t) + θ_k)/k

A chord is three of them, root, third (minor or major) and fifth; a sweep is one, whose pitch moves evenly in octaves.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Matrix: TypeAlias = np.ndarray[Any, Any]

RATE, LOUDNESS = 16_000, 0.1
TIME = np.arange(RATE) / RATE


def tone(phase: Matrix, highest: float, rng: np.random.Generator) -> Matrix:
    """The tone of φ(t), (16000,), which never passes the pitch `highest` in Hz; the θ_k are drawn."""
    orders = np.arange(1, int(RATE / 2 / highest) + 1)
    overtones = np.exp(2j * np.pi * rng.random(len(orders))) / orders
    wave: Matrix = np.polynomial.polynomial.polyval(np.exp(1j * phase), [0, *overtones]).real
    return wave


def chord(root: float, third: float, decay: float, rng: np.random.Generator) -> Matrix:
    """Tones at `root` (in Hz), `third` and 3/2 times it, falling by e^(−decay) in the second."""
    pitches = root * np.asarray([1.0, third, 1.5])
    return _loud(sum(tone(2 * np.pi * f * TIME, f, rng) for f in pitches) * np.exp(-decay * TIME))


def sweep(start: float, octaves: float, rng: np.random.Generator) -> Matrix:
    """A tone of the pitch start · 2^(octaves t) in Hz; `octaves` is not 0."""
    rate = octaves * np.log(2)
    return _loud(tone(2 * np.pi * start * np.expm1(rate * TIME) / rate, start * 2 ** max(octaves, 0), rng))


def _loud(x: Matrix) -> Matrix:
    """Struck and damped in 10 ms, at the one loudness of all."""
    x = x * np.clip(np.minimum(TIME, 1 - TIME) / 0.01, 0, 1)
    loud: Matrix = LOUDNESS * x / np.sqrt(np.mean(x**2))
    return loud


def sounds(num: int, seed: int) -> Matrix:
    """(num, 1, 16000), chords and sweeps in turn; the i-th depends on `seed` and i alone.

    >>> sounds(2, seed=0).shape
    (2, 1, 16000)
    """
    made = []
    for i in range(num):
        rng = np.random.default_rng((seed, i))
        if i % 2:
            made.append(sweep(110 * 2 ** rng.uniform(0, 3), rng.choice([-1, 1]) * rng.uniform(0.5, 1.5), rng))
        else:
            made.append(chord(110 * 2 ** rng.uniform(0, 1), rng.choice([6 / 5, 5 / 4]), rng.uniform(0, 4), rng))
    return np.stack(made)[:, None].astype(np.float32)
