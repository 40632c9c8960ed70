"""What was observed: y = A x(0) + σ_y n."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import array_api_compat

from ..arrays import at_least_single, is_floating, namespace, positive_integer
from ..backend import backend_of, check_concrete
from ..border import checked
from ..measurements import LinearMeasurement, check_measurement
from ..process import SubspaceSDE
from .information import Information
from .linear_systems import conjugate_gradients


@checked
class Observation:
    """A linear measurement, what it gave, and its noise.

    Parameters
    ----------
    measurement: A (`subspace_sde.measurements`).
    y: an array of shape (*measurement.shape), or (num, *measurement.shape) with one for each sample; the samples take
        its library, device and dtype.
    noise: σ_y, the standard deviation of the noise, in the units of y.
    iterations: of conjugate gradients, at most, wherever a system with A is solved.

    What sampling needs of A on the levels of a process is found once and kept here, of the last process alone; so an
    Observation does not change.

    Raises
    ------
    TypeError: no LinearMeasurement.
    ValueError: y of another shape or not finite; a negative σ_y; with σ_y = 0, a y that no x gives; an A that is not
        linear, or whose adjoint is none (`check_measurement`).

    >>> import numpy as np
    >>> from subspace_sde.measurements import Pooling
    >>> pooling = Pooling((3, 16, 16), 4)
    >>> Observation(pooling, np.zeros((3, 4, 4)), noise=0.01)
    Observation(Pooling((3, 16, 16) -> (3, 4, 4)), noise=0.01)
    """

    def __init__(self, measurement: LinearMeasurement, y: Any, noise: float = 0.0, iterations: int = 100) -> None:
        xp, n = namespace(y), len(measurement.shape)
        if not is_floating(y):
            raise ValueError(f"y must hold floating-point numbers, got {y.dtype}")
        if y.ndim not in (n, n + 1) or tuple(y.shape[y.ndim - n :]) != measurement.shape:
            raise ValueError(
                f"y has the shape {measurement.shape} of the measurement, or one such array for each sample, "
                f"got {tuple(y.shape)}"
            )
        check_concrete("y", y, "make the Observation outside of it, and sample within")
        if not bool(xp.all(xp.isfinite(y))):
            raise ValueError("y holds NaN or infinity")
        if not 0 <= noise < math.inf:
            raise ValueError(f"noise is a standard deviation, finite and not negative, got {noise}")
        iterations = positive_integer("iterations", iterations)
        try:
            check_measurement(measurement, at_least_single(y))
        except AssertionError as error:
            raise ValueError(f"this measurement is no linear map with its adjoint: {error}") from None
        self.measurement, self.noise, self.iterations = measurement, float(noise), iterations
        self.y = y if y.ndim > n else xp.expand_dims(y, axis=0)
        self.each = y.ndim > n
        self._kept: tuple[SubspaceSDE | None, dict[Any, Information]] = (None, {})
        if not self.noise:
            self._check_range(xp)
        self._made = True

    def __setattr__(self, name: str, value: Any) -> None:
        if getattr(self, "_made", False) and name != "_kept":  # what is kept was found for these
            raise AttributeError(f"an Observation does not change: make another with a {name} of your own")
        super().__setattr__(name, value)

    def kept(self, process: SubspaceSDE, key: Any, make: Callable[[], Information]) -> Information:
        """What `make` gives, from an earlier call where there was one with this `key`, for the same process; of the
        last process alone."""
        if self._kept[0] is None or (self._kept[0] is not process and self._kept[0] != process):
            self._kept = (process, {})
        known = self._kept[1]
        if key not in known:
            found = make()
            if not backend_of(found.values).concrete(found.values):
                return found  # it belongs to the trace that it was made in
            known[key] = found
        return known[key]

    def pseudo_inverse(self, y: Any) -> Any:
        """Aᵀ(AAᵀ)⁺y, the smallest x with A x = y where there is one; y (batch, *shape). In float32 or wider."""
        xp, a, y = array_api_compat.array_namespace(y), self.measurement, at_least_single(y)
        if a.gram_scale is not None:
            return a._adjoint(y, xp) / a.gram_scale
        solved = conjugate_gradients(lambda v: a._gram(v, xp), y, len(a.shape), self.iterations)
        return a._adjoint(solved, xp)

    def _check_range(self, xp: Any) -> None:
        a, y = self.measurement, at_least_single(self.y)
        if a.gram_scale is not None:
            return  # every y is some A x
        # the normal equations always have a solution, where AAᵀv = y has none
        x = conjugate_gradients(
            lambda u: a._adjoint(a._apply(u, xp), xp), a._adjoint(y, xp), len(a.ambient_shape), 10 * self.iterations
        )
        rest = y - a._apply(x, xp)
        back = a._adjoint(rest, xp)  # 0 where nothing is nearer; else A is ill-conditioned, and y may be reached yet
        sizes = [xp.max(xp.abs(v)) for v in (rest, y, back)]
        far, size, slope = (float(backend_of(y).to_numpy(v)) for v in sizes)
        small = float(xp.finfo(self.y.dtype).eps) ** 0.5
        if far > small * size and slope <= small * far:
            raise ValueError(
                f"without noise y must lie in the range of {self.measurement!r}, but the nearest A x is {far:.1e} "
                "away: give the noise"
            )

    def __repr__(self) -> str:
        return f"Observation({self.measurement!r}, noise={self.noise:g})"
