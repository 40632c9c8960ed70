"""Linear measurements y = A x + noise: what was seen of an array, and the kinds of it that occur most.

A measurement is A and Aᵀ on any leading axes, never a matrix unless it was given as one. One of your own is a subclass
with two methods; `check_measurement` puts it to the laws that it must obey.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from .arrays import Array, device, is_floating, namespace
from .backend import Constant, library
from .process import _host
from .subspaces import Downsampling, Subspace
from .subspaces.base import Shape, per_axis, sizes
from .subspaces.separable import _apply as along
from .testing import _Law


class LinearMeasurement(ABC):
    """A linear map A from arrays of shape `ambient_shape` to measurements of shape `shape`.

    A subclass supplies `_apply` and `_adjoint` on any number of leading axes; it may override `_gram` where AAᵀ has a
    shorter way, which spares conjugate gradients the full space.

    Attributes
    ----------
    ambient_shape: the trailing shape of x.
    shape: the trailing shape of y = A x.

    >>> class Differences(LinearMeasurement):
    ...     def _apply(self, x, xp):
    ...         return x[..., 1:] - x[..., :-1]
    ...
    ...     def _adjoint(self, y, xp):
    ...         end = xp.zeros_like(y[..., :1])
    ...         return xp.concat([end, y], axis=-1) - xp.concat([y, end], axis=-1)
    >>> differences = Differences((4,), (3,))
    >>> check_measurement(differences)
    >>> differences.apply(np.asarray([0.0, 1.0, 3.0, 6.0]))
    array([1., 2., 3.])
    """

    def __init__(self, ambient_shape: Sequence[int], shape: Sequence[int]) -> None:
        self.ambient_shape: Shape = sizes("ambient_shape", ambient_shape)
        self.shape: Shape = sizes("shape", shape)

    @abstractmethod
    def _apply(self, x: Any, xp: Any) -> Any:
        """Ax for x of shape ``(*batch, *ambient_shape)``; `xp` is the namespace of x."""

    @abstractmethod
    def _adjoint(self, y: Any, xp: Any) -> Any:
        """Aᵀy for y of shape ``(*batch, *shape)``."""

    def _gram(self, y: Any, xp: Any) -> Any:
        return self._apply(self._adjoint(y, xp), xp)

    def apply(self, x: Array) -> Any:
        """Ax: ``(*batch, *ambient_shape)`` to ``(*batch, *shape)``.

        Raises ValueError for another trailing shape or for numbers that are not floating-point.
        """
        return self._apply(x, _checked("apply", x, self.ambient_shape))

    def adjoint(self, y: Array) -> Any:
        """Aᵀy: ``(*batch, *shape)`` to ``(*batch, *ambient_shape)``."""
        return self._adjoint(y, _checked("adjoint", y, self.shape))

    def gram(self, y: Array) -> Any:
        """AAᵀy, of the shape of y."""
        return self._gram(y, _checked("gram", y, self.shape))

    def __matmul__(self, inner: LinearMeasurement | Subspace) -> LinearMeasurement:
        """``outer @ inner`` first applies `inner`, another measurement; with a subspace it is A U, on coordinates."""
        if isinstance(inner, Subspace):
            inner = _Embedding(inner)
        return _Product(self, inner) if isinstance(inner, LinearMeasurement) else NotImplemented

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.ambient_shape} -> {self.shape})"


def _checked(method: str, x: Any, expected: Shape) -> Any:
    xp, n = namespace(x), len(expected)
    if x.ndim < n or tuple(x.shape[x.ndim - n :]) != expected:
        got = tuple(x.shape[-n:]) if x.ndim >= n else tuple(x.shape)
        raise ValueError(f"`{method}` takes trailing shape {expected}, got {got}")
    if not is_floating(x):
        raise ValueError(f"`{method}` takes floating-point numbers, got {x.dtype}: convert first, pixels to [0, 1] say")
    return xp


class _Product(LinearMeasurement):
    def __init__(self, outer: LinearMeasurement, inner: LinearMeasurement) -> None:
        if outer.ambient_shape != inner.shape:
            raise ValueError(
                f"these measurements do not chain: the outer one takes arrays of shape {outer.ambient_shape}, "
                f"the inner one gives {inner.shape}"
            )
        super().__init__(inner.ambient_shape, outer.shape)
        self._outer, self._inner = outer, inner

    def _apply(self, x: Any, xp: Any) -> Any:
        return self._outer._apply(self._inner._apply(x, xp), xp)

    def _adjoint(self, y: Any, xp: Any) -> Any:
        return self._inner._adjoint(self._outer._adjoint(y, xp), xp)

    def __repr__(self) -> str:
        return f"{self._outer!r} @ {self._inner!r}"


class _Embedding(LinearMeasurement):
    """U of a subspace, as a map from its coordinates."""

    def __init__(self, subspace: Subspace) -> None:
        super().__init__(subspace.shape, subspace.ambient_shape)
        self._subspace = subspace

    def _apply(self, x: Any, xp: Any) -> Any:
        return self._subspace._embed(x, xp)

    def _adjoint(self, y: Any, xp: Any) -> Any:
        return self._subspace._restrict(y, xp)

    def __repr__(self) -> str:
        return repr(self._subspace)


class Dense(LinearMeasurement):
    """A given as a matrix.

    Parameters
    ----------
    matrix: (m, d), an array of any library.
    ambient_shape: of x, d numbers; (d,) without it.

    >>> Dense([[1.0, 1.0, 0.0]]).apply(np.asarray([1.0, 2.0, 3.0]))
    array([3.])
    """

    def __init__(self, matrix: Any, ambient_shape: Sequence[int] | None = None) -> None:
        values = _host(matrix)
        if values.ndim != 2 or not np.all(np.isfinite(values)):
            raise ValueError(f"a measurement's matrix is finite and has two axes, got shape {values.shape}")
        super().__init__(values.shape[1:] if ambient_shape is None else ambient_shape, values.shape[:1])
        if prod(self.ambient_shape) != values.shape[1]:
            raise ValueError(f"the matrix takes {values.shape[1]} numbers, arrays of {self.ambient_shape} hold others")
        self._matrix = Constant(values)

    def _apply(self, x: Any, xp: Any) -> Any:
        flat = xp.reshape(x, (*x.shape[: x.ndim - len(self.ambient_shape)], -1))
        return along(self._matrix.like(x), flat, -1, xp)

    def _adjoint(self, y: Any, xp: Any) -> Any:
        x = along(xp.matrix_transpose(self._matrix.like(y)), y, -1, xp)
        return xp.reshape(x, (*y.shape[:-1], *self.ambient_shape))


class Mask(LinearMeasurement):
    """Some entries of x, as a flat array: inpainting. AAᵀ = I.

    Parameters
    ----------
    mask: 1 where x was seen, 0 elsewhere; of `shape`, or of its last axes alone, the same for all leading ones.
    shape: of x.

    >>> half = Mask([1, 1, 0, 0], (3, 4))
    >>> half.shape
    (6,)
    >>> half.adjoint(half.apply(np.ones((3, 4))))[0]
    array([1., 1., 0., 0.])
    """

    def __init__(self, mask: Any, shape: Sequence[int]) -> None:
        shape = sizes("shape", shape)
        self.mask = np.broadcast_to(_zero_one(mask, shape), shape)
        super().__init__(shape, (int(self.mask.sum()),))
        self._places = _Places(np.flatnonzero(self.mask), prod(shape))

    def _apply(self, x: Any, xp: Any) -> Any:
        return self._places.gather(xp.reshape(x, (*x.shape[: x.ndim - len(self.ambient_shape)], -1)), xp)

    def _adjoint(self, y: Any, xp: Any) -> Any:
        return xp.reshape(self._places.scatter(y, xp), (*y.shape[:-1], *self.ambient_shape))

    def _gram(self, y: Any, xp: Any) -> Any:
        return y


class Pooling(LinearMeasurement):
    """Means over blocks: what upscaling starts from. AAᵀ = I / (product of the factors).

    Parameters
    ----------
    shape, factor, axes: as of `Downsampling`.

    >>> Pooling((4,), 2, axes=(-1,)).apply(np.asarray([1.0, 3.0, 5.0, 9.0]))
    array([2., 7.])
    """

    def __init__(self, shape: Sequence[int], factor: int | Sequence[int], axes: Sequence[int] = (-2, -1)) -> None:
        self._blocks = Downsampling(shape, factor, axes)
        super().__init__(self._blocks.ambient_shape, self._blocks.shape)
        self._size = self._blocks.ambient_dim / self._blocks.dim

    def _apply(self, x: Any, xp: Any) -> Any:
        return self._blocks._restrict(x, xp) / self._size**0.5

    def _adjoint(self, y: Any, xp: Any) -> Any:
        return self._blocks._embed(y, xp) / self._size**0.5

    def _gram(self, y: Any, xp: Any) -> Any:
        return y / self._size


class Blur(LinearMeasurement):
    """A convolution along each of some axes, with the array mirrored at its ends.

    Parameters
    ----------
    shape: of x.
    kernel: an odd number of weights, not more than an axis is long, the same along each axis.
    axes: along which; the product of two is a square blur.

    >>> Blur((4,), [0.25, 0.5, 0.25], axes=(-1,)).apply(np.asarray([0.0, 0.0, 4.0, 0.0]))
    array([0., 1., 2., 1.])
    """

    def __init__(self, shape: Sequence[int], kernel: Any, axes: Sequence[int] = (-2, -1)) -> None:
        shape, weights = sizes("shape", shape), _host(kernel)
        _, axes = per_axis("axes", 1, axes, len(shape))
        if weights.ndim != 1 or len(weights) % 2 == 0 or len(weights) > min(shape[a] for a in axes):
            raise ValueError(
                f"a kernel has one axis, and an odd number of weights that fits into the axes of {shape}, "
                f"got shape {weights.shape}"
            )
        if not np.all(np.isfinite(weights)):
            raise ValueError("the kernel holds NaN or infinity")
        super().__init__(shape, shape)
        self._maps = [(a, Constant(_convolution(weights, shape[a]))) for a in axes]

    @classmethod
    def gaussian(cls, shape: Sequence[int], std: float, axes: Sequence[int] = (-2, -1)) -> Blur:
        """A Gaussian of standard deviation `std`, in entries, cut off at four of them or where the axis ends."""
        if not 0 < std < np.inf:
            raise ValueError(f"the standard deviation of a blur must be positive, got {std}")
        shape = sizes("shape", shape)
        _, found = per_axis("axes", 1, axes, len(shape))
        reach = min(int(np.ceil(4 * std)), *((shape[a] - 1) // 2 for a in found))
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / std) ** 2)
        return cls(shape, weights / weights.sum(), axes)

    def _apply(self, x: Any, xp: Any) -> Any:
        for axis, matrix in self._maps:
            x = along(matrix.like(x), x, axis, xp)
        return x

    def _adjoint(self, y: Any, xp: Any) -> Any:
        for axis, matrix in self._maps:
            y = along(xp.matrix_transpose(matrix.like(y)), y, axis, xp)
        return y


class Mixing(LinearMeasurement):
    """The channels mixed by a matrix: y_i = Σ_c M_ic x_c.

    Parameters
    ----------
    shape: of x.
    matrix: M, (channels of y, channels of x).
    axis: of the channels.

    >>> Mixing.greyscale((3, 8, 8)).shape
    (1, 8, 8)
    """

    def __init__(self, shape: Sequence[int], matrix: Any, axis: int = -3) -> None:
        shape, weights = list(sizes("shape", shape)), _host(matrix)
        _, (axis,) = per_axis("axis", 1, (axis,), len(shape))
        if weights.ndim != 2 or weights.shape[1] != shape[axis] or not np.all(np.isfinite(weights)):
            raise ValueError(
                f"a matrix that mixes {shape[axis]} channels is finite and has as many columns, "
                f"got shape {weights.shape}"
            )
        ambient = tuple(shape)
        shape[axis] = weights.shape[0]
        super().__init__(ambient, shape)
        self._axis, self._matrix, self._square = axis, Constant(weights), Constant(weights @ weights.T)

    @classmethod
    def greyscale(
        cls, shape: Sequence[int], weights: Sequence[float] = (0.299, 0.587, 0.114), axis: int = -3
    ) -> Mixing:
        """The luma of red, green and blue: where colourisation starts. One weight a channel."""
        return cls(shape, [list(weights)], axis)

    def _apply(self, x: Any, xp: Any) -> Any:
        return along(self._matrix.like(x), x, self._axis, xp)

    def _adjoint(self, y: Any, xp: Any) -> Any:
        return along(xp.matrix_transpose(self._matrix.like(y)), y, self._axis, xp)

    def _gram(self, y: Any, xp: Any) -> Any:
        return along(self._square.like(y), y, self._axis, xp)


class FourierMask(LinearMeasurement):
    """Some frequencies of x, as magnetic resonance measures them, in an orthonormal real basis. AAᵀ = I.

    The orthonormal discrete Fourier transform F of real x has F(−k) conjugate to F(k): of both one is kept, as
    √2 Re F(k) and √2 Im F(k), behind the Re F(k) of those with k = −k. A mask that holds either of them holds both.

    Parameters
    ----------
    mask: 1 where a frequency was measured, 0 elsewhere, in the order of numpy's ``fftn``; of the shape of the last
        axes of x, or of all of it. The transform goes along the axes of the mask's shape.
    shape: of x.

    >>> lowest = FourierMask([1, 1, 0, 0], (4,))
    >>> lowest.apply(np.ones(4)).round(6).tolist()
    [2.0, 0.0, 0.0]
    """

    def __init__(self, mask: Any, shape: Sequence[int]) -> None:
        ambient = sizes("shape", shape)
        self.mask = _zero_one(mask, ambient)
        n = self.mask.ndim
        self._axes, self._lengths = tuple(range(-n, 0)), ambient[len(ambient) - n :]
        places = np.arange(self.mask.size).reshape(self.mask.shape)
        opposite = np.roll(np.flip(places), (1,) * n, range(n))
        seen = self.mask | self.mask.reshape(-1)[opposite]
        pairs, alone = (places[seen & kind] for kind in (places < opposite, places == opposite))
        super().__init__(ambient, (*ambient[: len(ambient) - n], 2 * len(pairs) + len(alone)))
        self._alone, self._n = len(alone), n
        self._places = _Places(np.concatenate([alone, pairs]), self.mask.size)

    def _apply(self, x: Any, xp: Any) -> Any:
        f = xp.fft.fftn(x, axes=self._axes, norm="ortho")
        f = self._places.gather(xp.reshape(f, (*x.shape[: x.ndim - self._n], -1)), xp)
        alone, pairs = f[..., : self._alone], f[..., self._alone :]
        return xp.concat([xp.real(alone), 2**0.5 * xp.real(pairs), 2**0.5 * xp.imag(pairs)], axis=-1)

    def _adjoint(self, y: Any, xp: Any) -> Any:
        m, n = self._alone, (self._alone + self.shape[-1]) // 2
        pairs = 2**0.5 * (y[..., m:n] + 1j * y[..., n:])
        f = self._places.scatter(xp.concat([xp.astype(y[..., :m], pairs.dtype), pairs], axis=-1), xp)
        return xp.real(xp.fft.ifftn(xp.reshape(f, (*y.shape[:-1], *self._lengths)), axes=self._axes, norm="ortho"))

    def _gram(self, y: Any, xp: Any) -> Any:
        return y


class _Places:
    """Some entries of the last axis, taken out, and put back among zeros without a write in place."""

    def __init__(self, places: Any, length: int) -> None:
        self._places, self._source = np.asarray(places), np.full(length, len(places))
        self._source[self._places] = np.arange(len(places))
        self._copies: dict[Any, tuple[Any, Any]] = {}

    def gather(self, x: Any, xp: Any) -> Any:
        return xp.take(x, self._like(x, xp)[0], axis=-1)

    def scatter(self, y: Any, xp: Any) -> Any:
        zero = xp.zeros((*y.shape[:-1], 1), dtype=y.dtype, device=device(y))
        return xp.take(xp.concat([y, zero], axis=-1), self._like(y, xp)[1], axis=-1)

    def _like(self, x: Any, xp: Any) -> tuple[Any, Any]:
        key = (library(x), device(x))
        if key not in self._copies:
            self._copies[key] = tuple(xp.asarray(p, device=device(x)) for p in (self._places, self._source))
        return self._copies[key]


def _zero_one(mask: Any, shape: Shape) -> np.ndarray[Any, Any]:
    values = _host(mask)
    if values.ndim == 0 or values.shape != shape[len(shape) - values.ndim :]:
        raise ValueError(f"a mask has the shape {shape} of the arrays, or of their last axes, got {values.shape}")
    if not np.all((values == 0) | (values == 1)):
        wrong = values[(values != 0) & (values != 1)][0]
        raise ValueError(f"a mask holds 1 where something was measured and 0 elsewhere, got {wrong:g}")
    if not values.any():
        raise ValueError("a mask of zeros measures nothing: give 1 where something was measured")
    found: np.ndarray[Any, Any] = values == 1
    return found


def _convolution(weights: np.ndarray[Any, Any], n: int) -> np.ndarray[Any, Any]:
    matrix, reach = np.zeros((n, n)), len(weights) // 2
    mirrored = np.pad(np.arange(n), reach, mode="symmetric")
    for i in range(n):
        np.add.at(matrix[i], mirrored[i : i + len(weights)], weights[::-1])
    return matrix


def check_measurement(measurement: LinearMeasurement, like: Any = None, tolerance: float | None = None) -> None:
    """The laws of a linear measurement: linearity, adjointness, AAᵀ, on any leading axes.

    Parameters
    ----------
    measurement: the one to be checked.
    like: an array whose library, device and dtype are used; numpy float64 without it.
    tolerance: the largest error allowed, relative to the largest number compared or to 1; without it the square root
        of the dtype's machine epsilon.

    Raises
    ------
    AssertionError: a law does not hold; which, on what input and by how much.

    >>> check_measurement(Pooling((3, 8, 8), 4))
    """
    like = np.zeros(()) if like is None else like
    law = _Law(repr(measurement), like, tolerance)
    batches: tuple[tuple[int, ...], ...] = ((3,), (), (2, 1))
    for seed, batch in enumerate(batches):
        law.input = f"standard normal x of shape {(*batch, *measurement.ambient_shape)} and y of shape "
        law.input += f"{(*batch, *measurement.shape)} from numpy's default_rng({seed}), {like.dtype} of {library(like)}"
        draw = np.random.default_rng(seed).standard_normal
        x, w = (law.array(draw((*batch, *measurement.ambient_shape))) for _ in range(2))
        y, v = (law.array(draw((*batch, *measurement.shape))) for _ in range(2))
        seen, back = measurement.apply(x), measurement.adjoint(y)
        law.kind("apply gives (*batch, *shape)", seen, y)
        law.kind("adjoint gives (*batch, *ambient_shape)", back, x)
        law.equal(
            "A is linear, A(2x − 3w) = 2Ax − 3Aw", measurement.apply(2 * x - 3 * w), 2 * seen - 3 * measurement.apply(w)
        )
        law.equal("A0 = 0", measurement.apply(0 * x), 0 * y)
        law.equal("Aᵀ is linear", measurement.adjoint(2 * y - 3 * v), 2 * back - 3 * measurement.adjoint(v))
        law.products_equal("adjointness, <Ax, y> = <x, Aᵀy>", (seen, y), (x, back))
        law.equal("gram is AAᵀ", measurement.gram(y), measurement.apply(back))
        if batch:
            first = (0,) * len(batch)
            law.equal("apply treats the elements of a batch alike", measurement.apply(x[first]), seen[first])
