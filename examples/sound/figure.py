"""The picture of sounds: spectrograms and waveforms side by side, D_F, the plan, and the power of each octave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure, SubFigure

from examples.staged.comparison import FULL, GAUSSIAN, STAGED, Comparison
from examples.staged.figure import STYLE, chosen, divergence
from subspace_sde.plotting import save

from .quality import OCTAVES, octaves
from .sounds import RATE

WAYS = {"held out": "sounds held out", FULL: "full model", STAGED: "plan", GAUSSIAN: "Gaussian of their spectrum"}
SHOWN, WINDOW, HIGHEST = 4, 512, 4000  # Hz


def draw(found: Comparison, path: Path) -> None:
    """Write the picture as a PNG."""
    with rc_context(STYLE):
        figure = Figure(figsize=(14.4, 8.6), layout="constrained")
        halves: Any = figure.subfigures(1, 2, width_ratios=(1.35, 1), wspace=0.02)
        _sounds(halves[0], found)
        top, middle, bottom = halves[1].subplots(3, 1, height_ratios=(1.2, 0.8, 1))
        divergence(found, top, -1, "numbers")
        chosen(found, middle)
        _octaves(bottom, found)
        save(figure, path, dpi=80)


def _sounds(figure: SubFigure, found: Comparison) -> None:
    """A waveform over its spectrogram, for some sounds of each way."""
    axes = figure.subplots(2 * SHOWN, len(WAYS), sharex=True, height_ratios=(0.4, 1) * SHOWN)
    for column, (way, title) in zip(axes.T, WAYS.items()):
        column[0].set_title(title)
        for i in range(min(SHOWN, len(found.samples[way]))):
            x, (wave, spectrogram) = found.samples[way][i, 0], column[2 * i : 2 * i + 2]
            wave.plot(np.arange(len(x)) / RATE, x, color="0.2", lw=0.2)
            wave.set(ylim=(-0.5, 0.5), xlim=(0, 1))
            with np.errstate(divide="ignore"):
                spectrogram.specgram(x, NFFT=WINDOW, Fs=RATE, noverlap=WINDOW - 64, vmin=-90, vmax=-35, cmap="magma")
            spectrogram.set(ylim=(0, HIGHEST), xlim=(0, 1))
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    figure.supxlabel("one second; spectrograms from 0 to 4 kHz", fontsize=10)


def _octaves(ax: Any, found: Comparison) -> None:
    middles = np.sqrt(OCTAVES[1:] * OCTAVES[:-1])
    for way, style in zip(WAYS, ("k--", "-", "-", ":")):
        ax.semilogx(middles, octaves(found.samples[way]), style, lw=1.8, label=way)
    ax.set_xticks(OCTAVES, [f"{f:g}" for f in OCTAVES], minor=False)
    ax.set_xticks([], minor=True)
    ax.set(xlabel="Hz")
    ax.set_title("power by octave, dB", loc="left")
    ax.legend(loc="lower left")
