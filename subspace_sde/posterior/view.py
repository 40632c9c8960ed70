"""What an observation says in stage k, where only x_k is there to be seen.

Of x(0) = U_k x_k(0) + Σ_{j≤k} x⊥_j(0), level k knows the first term alone. The others are, as in eq. 9, independent
Gaussians N(μ⊥_j, v_j (P_{j−1} − P_j)), with v_j the variances at time 0: y measures x(0), and the noise of x⊥(t) is
none of it. So to stage k

    y − A Σ_j μ⊥_j = A U_k x_k(0) + n_k,
    n_k ~ N(0, σ_y² I + Σ_{j≤k} v_j A (P_{j−1} − P_j) Aᵀ)

is a linear measurement of x_k(0), by A U_k and with a noise that is not white. Given x_k(t), a method takes x_k(0) for
N(D, r² I), D its denoised mean; then y has the covariance S(r²) = σ_y² I + A [Σ_j v_j (P_{j−1} − P_j) + r² P_k] Aᵀ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import array_api_compat
import numpy as np

from ..arrays import at_least_single
from ..backend import Noise, backend_of
from ..border import checked
from ..process import SubspaceSDE
from .information import Information, back, solved, weigh
from .observation import Observation


@checked
class View:
    """An observation as one stage sees it.

    Parameters
    ----------
    process, observation: of which stage, of what.
    level: k.
    full: the stage runs in full dimension by eq. 11; then nothing of x is hidden from it.
    largest: levels of at most so many coordinates get what they need of A as a matrix of their own size, once;
        a larger one goes through the full space at every evaluation.

    Attributes
    ----------
    coordinates: the level in whose coordinates x is; 0 in full dimension. So many steps hide the rest of it.
    shape: of the stage's x.

    Systems are solved in float32 where y is narrower, and what is found stays as wide.
    """

    def __init__(
        self, process: SubspaceSDE, observation: Observation, level: int, full: bool = False, largest: int = 4096
    ) -> None:
        process.ends(level)  # checks
        self.process, self.observation, self.level, self.full = process, observation, level, full
        self.coordinates = 0 if full else level
        self.shape = process.shape(self.coordinates)
        whole = observation.measurement
        self.measurement = whole @ process.subspaces[level] if self.coordinates else whole
        self._largest = largest
        self._dense = 0 < self.coordinates and process.subspaces[level].dim <= largest
        self._reductions: dict[float, Reduction] = {}

    @cached_property
    def y(self) -> Any:
        """y less what the means of the hidden complements contribute, (num or 1, *measurement.shape)."""
        y, mean = at_least_single(self.observation.y), self.process.mean
        if mean is None or not self.coordinates:
            return y
        hidden = backend_of(y).from_numpy(self.process.subspaces[self.level].reject(mean), y)
        return y - self.observation.measurement.apply(hidden)

    def pull(self, clean: Any, variance: float, rows: slice) -> Any:
        """(A U_k)ᵀ S⁻¹ (y − A U_k D): the gradient of log N(y; A U_k D, S(r²)) with respect to D = `clean`."""
        xp, clean = array_api_compat.array_namespace(clean), at_least_single(clean)
        rest = _rows(self.y, rows) - self.measurement._apply(clean, xp)
        return self.measurement._adjoint(self.solve(rest, variance), xp)

    def solve(self, y: Any, variance: float) -> Any:
        """S(r²)⁻¹ y, by conjugate gradients."""
        seen, weights = self.observation, self.process.complement_variances[: self.coordinates]
        return solved(seen.measurement, seen.iterations, self.process, y, seen.noise**2, weights, variance)

    def reduced(self, least: float) -> View | Reduction:
        """Something with the same `pull` for r² ≥ `least`, which stays on the level where the level is small enough."""
        if not self._dense:
            return self
        if least not in self._reductions:
            self._reductions[least] = Reduction(self, least)
        return self._reductions[least]

    def information(self, floor: float, weights: Sequence[float]) -> Information:
        """Of A on the first level that is small enough, `floor` for σ_y² and `weights` for the v_j; kept with y."""
        process, seen, like = self.process, self.observation, at_least_single(self.observation.y)
        base = next(k for k in range(1, self.level + 1) if process.subspaces[k].dim <= self._largest)
        return seen.kept(
            process,
            (base, floor, tuple(weights)),
            lambda: Information(seen.measurement, seen.iterations, process, base, floor, weights, like),
        )

    @cached_property
    def determined(self) -> Determined | None:
        """What y alone determines of x_k(0); None where it is nothing, or the level is too large to say."""
        observation = self.observation
        y = at_least_single(observation.y)
        xp = array_api_compat.array_namespace(y)
        smallest = observation.pseudo_inverse(y)
        if not self.coordinates:
            whole = observation.measurement
            return Determined(lambda x: observation.pseudo_inverse(whole._apply(at_least_single(x), xp)), smallest, 1.0)
        if not self._dense:
            return None
        # U_kᵀ Q U_k, with Q = Aᵀ(AAᵀ)⁺A onto the row space: its eigenvectors of eigenvalue 1 are the z with U_k z in it
        values, vectors = self.information(0.0, (1.0,) * self.process.K).on(self.level, 1.0)
        seen = backend_of(values).to_numpy(values)
        count = int(np.sum(seen > 1 - float(xp.finfo(y.dtype).eps) ** 0.6))
        if not count:
            return None
        basis = back(vectors[..., -count:], y)  # the eigenvalues ascend

        def project(z: Any) -> Any:
            flat = xp.reshape(at_least_single(z), (z.shape[0], -1))
            return xp.reshape(xp.matmul(xp.matmul(flat, basis), xp.matrix_transpose(basis)), z.shape)

        value = project(self.process.subspaces[self.level]._restrict(smallest, xp))
        return Determined(project, value, float(count / seen.sum()))

    def inject(self, x: Any, clean: Any, variance: float, noise: Noise, rows: slice) -> Any:
        """x_{k−1}(t_k) from x_k(t_k), its complement drawn given x_k and y.

        A draw of x(0) given x_k alone, with the complement's own, is corrected by what it leaves of y (Matheron's
        rule); the systems are S's of this stage.

        Parameters
        ----------
        x, clean: x_k(t_k) and its D, (batch, *shape(k)).
        variance: r².
        """
        process, k, xp = self.process, self.level, array_api_compat.array_namespace(x)
        t, step, outer = process.times[k - 1], process.subspaces.steps[k - 1], process.subspaces[k - 1]
        v, whole = process.complement_variances[:k], self.observation.measurement
        dtype, x, clean = x.dtype, at_least_single(x), at_least_single(clean)

        def normal(shape: tuple[int, ...]) -> Any:
            return at_least_single(noise.normal(shape))

        drawn = weigh(process, 0, k, normal(process.shape(0)), [math.sqrt(w) for w in v], math.sqrt(variance))
        rest = _rows(self.y, rows) - self.measurement._apply(clean, xp) - whole._apply(drawn, xp)
        if self.observation.noise:
            rest = rest - self.observation.noise * normal(whole.shape)
        correction = v[-1] * whole._adjoint(self.solve(rest, variance), xp)
        complement = step._reject(outer._restrict(drawn + correction, xp), xp)
        if process._complement_means:
            complement = complement + process._complement_means[k - 1].like(x)
        fresh = step._reject(normal(step.ambient_shape), xp)
        found = step._embed(x, xp) + float(process.sde.alpha(t)) * complement + float(process.sde.sigma(t)) * fresh
        return xp.astype(found, dtype, copy=False)


class Reduction:
    """All that a stage needs of y and A, on its own level: nothing of full size is computed while it runs.

    With S_0 = S(r_0²), G = (A U_k)ᵀ S_0⁻¹ A U_k and b = (A U_k)ᵀ S_0⁻¹ y, for any larger r² (Woodbury)

        (A U_k)ᵀ S(r²)⁻¹ (y − A U_k D) = (I + (r² − r_0²) G)⁻¹ (b − G D)

    so that one eigendecomposition of G serves all evaluations (`subspace_sde.posterior.information`).
    """

    def __init__(self, view: View, least: float) -> None:
        y, self._least = view.y, least
        known = view.information(view.observation.noise**2, view.process.complement_variances)
        values, vectors = known.on(view.level, least)
        along = array_api_compat.array_namespace(vectors).matmul(known.of(y, view.level, least), vectors)
        self._values, self._vectors, self._b = (back(a, y) for a in (values, vectors, along))

    def pull(self, clean: Any, variance: float, rows: slice) -> Any:
        """See `View.pull`."""
        xp, clean = array_api_compat.array_namespace(clean), at_least_single(clean)
        along = xp.matmul(xp.reshape(clean, (clean.shape[0], -1)), self._vectors)
        rest = _rows(self._b, rows) - self._values * along
        found = rest / (1 + (variance - self._least) * self._values)
        return xp.reshape(xp.matmul(found, xp.matrix_transpose(self._vectors)), clean.shape)


@dataclass(frozen=True)
class Determined:
    """The part of a stage's x(0) that follows from y, where y has no noise.

    Attributes
    ----------
    project: the orthogonal projection onto it, of arrays (batch, *shape).
    value: it, (num or 1, *shape).
    share: its dimensions, relative to what y sees on this level.
    """

    project: Callable[[Any], Any]
    value: Any
    share: float

    def at(self, rows: slice) -> Determined:
        """For the samples `rows` alone."""
        return Determined(self.project, _rows(self.value, rows), self.share)


def _rows(a: Any, rows: slice) -> Any:
    return a if a.shape[0] == 1 else a[rows, ...]
