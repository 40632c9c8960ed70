"""Linear measurements y = A x + noise: what was seen of an array, and the kinds of it that occur most.

A measurement is A and Aᵀ on any leading axes, never a matrix unless it was given as one. One of your own is a subclass
with two methods; `check_measurement` puts it to the laws that it must obey.
"""

from .base import LinearMeasurement
from .blur import Blur
from .check import check_measurement
from .dense import Dense
from .masks import FourierMask, Mask
from .mixing import Mixing
from .pooling import Pooling

__all__ = [
    "Blur",
    "Dense",
    "FourierMask",
    "LinearMeasurement",
    "Mask",
    "Mixing",
    "Pooling",
    "check_measurement",
]
