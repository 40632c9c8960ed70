"""Streaming statistics: one pass over data that do not fit in memory, merged over chunks, devices and processes.

Each accumulator keeps a count, a mean and a sum of squares Σ q(x − mean), q quadratic. Two of them merge exactly (Chan,
Golub and LeVeque 1979): S = S₁ + S₂ + n₁n₂/(n₁ + n₂) q(mean₂ − mean₁). Nothing is ever squared about the origin and
every sum is taken in float64, so that neither float32 data, nor many samples, nor a large mean loses digits.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from itertools import chain
from operator import add
from typing import Any, Self, TypeVar

import array_api_compat
import numpy as np

from ..arrays import batches, device, is_floating, namespace, numpy_namespace, part, sizes
from ..backend import backend_of, check_concrete, host, library, on_host
from ..border import checked
from ..oracles import DCTGaussian, Gaussian, dct_basis
from ..subspaces.patches import Tiling
from .processes import check_alike, total

_ROWS = 4096  # samples squared at a time: sums of float32 products are no longer than that
_CACHED = 1024  # of them, centred at a time: a matrix product is at its fastest then, and memory used again


class Moments(ABC):
    """What the accumulators share: `update`, `merge`, `reduce` and `result`.

    A subclass says what is squared: `_features` of each sample, linear in it, and `_squares`, the sum of q over them.

    Attributes
    ----------
    shape: the trailing shape of the data.
    samples: how many were taken in.
    count: how many features of them; one a sample, except for patches.
    """

    def __init__(self, shape: Sequence[int], feature_shape: Sequence[int] | None = None) -> None:
        self.shape = sizes("shape", shape)
        self.samples = self.count = 0
        self._mean = np.zeros(self.shape if feature_shape is None else tuple(feature_shape))
        self._scatter: Any = 0.0  # Σ q(x − mean), float64 on the host

    def _features(self, x: Any, xp: Any) -> Any:
        """(n, *shape) to the n features whose squares are summed."""
        return x

    @abstractmethod
    def _squares(self, y: Any, xp: Any) -> Any:
        """Σ q(y) over the first axis of y, in float64 where the device knows it."""

    def update(self, batch: Any) -> Self:
        """Take in a batch of shape (*batch, *shape), of numpy, torch or Dask; returns itself.

        Raises ValueError for NaN or infinity, integers, or another trailing shape; nothing is taken in then, but of a
        Dask array the chunks before.
        """
        if array_api_compat.is_dask_array(batch):
            for chunk in batches(batch):
                self.update(chunk)
            return self
        xp, backend = namespace(batch), backend_of(batch)
        self._check_batch(batch)
        check_concrete("batch", batch, "take in batches outside of it")
        with backend.no_grad():
            x = xp.reshape(batch, (-1, *self.shape))
            blocks = [self._features(part(x, start, _ROWS), xp) for start in range(0, int(x.shape[0]), _ROWS)]
            means = [_mean(y, xp) for y in blocks]
            if not all(np.all(np.isfinite(mean)) for mean in means):
                last = self.samples + int(x.shape[0]) - 1
                raise ValueError(f"the data hold NaN or infinity, among the samples {self.samples} to {last}")
            for y, mean in zip(blocks, means):
                about, n, size = backend.from_numpy(mean, y), int(y.shape[0]), _CACHED if on_host(y) else _ROWS
                self._meet(n, mean)
                self._add((part(y, start, size) - about for start in range(0, n, size)), xp)
                rounded = mean - host(about)  # by the precision of y; what it adds to every sample is taken back
                if rounded.any():
                    self._add([rounded[None]], numpy_namespace(), -n)
            self.samples += int(x.shape[0])
        return self

    def _meet(self, n: int, mean: np.ndarray[Any, Any]) -> None:
        """Count n features of that mean: the squares between the two means, and the mean of all."""
        if self.count:
            shift = mean - self._mean
            self._add([shift[None]], numpy_namespace(), self.count * n / (self.count + n))
            mean = self._mean + shift * (n / (self.count + n))
        self._mean, self.count = mean, self.count + n

    def _add(self, parts: Iterable[Any], xp: Any, weight: float = 1.0) -> None:
        """Add weight · Σ q(y) to the sum of squares, y in parts."""
        self._scatter = self._scatter + weight * host(reduce(add, (self._squares(y, xp) for y in parts)))

    @checked
    def merge(self, other: Self) -> Self:
        """Take in what `other` has taken in, as if it had been one pass; returns itself, and `other` stays as it was.

        Raises TypeError for another kind of statistics, ValueError for those of other arrays.
        """
        if type(other) is not type(self):
            raise TypeError(f"{type(self).__name__} merges its own kind, got {type(other).__name__}")
        if self._about() != other._about():
            raise ValueError("statistics of other shapes, patches or subspaces cannot be merged")
        if other.count:
            self._meet(other.count, other._mean)
            self._scatter = self._scatter + other._scatter
            self.samples += other.samples
        return self

    def reduce(self, group: Any = None) -> Self:
        """Merge the statistics of all processes of a `torch.distributed` group, on each of them; returns itself.

        Each process then holds those of all: reducing again would count everything anew. One without data of its own
        reduces an empty accumulator, ``Covariance(shape)`` say.

        Raises ValueError, on every process, where they hold different statistics; a subspace of your own is told from
        others by its repr.
        """
        check_alike(f"{type(self).__name__} of {self._about()!r}", group)
        count, samples = (int(n) for n in total([self.count, self.samples], group))
        if count:
            mean = (total(self.count * self._mean, group) / count).reshape(self._mean.shape)
            self._scatter = total(
                self._scatter + self.count * self._squares((self._mean - mean)[None], numpy_namespace()), group
            )
            self.count, self.samples, self._mean = count, samples, mean
        return self

    def result(self, center: bool = True) -> Any:
        """The mean of q, about the mean of the data or, with ``center=False``, about the origin; numpy float64."""
        self._check()
        found: np.ndarray[Any, Any] = self._scatter / self.count
        return found if center else found + self._squares(self._mean[None], numpy_namespace())

    @property
    def mean(self) -> np.ndarray[Any, Any]:
        """The mean of what is squared."""
        self._check()
        return self._mean.copy()

    def _about(self) -> Any:
        return self.shape

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shape}) of {self.samples} samples"

    def _check_batch(self, batch: Any) -> None:
        found = tuple(batch.shape)[max(0, batch.ndim - len(self.shape)) :]
        if found != self.shape:
            raise ValueError(
                f"this accumulator takes trailing shape {self.shape}, got {found}: "
                "crop or scale all samples to one shape"
            )
        if not is_floating(batch):
            raise ValueError(
                f"statistics take floating-point numbers, got {batch.dtype}: convert first, pixels to [0, 1] say"
            )

    def _check(self) -> None:
        if not self.count:
            raise ValueError("no data: nothing was taken in")

    def _check_varying(self, center: bool) -> None:
        self._check()
        if center and self.count < 2:
            raise ValueError(f"{self.count} sample shows no covariance about its mean: give two at least")


_M = TypeVar("_M", bound=Moments)


@checked
def accumulate(make: Callable[[tuple[int, ...]], _M], data: Any) -> _M:
    """The statistics of `data`: an array (N, *shape) of numpy, torch or Dask, or any iterable of batches, read once.

    Parameters
    ----------
    make: gives an empty accumulator for data of a shape: `Covariance`, ``lambda shape: PatchCovariance(shape, 4)``, …

    >>> accumulate(Covariance, np.asarray([[1.0, 0.0], [3.0, 0.0]])).result().tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    stream = iter(batches(data))
    first = next(stream, None)
    if first is None:
        raise ValueError("no data: nothing was taken in")
    namespace(first)
    moments = make(tuple(first.shape[1:]))
    if not isinstance(moments, Moments):
        raise TypeError(f"`make` gives an accumulator like Covariance(shape), got {type(moments).__name__}")
    for batch in chain([first], stream):
        moments.update(batch)
    moments._check()
    return moments


