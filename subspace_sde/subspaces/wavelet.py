"""The approximation band of an orthogonal wavelet, periodised: smaller images, by smooth overlapping filters."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from ..arrays import numpy_namespace, sizes
from ..border import checked
from ..specification import register
from .axis_maps import SHORT, AxisMap, Dense, Matrix, moved
from .base import Identity, Subspace, per_axis
from .basis import polished
from .cosines import CosineBasis
from .separable import AxisByAxis


@checked
@register
class Wavelet(AxisByAxis):
    """The periodised approximation band of an orthogonal discrete wavelet, as in PyWavelets (extra ``wavelets``).

    One level takes an axis x of length n to ``z_k = Σ_j h_j x_{2k + L/2 - j mod n}``, with h the L coefficients of the
    scaling filter; the next takes z. ``haar`` is the mean of blocks; longer filters follow smooth data more closely.

    Parameters
    ----------
    shape: trailing shape of the arrays.
    wavelet: ``"haar"``, ``"db1"`` to ``"db38"``, ``"sym2"`` to ``"sym20"`` or ``"coif1"`` to ``"coif17"``.
    levels: how often an axis is halved, one number or one for each of `axes`.
    axes: the axes to shorten; 2^levels must divide their lengths.

    Raises
    ------
    ValueError: an unknown or not orthonormal wavelet; axes that 2^levels does not divide, or that become shorter than
        the filter.
    ImportError: PyWavelets is not installed.

    >>> Wavelet((3, 32, 32), "db2", levels=2).restrict(np.zeros((8, 3, 32, 32))).shape
    (8, 3, 8, 8)
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        wavelet: str,
        levels: int | Sequence[int] = 1,
        axes: int | Sequence[int] = (-2, -1),
    ) -> None:
        ambient = sizes("shape", shape)
        self.levels, self.axes = per_axis("levels", levels, axes, len(ambient))
        self.wavelet, h = wavelet, _scaling_filter(wavelet)
        for a, halvings in zip(self.axes, self.levels):
            n, last = ambient[a], ambient[a] >> (halvings - 1)
            if halvings >= n.bit_length() or n % 2**halvings:
                raise ValueError(
                    f"2^{halvings}, or 2^levels, does not divide axis {a} of length {n}: "
                    "LowPass takes any size, or crop the arrays"
                )
            if len(h) > last:
                # it would still be orthonormal, but wrapped around onto itself: another filter, in the end haar's
                raise ValueError(
                    f"the filter of {wavelet} has {len(h)} coefficients, but axis {a} of length {n} has no more "
                    f"than {last} numbers left at level {halvings}: take fewer levels or a shorter wavelet"
                )
        super().__init__(ambient, {a: _along_axis(ambient[a], l, h) for a, l in zip(self.axes, self.levels)})

    @property
    def coordinate_scale(self) -> float:
        return float((self.ambient_dim / self.dim) ** 0.5)

    def arguments(self) -> dict[str, Any]:
        levels, axes = list(self.levels), list(self.axes)
        return {"shape": list(self.ambient_shape), "wavelet": self.wavelet, "levels": levels, "axes": axes}

    def _within(self, outer: Subspace) -> Subspace:
        if isinstance(outer, Wavelet) and outer.wavelet == self.wavelet:
            theirs = dict(zip(outer.axes, outer.levels))
            left = {a: l - theirs.get(a, 0) for a, l in zip(self.axes, self.levels) if l > theirs.get(a, 0)}
            return (
                Wavelet(outer.shape, self.wavelet, tuple(left.values()), tuple(left)) if left else Identity(self.shape)
            )
        return super()._within(outer)


def _scaling_filter(name: str) -> Matrix:
    """The coefficients h of the scaling filter, whose even shifts are orthonormal."""
    try:
        import pywt
    except ImportError as error:
        raise ImportError('a Wavelet needs PyWavelets: pip install "subspace-sde[wavelets]"') from error
    if name not in pywt.wavelist(kind="discrete"):
        raise ValueError(
            f"PyWavelets knows no discrete wavelet {name!r}: the orthogonal ones are haar, "
            "db1 to db38, sym2 to sym20 and coif1 to coif17"
        )
    wavelet = pywt.Wavelet(name)
    if not wavelet.orthogonal:
        raise ValueError(f"{name} is biorthogonal, so its band is no isometry: take an orthogonal one, db4 or sym4 say")
    h = np.asarray(wavelet.dec_lo)
    gram = np.correlate(h, h, mode="full")[len(h) - 1 :: 2]  # of h with its own even shifts: 1, 0, 0, ...
    off = float(np.max(np.abs(gram - np.eye(1, len(gram))[0])))
    if off > 1e-6:
        # the tables are rounded: 1e-11 at worst, but for dmey, whose filter is cut off
        raise ValueError(
            f"the filter of {name} is not orthonormal: it is off by {off:.1e}; take db, sym or coif, db4 or sym4 say"
        )
    for _ in range(3):
        h = h - _towards_orthonormal(h)
    return h


