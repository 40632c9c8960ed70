"""Conjugate gradients for a batch of systems M x = b, M symmetric and positive semi-definite, given as a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arrays import Array, is_floating, namespace
from ..backend import readable
from ..border import checked


@checked
def conjugate_gradients(operator: Callable[[Any], Any], b: Array, trailing: int, iterations: int = 100) -> Any:
    """x of the shape of b, (*batch, *shape); `shape` has `trailing` axes.

    A system whose residual has fallen below 10 machine epsilons of its b is left as it is, so that it ends the same in
    any batch. Nothing is read back from a device: there all the iterations are run. Where M is singular, b must lie in
    its range.

    >>> import numpy as np
    >>> m = np.asarray([[2.0, 1.0], [1.0, 2.0]])
    >>> conjugate_gradients(
    ...     lambda x: x @ m, np.asarray([[3.0, 3.0], [3.0, 0.0]]), trailing=1
    ... ).round(6)
    array([[ 1.,  1.],
           [ 2., -1.]])
    """
    xp = namespace(b)
    if not 1 <= trailing <= b.ndim or iterations < 1:
        raise ValueError(
            f"b has 1 to {b.ndim} trailing axes, and iterations are at least 1, got {trailing} and {iterations}"
        )
    if not is_floating(b):
        raise ValueError(f"b must hold floating-point numbers, got {b.dtype}")
    axes = tuple(range(-trailing, 0))

    def product(u: Any, v: Any) -> Any:
        return xp.sum(u * v, axis=axes, keepdims=True)

    x, rest, direction, square = xp.zeros_like(b), b, b, product(b, b)
    enough = (10 * xp.finfo(b.dtype).eps) ** 2 * square
    one, none = xp.ones_like(square), xp.zeros_like(square)
    for _ in range(iterations):
        image = operator(direction)
        curvature = product(direction, image)
        going = (square > enough) & (curvature > 0)
        if readable(going) and not bool(xp.any(going)):  # reading costs nothing there
            break
        step = xp.where(going, square / xp.where(going, curvature, one), none)
        x, rest = x + step * direction, rest - step * image
        after = product(rest, rest)
        direction = xp.where(going, rest + after / xp.where(going, square, one) * direction, direction)
        square = xp.where(going, after, square)
    return x
