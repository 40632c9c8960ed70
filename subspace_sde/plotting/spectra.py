"""How the power of data is spread over frequencies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import namespace
from ..backend import backend_of
from ..border import checked
from .figures import axes_of, check_any, finish, legend, styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@checked
def power_spectrum(power: Mapping[str, Any], ax: Axes | None = None) -> Figure:
    """Power against radial frequency, both logarithmic.

    The coefficient with frequencies f_a, 0 ≤ f_a < n_a along axes of length n_a, has the radial frequency
    r = √(mean over the axes of (f_a/n_a)²), which is near 1 where every axis has its highest. The line has the mean
    power of the coefficients in each of the bins b/B ≤ r < (b + 1)/B, with B the length of the longest axis, against
    their mean r. The zero frequency is left out, and so are empty bins.

    Parameters
    ----------
    power: a name and an array of DCT-II powers, of shape (n,), (h, w), or (c, h, w), (c, d, h, w), …, whose channels
        are averaged.
    ax: the axes to draw on.

    Raises
    ------
    ValueError: another shape, nothing but zeros, a negative power or one that is not finite.

    >>> figure = power_spectrum({"1/(1 + f)²": 1.0 / np.arange(1, 9) ** 2})
    >>> figure.axes[0].lines[0].get_xdata()[:3]
    array([0.125, 0.25 , 0.375])
    """
    check_any("power", power, "array")
    lines = {name: _radial(name, p) for name, p in power.items()}
    figure, ax = axes_of(ax, (6.6, 3.6))
    for style, (name, (r, mean)) in zip(styles(len(lines)), lines.items()):
        ax.plot(r, mean, **style, label=name)
    ax.set(xscale="log", yscale="log")
    finish(ax, "radial frequency (1: the highest on every axis)", "mean power")
    legend(ax)
    return figure


def _radial(name: str, powers: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The mean r and the mean power of every bin that is not empty."""
    namespace(powers)
    power = backend_of(powers).to_numpy(powers).astype(np.float64)
    if power.ndim == 0 or power.size == 0 or max(power.shape[1 if power.ndim > 2 else 0 :]) < 2:
        raise ValueError(
            f"powers have shape (n,), (h, w) or (c, h, w), …, with more than one frequency; {name} has {power.shape}"
        )
    if not (np.all(np.isfinite(power)) and np.all(power >= 0) and np.any(power.reshape(-1)[1:] > 0)):
        raise ValueError(f"powers are finite, not negative and not all 0, but those of {name} are not so")
    if power.ndim > 2:
        power = power.mean(axis=0)
    squares = np.meshgrid(*((np.arange(n) / n) ** 2 for n in power.shape), indexing="ij")
    r = np.sqrt(np.mean(squares, axis=0)).reshape(-1)[1:]
    bins = np.floor(r * max(power.shape) + 1e-9).astype(int)  # f/n·n may round to just below f
    count = np.bincount(bins)
    sums = (np.bincount(bins, weights)[count > 0] for weights in (r, power.reshape(-1)[1:]))
    mean_r, mean = (total / count[count > 0] for total in sums)
    return mean_r, mean