@checked
class Covariance(Moments):
    """The full covariance of arrays of that shape, d × d numbers; see `PowerSpectrum` where that is too many.

    float32 samples on the host are multiplied in float32, 4096 at a time, and summed in float64.

    Attributes
    ----------
    single: True if any of the samples were float32, and nothing finer than that can be read from them.

    >>> Covariance((2,)).update(np.asarray([[1.0, 0.0], [3.0, 4.0]])).result().tolist()
    [[1.0, 2.0], [2.0, 4.0]]
    """

    # the sum of squares holds the lower triangle alone: half the work

    def __init__(self, shape: Sequence[int], feature_shape: Sequence[int] | None = None) -> None:
        super().__init__(shape, feature_shape)
        self.single = False

    def merge(self, other: Self) -> Self:
        super().merge(other)
        self.single |= other.single
        return self

    def reduce(self, group: Any = None) -> Self:
        super().reduce(group)
        self.single = bool(total(float(self.single), group))
        return self

    def _squares(self, y: Any, xp: Any) -> Any:
        flat = xp.reshape(y, (y.shape[0], -1))
        if on_host(flat):
            return _gram(_rows(flat))
        flat = as_float64(flat, xp)
        return xp.matmul(xp.matrix_transpose(flat), flat)

    def _add(self, parts: Iterable[Any], xp: Any, weight: float = 1.0) -> None:
        single = None
        for y in parts:
            self.single |= bool(xp.finfo(y.dtype).eps > np.finfo(np.float64).eps)
            if not on_host(y):
                super()._add([y], xp, weight)
                continue
            flat = _rows(xp.reshape(y, (y.shape[0], -1)))
            if np.isscalar(self._scatter):
                self._scatter = np.zeros((flat.shape[1],) * 2, order="F")
            if flat.dtype == np.float64:
                self._scatter = _gram(flat, weight, self._scatter)
            else:
                single = _gram(flat, weight, single)
        if single is not None:
            self._scatter += single

    def lower(self, center: bool = True) -> np.ndarray[Any, Any]:
        """`result`, of which the lower triangle alone holds anything."""
        self._check()
        lower: np.ndarray[Any, Any] = self._scatter / self.count
        return lower if center else _gram(_rows(self._mean.reshape(1, -1)), onto=lower)

    def result(self, center: bool = True) -> np.ndarray[Any, Any]:
        """The covariance (d, d), or the second moment with ``center=False``."""
        lower = np.tril(self.lower(center))
        lower += np.tril(lower, -1).T
        return lower

    def gaussian(self, center: bool = True) -> Gaussian:
        """The Gaussian of this mean and covariance; of mean zero and this second moment with ``center=False``.

        Take at least twice as many samples as there are dimensions: the chance correlations of fewer make D_F too
        large, and times too late. `PowerSpectrum` knows no correlations, and needs but a few.

        Raises ValueError for no data, or one sample with ``center=True``.
        """
        self._check_varying(center)
        mean = self.mean if center else np.zeros(self.shape)
        return Gaussian(mean.reshape(self.shape), self.result(center), self._rounding)

    @property
    def _rounding(self) -> float:
        """How far below 0 an eigenvalue may be, relative to the largest: float32 products are rounded."""
        return 64 * float(np.finfo(np.float32).eps) if self.single else 1e-10


