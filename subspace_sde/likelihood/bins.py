"""Images of whole numbers under a density of real ones: uniform dequantisation, for bits per dimension."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import array_api_compat

from ..arrays import at_least_single, positive_integer
from ..backend import Noise
from ..border import checked
from ..shown import Shown


@checked
class Bins(Shown):
    """Images of whole numbers 0 … count − 1, stored as `low` … `high`: what bits per dimension are quoted for.

    Noise u, uniform in [0, 1), fills the bins: number j becomes low + width (j + u), width = (high − low)/count, and

        log P(image) >= E_u log p(low + width (j + u)) + d log(width)

    Parameters
    ----------
    count: 256 for bytes.
    low, high: what 0 and count − 1 are stored as: (0, 1) for pixels/255, (−1, 1) for 2 · pixels/255 − 1.
    repeats: draws of u, averaged, each with probes of its own; a standard error needs two.

    >>> Bins(low=-1.0, high=1.0).width
    0.0078125
    """

    def __init__(self, count: int = 256, low: float = 0.0, high: float = 1.0, repeats: int = 1) -> None:
        self.count, self.repeats = positive_integer("count", count), positive_integer("repeats", repeats, 10**6)
        if count < 2:
            raise ValueError(f"images need at least two bins, got {count}")
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"the data range goes from low to a larger high, got {low} and {high}")
        self.low, self.high = float(low), float(high)

    @property
    def width(self) -> float:
        """Of a bin, in the data's units."""
        return (self.high - self.low) / self.count

    def dequantised(self, x: Any, noise: Noise) -> Iterator[Any]:
        """`repeats` draws of x, (size, *shape), with its bins filled, in float32 or wider, as `noise` has it.

        Raises ValueError as `numbers` does.
        """
        whole = self.numbers(x)
        xp = array_api_compat.array_namespace(whole)
        for _ in range(self.repeats):
            wide = 4 * noise.normal(tuple(whole.shape[1:]))
            # the fractional part of a normal number is uniform to 2 exp(−2π² · 4²), far below any rounding
            yield self.low + self.width * (whole + (wide - xp.floor(wide)))

    def numbers(self, x: Any) -> Any:
        """The whole numbers that x stands for, in float32 or wider.

        Raises ValueError for values outside the range, or between the stored numbers.
        """
        xp, dtype = array_api_compat.array_namespace(x), x.dtype
        rounding, x = 16 * self.count * float(xp.finfo(dtype).eps), at_least_single(x)
        exact = (x - self.low) * ((self.count - 1) / (self.high - self.low))
        whole = xp.round(exact)
        if math.prod(x.shape):
            least, most, off = float(xp.min(x)), float(xp.max(x)), float(xp.max(xp.abs(exact - whole)))
            slack = 0.25 * (self.high - self.low) / (self.count - 1)
            if least < self.low - slack or most > self.high + slack:
                raise ValueError(
                    f"x has values from {least:g} to {most:g}, outside the declared data range "
                    f"[{self.low:g}, {self.high:g}]: give the range that x is stored in, as Bins(low=..., high=...)"
                )
            if rounding > 0.25:
                raise ValueError(f"{dtype} cannot tell {self.count} numbers apart: give x in a wider one")
            if off > max(1e-3, rounding):
                raise ValueError(
                    f"x lies up to {off:.2g} of a step between the {self.count} numbers from {self.low:g} to "
                    f"{self.high:g}: give the count and the range it was stored with, or leave out bins if x is "
                    "continuous"
                )
        return whole
