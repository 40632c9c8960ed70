"""Subspaces as isometries: U maps coordinates of shape ``shape`` into arrays of shape ``ambient_shape``, UᵀU = I."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import reduce
from math import prod
from typing import Any, TypeAlias

import numpy as np

from ..arrays import Array, check_trailing, sizes
from ..border import checked
from ..specification import Specified, register
from .axis_maps import AxisMap, Chained, Dense, Matrix, Whole, Within

Shape: TypeAlias = tuple[int, ...]

_LONGEST = 2048  # axes up to this length are compared by their matrices, which take 32 MB and a second at most
_MOST_TRIED = 2**15  # dimensions of which each is projected: a minute


class Subspace(Specified, ABC):
    """A linear subspace of the arrays of shape `ambient_shape`, with coordinates of shape `shape`.

    A subclass supplies `_restrict` and `_embed` on any number of leading axes; everything else follows. It may
    override `_project` or `_reject` where a shorter way exists, and `within` where U_{k|j} has a structure.

    Attributes
    ----------
    ambient_shape: the trailing shape of the arrays that `restrict` takes.
    shape: the trailing shape of the coordinates that it returns.
    dim, ambient_dim: their products.
    """

    def __init__(self, ambient_shape: int | Sequence[int], shape: int | Sequence[int]) -> None:
        self.ambient_shape: Shape = sizes("ambient_shape", ambient_shape)
        self.shape: Shape = sizes("shape", shape)
        if self.dim > self.ambient_dim:
            raise ValueError(
                f"a subspace cannot have more dimensions ({self.dim}) than the space it lies in ({self.ambient_dim})"
            )

    @property
    def dim(self) -> int:
        """n, the number of coordinates."""
        return prod(self.shape)

    @property
    def ambient_dim(self) -> int:
        """d, the number of dimensions of the space it lies in."""
        return prod(self.ambient_shape)

    @property
    def coordinate_scale(self) -> float | None:
        """c where the coordinates are c times a smaller array of the same kind, an image say; else None.

        A constant array then has coordinates that are c times as large, and c = √(d/n). A network that takes arrays of
        any size is the score of such a level: `subspace_sde.scores.at_level`.

        >>> from subspace_sde import Downsampling
        >>> Downsampling((3, 32, 32), 4).coordinate_scale
        4.0
        """
        return None

    @abstractmethod
    def _restrict(self, x: Any, xp: Any) -> Any:
        """Uᵀx for x of shape ``(*batch, *ambient_shape)``; `xp` is the namespace of x."""

    @abstractmethod
    def _embed(self, z: Any, xp: Any) -> Any:
        """Uz for z of shape ``(*batch, *shape)``."""

    def _project(self, x: Any, xp: Any) -> Any:
        return self._embed(self._restrict(x, xp), xp)

    def _reject(self, x: Any, xp: Any) -> Any:
        return x - self._project(x, xp)

    def restrict(self, x: Array) -> Any:
        """Uᵀx: ``(*batch, *ambient_shape)`` to ``(*batch, *shape)``.

        Raises ValueError for another trailing shape or for numbers that are not floating-point.
        """
        return self._restrict(x, self._check("restrict", x, self.ambient_shape, "embed", self.shape))

    def embed(self, z: Array) -> Any:
        """Uz: ``(*batch, *shape)`` to ``(*batch, *ambient_shape)``."""
        return self._embed(z, self._check("embed", z, self.shape, "restrict", self.ambient_shape))

    def project(self, x: Array) -> Any:
        """Px = UUᵀx, in the space of x."""
        return self._project(x, self._check("project", x, self.ambient_shape, "embed", self.shape))

    def reject(self, x: Array) -> Any:
        """P⊥x = x − UUᵀx, in the space of x."""
        return self._reject(x, self._check("reject", x, self.ambient_shape, "embed", self.shape))

    def matrix(self) -> Matrix:
        """U as a numpy array of shape (d, n): for looking at, and for tests in small dimensions."""
        identity = np.eye(self.dim).reshape(self.dim, *self.shape)
        columns: Matrix = self.embed(identity).reshape(self.dim, self.ambient_dim).T
        return columns

    def axis_matrices(self) -> tuple[Matrix, ...] | None:
        """The factors of U where it is known to be a Kronecker product over the axes, else None.

        One numpy float64 matrix (n_a, m_a) for each trailing axis, n_a its length in `ambient_shape` and m_a in
        `shape`; an axis that is left alone has the identity. They tell what U does to any basis that is itself a
        product over the axes (the two-dimensional DCT say), and whether one subspace lies in another.

        >>> [u.shape for u in Identity((3, 4)).axis_matrices()]
        [(3, 3), (4, 4)]
        """
        maps = self._axis_maps()
        return None if maps is None else tuple(each.matrix() for each in maps)

    def _axis_maps(self) -> tuple[AxisMap, ...] | None:
        """What U does along each axis, as a matrix or without one, where it is a product over the axes; else None."""
        return None

    @checked
    def captured(self, axes: Subspace) -> Matrix:
        """‖Uᵀv‖² of every vector v of an orthonormal basis of the whole space, an array of shape ``axes.shape``.

        Parameters
        ----------
        axes: the basis as a rotation: v = `axes.embed` of a unit vector. Where it and U are products over the axes the
            energies are too; else the vectors are tried one by one, unless a subclass knows better.

        Raises ValueError where more than 2¹⁵ would have to be tried.

        >>> from subspace_sde import Downsampling
        >>> # the mean of a block of four
        >>> Downsampling((2, 2), 2).captured(Identity((2, 2))).round(9).tolist()
        [[0.25, 0.25], [0.25, 0.25]]
        """
        mine, theirs = maps_of(self), maps_of(axes)
        if mine is not None and theirs is not None:
            parts = [u.captured(v) for u, v in zip(mine, theirs)]
            product: Matrix = reduce(np.multiply.outer, parts, np.ones(()))
            return product
        d = self.ambient_dim
        if d > _MOST_TRIED:
            raise ValueError(
                f"{self!r} is no product of maps along the axes, and {d} dimensions are too many to try one by one: "
                "give its class a method `captured`"
            )
        energies = np.empty(d)
        for start in range(0, d, 512):
            unit = np.eye(min(512, d - start), d, start).reshape(-1, *axes.shape)
            z = self.restrict(axes.embed(unit))
            energies[start : start + 512] = np.sum(z.reshape(len(z), -1) ** 2, axis=1)
        return energies.reshape(axes.shape)

    def __matmul__(self, inner: Subspace) -> Subspace:
        """``outer @ inner``: `inner` lies in the coordinates of `outer`; the result in the space of `outer`."""
        if not isinstance(inner, Subspace):
            return NotImplemented
        composition = Composition(self, inner)  # checks
        if isinstance(inner, Identity):
            return self
        return inner if isinstance(self, Identity) else composition

    @checked
    def within(self, outer: Subspace) -> Subspace:
        """U_{k|j} = U_jᵀU_k (paper, Notation): this subspace, which must lie in `outer`, in the coordinates of `outer`.

        Raises ValueError where it does not lie in `outer`, and says by how much.
        """
        if outer.ambient_shape != self.ambient_shape:
            raise ValueError(
                f"the two subspaces lie in different spaces: arrays of shape {self.ambient_shape} "
                f"and {outer.ambient_shape}"
            )
        if isinstance(outer, Identity):
            return self
        outside = self._outside(outer)
        if outside > 1e-6:
            raise ValueError(
                f"the subspaces are not nested: the one with {self.dim} dimensions sticks out of the one with "
                f"{outer.dim} by {outside:.1e} of its length"
            )
        return self._within(outer)

    def _within(self, outer: Subspace) -> Subspace:
        return Relative(outer, self)

    def _outside(self, outer: Subspace) -> float:
        """How much of a vector of this subspace may stick out of `outer`: at worst, or by what eight random ones do.

        The first of those that clearly does ends the search.
        """
        pairs = self._axis_pairs(outer)
        if pairs is not None:
            inside = 1.0  # cos² of the largest angle: the product over the axes, as the vectors are
            for mine, theirs in pairs:
                if theirs.shape[0] > theirs.shape[1]:
                    rest = mine - theirs @ (theirs.T @ mine)
                    inside *= max(0.0, 1.0 - float(np.linalg.eigvalsh(rest.T @ rest)[-1]))
            return float((1.0 - inside) ** 0.5)
        off, most, rng = 0.0, 0.0, np.random.default_rng(0)
        for _ in range(min(self.dim, 8)):  # one at a time: they may be large
            x = self.embed(rng.standard_normal(self.shape))
            off, most = max(off, float(np.max(np.abs(outer.reject(x))))), max(most, float(np.max(np.abs(x))))
            if off > 1e-3 * most:
                break
        return off / most

    def _axis_pairs(self, outer: Subspace) -> list[tuple[Matrix, Matrix]] | None:
        """The matrices of this subspace and of `outer` on each axis, where both have them and none is too large."""
        if max(self.ambient_shape) > _LONGEST:
            return None
        mine, theirs = self.axis_matrices(), outer.axis_matrices()
        return None if mine is None or theirs is None else list(zip(mine, theirs))

    def _check(self, method: str, x: Any, expected: Shape, other: str, other_shape: Shape) -> Any:
        shape = tuple(getattr(x, "shape", ()))
        other_way = shape[max(len(shape) - len(other_shape), 0) :] == other_shape
        return check_trailing(method, x, expected, f": did you mean `{other}`?" if other_way else "")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.ambient_shape} -> {self.shape})"


@checked
@register
class Identity(Subspace):
    """The whole space, U_0 = I.

    >>> Identity((3, 4)).dim
    12
    """

    def __init__(self, ambient_shape: int | Sequence[int]) -> None:
        super().__init__(ambient_shape, ambient_shape)

    def arguments(self) -> dict[str, Any]:
        return {"ambient_shape": list(self.ambient_shape)}

    @property
    def coordinate_scale(self) -> float:
        return 1.0

    def _axis_maps(self) -> tuple[AxisMap, ...]:
        return tuple(Whole(n) for n in self.shape)

    def _restrict(self, x: Any, xp: Any) -> Any:
        return x

    def _embed(self, z: Any, xp: Any) -> Any:
        return z

    def _project(self, x: Any, xp: Any) -> Any:
        return x


@checked
@register
class Composition(Subspace):
    """``outer @ inner``, never as a matrix."""

    def __init__(self, outer: Subspace, inner: Subspace) -> None:
        if inner.ambient_shape != outer.shape:
            raise ValueError(
                f"these steps do not chain: the outer one has coordinates of shape {outer.shape}, "
                f"the inner one lies in arrays of shape {inner.ambient_shape}"
            )
        super().__init__(outer.ambient_shape, inner.shape)
        self.outer, self.inner = outer, inner

    @property
    def coordinate_scale(self) -> float | None:
        outer, inner = self.outer.coordinate_scale, self.inner.coordinate_scale
        return None if outer is None or inner is None else outer * inner

    def _restrict(self, x: Any, xp: Any) -> Any:
        return self.inner._restrict(self.outer._restrict(x, xp), xp)

    def _embed(self, z: Any, xp: Any) -> Any:
        return self.outer._embed(self.inner._embed(z, xp), xp)

    def _axis_maps(self) -> tuple[AxisMap, ...] | None:
        outer, inner = maps_of(self.outer), maps_of(self.inner)
        return None if outer is None or inner is None else tuple(map(Chained, outer, inner))

    def arguments(self) -> dict[str, Any]:
        return {"outer": self.outer, "inner": self.inner}

    def __repr__(self) -> str:
        return f"{self.outer!r} @ {self.inner!r}"


@checked
@register
class Relative(Subspace):
    """U_{k|j} = U_jᵀU_k of two nested subspaces of the same space, never as a matrix."""

    def __init__(self, outer: Subspace, inner: Subspace) -> None:
        super().__init__(outer.shape, inner.shape)
        self.outer, self.inner = outer, inner

    @property
    def coordinate_scale(self) -> float | None:
        outer, inner = self.outer.coordinate_scale, self.inner.coordinate_scale
        return None if outer is None or inner is None else inner / outer

    def _restrict(self, x: Any, xp: Any) -> Any:
        return self.inner._restrict(self.outer._embed(x, xp), xp)

    def _embed(self, z: Any, xp: Any) -> Any:
        return self.outer._restrict(self.inner._embed(z, xp), xp)

    def _axis_maps(self) -> tuple[AxisMap, ...] | None:
        outer, inner = maps_of(self.outer), maps_of(self.inner)
        return None if outer is None or inner is None else tuple(map(Within, outer, inner))

    def arguments(self) -> dict[str, Any]:
        return {"outer": self.outer, "inner": self.inner}


def maps_of(subspace: Subspace) -> tuple[AxisMap, ...] | None:
    """What it does along each axis, by the matrices where a class gives those alone."""
    maps = subspace._axis_maps()
    if maps is None and (matrices := subspace.axis_matrices()) is not None:
        maps = tuple(map(Dense, matrices))
    return maps


def per_axis(name: str, value: int | Sequence[int], axes: int | Sequence[int], ndim: int) -> tuple[Shape, Shape]:
    """`value`, one number or one for each of `axes`, as a tuple; and the axes counted from the end."""
    axes = tuple(axes) if isinstance(axes, Iterable) else (axes,)
    if not all(-ndim <= a < ndim for a in axes):
        raise ValueError(f"axes {axes} do not exist in an array of {ndim} axes")
    from_the_end = tuple(int(a) if a < 0 else int(a) - ndim for a in axes)
    if len(set(from_the_end)) != len(axes) or not axes:
        raise ValueError(f"axes must name at least one axis, each once, got {axes}")
    values = sizes(name, value if isinstance(value, Iterable) else (value,) * len(axes))
    if len(values) != len(axes):
        raise ValueError(f"{name} must be one number or one for each of the axes {axes}, got {values}")
    return values, from_the_end