@checked
class PatchCovariance(Covariance):
    """The covariance of the patches of each sample: all leading axes times a patch over the last ones (`PatchBasis`).

    All patches count alike, wherever they lie; `count` is their number and `mean` their common mean.

    >>> patches = PatchCovariance((1, 4, 4), 2).update(np.ones((3, 1, 4, 4)))
    >>> patches.result(center=False).shape
    (4, 4)
    """

    def __init__(self, shape: Sequence[int], patch: int | Sequence[int]) -> None:
        self._tiling = Tiling(shape, patch)
        self.patch = self._tiling.patch
        super().__init__(shape, (self._tiling.numbers,))

    def _features(self, x: Any, xp: Any) -> Any:
        columns = self._tiling.cut(as_float64(x, xp), xp)
        return xp.reshape(xp.matrix_transpose(columns), (-1, self._tiling.numbers))

    def gaussian(self, center: bool = True) -> Gaussian:
        """The Gaussian of a patch, over vectors; refusals as of `Covariance.gaussian`, a patch counting as a sample."""
        self._check_varying(center)
        return Gaussian(self.mean if center else np.zeros(self._mean.shape), self.result(center))

    def _about(self) -> Any:
        return self.shape, self.patch


@checked
class PowerSpectrum(Moments):
    """The variance of each DCT-II coefficient over all axes (channels too), for data too large for a covariance.

    `mean` holds the mean of the coefficients. Memory: a few arrays of the data's shape, and the batch in float64.

    >>> PowerSpectrum((4,)).update(np.ones((2, 4))).result(center=False).round(6).tolist()
    [4.0, 0.0, 0.0, 0.0]
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__(shape)
        if not self.shape:
            raise ValueError("a power spectrum needs samples of at least one axis, these are single numbers")
        self._dct = dct_basis(self.shape)

    def _features(self, x: Any, xp: Any) -> Any:
        return self._dct._restrict(as_float64(x, xp), xp)

    def _squares(self, y: Any, xp: Any) -> Any:
        return xp.sum(y * y, axis=0)

    def gaussian(self, center: bool = True) -> DCTGaussian:
        """The Gaussian whose DCT coefficients are independent, with these means and variances.

        Raises ValueError for no data, or one sample with ``center=True``.
        """
        self._check_varying(center)
        mean = self._dct.embed(self.mean) if center else np.zeros(self.shape)
        return DCTGaussian(mean, self.result(center))


def as_float64(x: Any, xp: Any) -> Any:
    """`x` in float64, except on devices that know none: Apple's GPUs, and JAX unless jax_enable_x64 is set."""
    if has_float64(x):
        return xp.astype(x, xp.float64, copy=False)
    warnings.warn(
        f"{library(x)} has no float64 here, so that squares are summed in {x.dtype}: for JAX set jax_enable_x64",
        stacklevel=3,
    )
    return x


