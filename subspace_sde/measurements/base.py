"""What a linear measurement is: A and Aᵀ on any leading axes, never a matrix unless it was given as one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from ..arrays import Array, check_trailing, sizes
from ..subspaces import Subspace
from ..subspaces.base import Shape


class LinearMeasurement(ABC):
    """A linear map A from arrays of shape `ambient_shape` to measurements of shape `shape`.

    A subclass supplies `_apply` and `_adjoint` on any number of leading axes; it may override `_gram` where AAᵀ has a
    shorter way, which spares conjugate gradients the full space.

    Attributes
    ----------
    ambient_shape: the trailing shape of x.
    shape: the trailing shape of y = A x.

    >>> import numpy as np
    >>> from subspace_sde.measurements import check_measurement
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

    def __init__(self, ambient_shape: int | Sequence[int], shape: int | Sequence[int]) -> None:
        self.ambient_shape: Shape = sizes("ambient_shape", ambient_shape)
        self.shape: Shape = sizes("shape", shape)

    @property
    def gram_scale(self) -> float | None:
        """c where AAᵀ = c I with c > 0, so that no system with AAᵀ has to be solved; else None. A subclass may say so.

        >>> from subspace_sde.measurements import Pooling
        >>> Pooling((3, 8, 8), 4).gram_scale
        0.0625
        """
        return None

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
        return self._apply(x, check_trailing("apply", x, self.ambient_shape))

    def adjoint(self, y: Array) -> Any:
        """Aᵀy: ``(*batch, *shape)`` to ``(*batch, *ambient_shape)``."""
        return self._adjoint(y, check_trailing("adjoint", y, self.shape))

    def gram(self, y: Array) -> Any:
        """AAᵀy, of the shape of y."""
        return self._gram(y, check_trailing("gram", y, self.shape))

    def __matmul__(self, inner: LinearMeasurement | Subspace) -> LinearMeasurement:
        """``outer @ inner`` first applies `inner`, another measurement; with a subspace it is A U, on coordinates."""
        if isinstance(inner, Subspace):
            inner = _Embedding(inner)
        return _Product(self, inner) if isinstance(inner, LinearMeasurement) else NotImplemented

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.ambient_shape} -> {self.shape})"


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