def _towards_orthonormal(h: Matrix) -> Matrix:
    """A Newton step, the smallest, by which the products of h with its even shifts become 1, 0, 0, ..."""
    length = len(h)
    shifts = np.stack([np.pad(h, (2 * k, length))[: 2 * length] for k in range(length // 2)])
    products = shifts[:, :length] @ h
    slopes = shifts[:, :length] + np.stack([np.pad(h, (0, length))[2 * k : 2 * k + length] for k in range(length // 2)])
    step: Matrix = np.linalg.lstsq(slopes, products - np.eye(1, length // 2)[0], rcond=None)[0]
    return step


def _along_axis(n: int, levels: int, h: Matrix) -> AxisMap:
    """The band of an axis of length n: as a matrix where it is short."""
    band = _Band(n, levels, h)
    return Dense(polished(band.matrix())) if n <= SHORT else band


class _Band(AxisMap):
    """The approximation band of an axis of length n, halved `levels` times."""

    def __init__(self, n: int, levels: int, h: Matrix) -> None:
        super().__init__(n, n >> levels)
        self._halvings = [_Halving(n >> level, h) for level in range(levels)]
        # column k of U has its numbers between the entries 2^levels k + first and 2^levels k + last, ends included
        self._stride, half = 2**levels, len(h) // 2
        self._first, self._last = -(self._stride - 1) * (half - 1), (self._stride - 1) * half

    def restrict(self, x: Any, axis: int, xp: Any) -> Any:
        for each in self._halvings:
            x = each.restrict(x, axis, xp)
        return x

    def embed(self, z: Any, axis: int, xp: Any) -> Any:
        for each in reversed(self._halvings):
            z = each.embed(z, axis, xp)
        return z

    def captured(self, basis: AxisMap) -> Matrix:
        """Of cosines from the filter's own spectrum, but for the few columns that go over the end of the axis.

        With w the first column that does not, Z_f = Σ_i w_i e^{iπf(2i+1)/2n}, and q = 0 … Q − 1 for it and those behind
        it, each a stride s further, the f-th cosine gives Re[e^{iπfsq/n} Z_f], and the sum of their squares is

            ½ Q |Z_f|² + ½ Re[Z_f² Σ_q e^{2iθq}],
            Σ_q e^{2iθq} = e^{iθ(Q−1)} sin(Qθ)/sin θ,   θ = π f s/n
        """
        n, s, xp = self.n, self._stride, numpy_namespace()
        low, high = -(self._first // s), (n - 1 - self._last) // s
        if not isinstance(basis, CosineBasis) or low > high:
            return super().captured(basis)
        count, frequency = high - low + 1, np.arange(n)
        w = self.embed(np.eye(1, self.m, low), -1, xp)[0]
        z = np.conj(np.fft.rfft(w, 2 * n)[:n]) * np.exp(0.5j * np.pi / n * frequency)
        rest = frequency * s % n  # of θ, in units of π/n; multiples are taken away while they are whole numbers
        sine = np.sin(np.pi / n * np.minimum(rest, n - rest))
        ratio = np.where(rest > 0, _sine(count * rest, n) / np.where(rest > 0, sine, 1.0), count)
        energy = (
            count * np.abs(z) ** 2 + np.real(z**2 * np.exp(1j * np.pi / n * ((count - 1) * rest % (2 * n)))) * ratio
        )
        energy[0] /= 2  # the constant is a cosine of half the power
        ends = np.concatenate([np.arange(low), np.arange(high + 1, self.m)])
        unit = np.equal.outer(ends, np.arange(self.m)).astype(np.float64)
        found: Matrix = energy / n + np.sum(basis.restrict(self.embed(unit, -1, xp), -1, xp) ** 2, axis=0)
        return found


class _Halving(AxisMap):
    """One level on an axis of even length n: column k of U is the filter, reversed, about the entry 2k.

    Even and odd entries lie apart, each continued beyond both ends; every coefficient is one slice of them.
    """

    def __init__(self, n: int, h: Matrix) -> None:
        super().__init__(n, n // 2)
        # coefficient j multiplies the entry 2k + L/2 - j, which is number k + q of the even or of the odd ones
        places = [(each, divmod(len(h) // 2 - j, 2)) for j, each in enumerate(h.tolist())]
        self._taps = [[(each, q) for each, (q, odd) in places if odd == phase] for phase in (0, 1)]
        self._reach = len(h) // 4 + 1

    def restrict(self, x: Any, axis: int, xp: Any) -> Any:
        x, reach, m = moved(x, axis, -1, xp), self._reach, self.m
        parts = (  # one at a time: they are large
            h * entries[..., reach + q : reach + q + m]
            for phase, taps in enumerate(self._taps)
            for entries in [_continued(x[..., phase::2], reach, xp)]
            for h, q in taps
        )
        return moved(reduce(add, parts), -1, axis, xp)

    def embed(self, z: Any, axis: int, xp: Any) -> Any:
        reach, m = self._reach, self.m
        z = _continued(moved(z, axis, -1, xp), reach, xp)
        phases = [reduce(add, (h * z[..., reach - q : reach - q + m] for h, q in taps)) for taps in self._taps]
        x = xp.stack(phases, axis=-1)
        return moved(xp.reshape(x, (*x.shape[:-2], self.n)), -1, axis, xp)


def _sine(turns: Matrix, n: int) -> Matrix:
    """sin(π turns/n) of whole numbers, however large."""
    found: Matrix = np.sin(np.pi / n * (turns % (2 * n)))
    return found


def _continued(x: Any, reach: int, xp: Any) -> Any:
    """The last axis, periodic, with `reach` entries more at each end."""
    return xp.concat([x[..., -reach:], x, x[..., :reach]], axis=-1)