def has_float64(x: Any) -> bool:
    """Whether the library and the device of x know it."""
    info = array_api_compat.array_namespace(x).__array_namespace_info__()
    return not str(device(x)).startswith("mps") and "float64" in info.dtypes(kind="real floating")


def _mean(y: Any, xp: Any) -> np.ndarray[Any, Any]:
    wide = {"dtype": xp.float64} if has_float64(y) else {}
    total: np.ndarray[Any, Any] = backend_of(y).to_numpy(xp.sum(y, axis=0, **wide)).astype(np.float64)
    return total / int(y.shape[0])


def _rows(x: Any) -> np.ndarray[Any, Any]:
    """An array on the host, of any library, as rows that lie one behind the other, float32 or float64."""
    rows = x if isinstance(x, np.ndarray) else backend_of(x).to_numpy(x)
    return np.ascontiguousarray(rows, dtype=np.float32 if rows.dtype.itemsize <= 4 else np.float64)


def _gram(
    rows: np.ndarray[Any, Any], weight: float = 1.0, onto: np.ndarray[Any, Any] | None = None
) -> np.ndarray[Any, Any]:
    """weight · rowsᵀrows, its lower triangle, by columns; added to `onto` in place where that is given."""
    from scipy.linalg import get_blas_funcs  # a third of the time of importing the package

    syrk = get_blas_funcs("syrk", (rows,))
    found: np.ndarray[Any, Any] = syrk(weight, rows.T, beta=1.0, c=onto, overwrite_c=onto is not None, lower=True)
    return found
