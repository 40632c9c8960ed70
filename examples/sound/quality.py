"""How far sounds are from others: the power of each octave, and how much of it is in the strongest tones."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from .sounds import RATE

Matrix: TypeAlias = np.ndarray[Any, Any]

OCTAVES = RATE / 2 / 2.0 ** np.arange(7, -1, -1)  # from 62.5 Hz to 8 kHz
FRAME, STRONGEST = 1000, 12


def octaves(x: Matrix) -> Matrix:
    """The mean power of sounds (N, 1, 16000) in each octave, in dB of the power of white noise of variance 1; (7,)."""
    power = np.mean(np.abs(np.fft.rfft(x[:, 0].astype(np.float64))) ** 2, axis=0) / x.shape[-1]
    places = np.searchsorted(np.fft.rfftfreq(x.shape[-1], 1 / RATE), OCTAVES)
    decibels: Matrix = 10 * np.log10([power[a:b].mean() for a, b in zip(places, places[1:])])
    return decibels


def peaks(x: Matrix) -> float:
    """The share of the power of a 16th of a second that lies in the 12 strongest of its 501 frequencies: the mean."""
    frames = x[:, 0].reshape(len(x), -1, FRAME) * np.hanning(FRAME)
    power = np.sort(np.abs(np.fft.rfft(frames)) ** 2)
    return float(np.mean(power[..., -STRONGEST:].sum(axis=-1) / power.sum(axis=-1)))


def judge(x: Matrix, reference: Matrix) -> dict[str, float]:
    """Root mean square over the octaves of the difference in dB, and the difference of the `peaks`."""
    gaps = octaves(x) - octaves(reference)
    return {"octaves, dB": float(np.sqrt(np.mean(gaps**2))), "peaks": peaks(reference) - peaks(x)}
