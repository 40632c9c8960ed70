"""The noise that suits data by their spread: from what leaves them as they are to what drowns them."""

from __future__ import annotations

import math

import numpy as np

from ..border import checked
from ..sdes import VE
from .moments import Moments

_CLEAN = 25  # σ_min lies this far below the spread of a number: 28 dB
_FAR = 2.5  # the largest distance between two samples, beside the usual one


@checked
def ve_for(moments: Moments) -> VE:
    """The `VE` whose range of σ follows from the data's spread, for data that are no pixels in [0, 1].

    With the mean μ, the total variance V = E‖x − μ‖² and the d numbers of a sample

        σ_min = √(V/d) / 25,    σ_max² = 2.5² · 2V + ‖μ‖²

    √(2V) is the usual distance between two samples, of which σ_max should reach the largest (Song and Ermon 2020), and
    that a start knows nothing of the mean should go unnoticed too. For CIFAR-10 this gives about VE(0.010, 56), where
    VE(0.01, 50) is the custom. With it, data times any number have the same times of the same divergences. Where ‖μ‖²
    is far above V, subtract the mean from the data first: it costs steps, and says nothing.

    Parameters
    ----------
    moments: a `Covariance` or a `PowerSpectrum` of the data.

    Raises ValueError for data that do not vary, and for other moments, of which V cannot be told.

    >>> from subspace_sde.statistics import PowerSpectrum
    >>> ve_for(PowerSpectrum((1,)).update(np.asarray([[-0.25], [0.25]])))
    VE(t_min=0, T=1, sigma_min=0.01, sigma_max=0.883883)
    """
    d, variances = math.prod(moments.shape), np.asarray(moments.result())
    if variances.shape == (d, d):
        variances = np.diagonal(variances)
    if variances.size != d or moments.mean.size != d:
        raise ValueError(f"the spread of data follows from a Covariance or a PowerSpectrum, not from {moments!r}")
    total = float(np.sum(variances))
    if not total > 0:
        raise ValueError(f"the {moments.samples} samples are all alike: without a spread there is no range of noise")
    return VE(math.sqrt(total / d) / _CLEAN, math.sqrt(2 * _FAR**2 * total + float(np.sum(moments.mean**2))))
