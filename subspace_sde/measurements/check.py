"""The laws of a linear measurement, as an assertion that anybody's own can be put to."""

from __future__ import annotations

import numpy as np

from ..arrays import Array
from ..backend import library
from ..border import checked
from ..comparison import Comparison
from .base import LinearMeasurement


@checked
def check_measurement(
    measurement: LinearMeasurement, like: Array | None = None, tolerance: float | None = None
) -> None:
    """The laws of a linear measurement: linearity, adjointness, AAᵀ, on any leading axes.

    Parameters
    ----------
    measurement: the one to be checked.
    like: an array whose library, device and dtype are used; numpy float64 without it.
    tolerance: the largest error allowed, relative to the largest number compared or to 1; without it ε^(2/3), of the
        dtype's machine epsilon.

    Raises
    ------
    AssertionError: a law does not hold; which, on what input and by how much.

    >>> from subspace_sde.measurements import Pooling
    >>> check_measurement(Pooling((3, 8, 8), 4))
    """
    like = np.zeros(()) if like is None else like
    law = Comparison(repr(measurement), like, tolerance)
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
        if measurement.gram_scale is not None:
            law.equal(
                f"AAᵀ is {measurement.gram_scale:g} I, as gram_scale says",
                measurement.apply(back),
                measurement.gram_scale * y,
            )
        if batch:
            first = (*(0,) * len(batch), ...)
            law.equal("apply treats the elements of a batch alike", measurement.apply(x[first]), seen[first])
