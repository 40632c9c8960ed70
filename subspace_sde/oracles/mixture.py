"""Mixtures: under noise a mixture stays one, and its score is that of the components, weighted by their posteriors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import array_api_compat
import numpy as np

from ..arrays import device, over
from ..backend import host
from ..border import checked
from ..sdes import IsotropicSDE
from ..subspaces import Subspace
from .base import BITS, KnownScore, Oracle, uniform


@checked
class Mixture(Oracle):
    """A mixture of Gaussians of any kind, or of any oracles, of one shape.

    Parameters
    ----------
    weights: positive, with sum 1.
    components: one for each weight.

    >>> from subspace_sde import VE
    >>> from subspace_sde.oracles import Gaussian
    >>> two = Mixture([0.5, 0.5], [Gaussian([-1.0], [[0.1]]), Gaussian([1.0], [[0.1]])])
    >>> float(two.score(VE())(np.zeros((1, 1)), 0.3)[0, 0]).__round__(6)
    0.0
    """

    def __init__(self, weights: Sequence[float], components: Sequence[Oracle]) -> None:
        self.weights = tuple(float(w) for w in host(weights))
        self.components: tuple[Any, ...] = tuple(components)  # Any: each keeps what its kind has, a covariance say
        if len(self.weights) != len(self.components) or not self.components:
            raise ValueError("a mixture needs one weight for each component, and at least one")
        if not (all(w > 0 for w in self.weights) and abs(sum(self.weights) - 1) <= 1e-9):
            raise ValueError(f"the weights must be positive and sum to 1, got {self.weights}")
        if len({c.shape for c in self.components}) > 1:
            raise ValueError("the components must have one shape")
        self.shape = self.components[0].shape
        self.mean = np.sum([w * c.mean for w, c in zip(self.weights, self.components)], axis=0)

    @checked
    def restrict(self, subspace: Subspace) -> Mixture:
        """The law of Uᵀx."""
        return Mixture(self.weights, [c.restrict(subspace) for c in self.components])

    def _log_density(self, x: Any, t: Any, sde: IsotropicSDE) -> Any:
        logs, xp = self._joint(x, t, sde)
        highest = xp.max(logs, axis=0)
        return highest + xp.log(xp.sum(xp.exp(logs - highest), axis=0))

    @checked
    def score(self, sde: IsotropicSDE) -> KnownScore:
        """∇ log p(x, t): the components' scores s_i, weighted by their posteriors w_i.

        Its Jacobian is that of the components, Σ w_i J_i, and the covariance of their scores, Σ w_i s_i s_iᵀ − s sᵀ.
        """
        component_scores = [c.score(sde) for c in self.components]

        def weighted(x: Any, t: Any) -> list[tuple[Any, Any]]:
            logs, xp = self._joint(x, t, sde)
            weights = xp.exp(logs - xp.max(logs, axis=0))
            weights = weights / xp.sum(weights, axis=0)
            return [(over(weights[i, ...], x, len(self.shape)), s(x, t)) for i, s in enumerate(component_scores)]

        def score(x: Any, t: Any) -> Any:
            return sum(w * s for w, s in weighted(x, t))

        def product(x: Any, t: Any, v: Any) -> Any:
            parts = weighted(x, t)
            mean = sum(w * s for w, s in parts)
            found = sum(
                w * (each.vjp(x, t, v) + (s - mean) * self._inner(s - mean, v))
                for (w, s), each in zip(parts, component_scores)
            )
            return found

        return KnownScore(score, product, self.shape)

    def _inner(self, a: Any, b: Any) -> Any:
        xp = array_api_compat.array_namespace(a)
        return xp.sum(a * b, axis=tuple(range(-len(self.shape), 0)), keepdims=True)

    @property
    def _numbers(self) -> int:
        return BITS + max(int(c._numbers) for c in self.components)

    def _draw(self, z: Any, xp: Any) -> Any:
        upper = np.cumsum(self.weights)[:-1]
        which = np.searchsorted(upper, uniform(z[:, :BITS]), side="right")
        groups = [np.flatnonzero(which == i) for i in range(len(self.components))]
        index, back = (
            xp.asarray(i, device=device(z)) for i in (np.concatenate(groups), np.argsort(np.concatenate(groups)))
        )
        z, parts, start = xp.take(z[:, BITS:], index, axis=0), [], 0
        for component, group in zip(self.components, groups):
            own = z[start : start + len(group), : component._numbers]
            parts.append(component._draw(own, xp))
            start += len(group)
        return xp.take(xp.concat(parts, axis=0), back, axis=0)

    def _joint(self, x: Any, t: Any, sde: IsotropicSDE) -> tuple[Any, Any]:
        xp = array_api_compat.array_namespace(x)
        return xp.stack([math.log(w) + c._log_density(x, t, sde) for w, c in zip(self.weights, self.components)]), xp
