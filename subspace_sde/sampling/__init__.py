"""Algorithm 1: its times, its start, and the law of what it returns."""

from ..sdes import OwnSpacing, Rho, Spacing, UniformLogSNR, UniformTime
from .algorithm_1 import Samples, Step, sample
from .exact_law import law_of_samples
from .grids import AlongTimes, grid, stage_times
from .solver_law import sampled_law
from .start import Start

__all__ = [
    "AlongTimes",
    "OwnSpacing",
    "Rho",
    "Samples",
    "Spacing",
    "Start",
    "Step",
    "UniformLogSNR",
    "UniformTime",
    "grid",
    "law_of_samples",
    "sample",
    "sampled_law",
    "stage_times",
]
