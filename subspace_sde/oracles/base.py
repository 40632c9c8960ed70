"""What every oracle gives: a score, a density and draws at any noise, on the full space and on every level."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import Array, Score, Time, check_trailing, namespace, over
from ..backend import RNG, Noise, backend_of
from ..border import checked
from ..sdes import IsotropicSDE
from ..sdes.base import checked_time
from ..shown import Shown
from ..subspaces import Subspace

BITS = 53  # of a number between 0 and 1


class KnownScore(Shown):
    """A score with the product of its Jacobian J in closed form, so that it is differentiated on any array library.

    J is a Hessian, symmetric: Jᵀv = Jv.
    """

    def __init__(self, score: Score, product: Callable[[Any, Any, Any], Any], shape: tuple[int, ...]) -> None:
        self._score, self._product, self._shape = score, product, shape

    @checked
    def __call__(self, x: Array, t: Time) -> Any:
        """∇ log p(x, t)."""
        check_trailing("score", x, self._shape)
        return self._score(x, t)

    def vjp(self, x: Any, t: Any, v: Any) -> Any:
        """v times the Jacobian at (x, t), of the shape of x."""
        return self._product(x, t, v)


class Oracle(Shown, ABC):
    """A law of x(0), for which everything about x(t) = α x(0) + σ ε is known exactly.

    A subclass says what one draw makes of `_numbers` standard normal numbers; sample i then depends on its own stream
    alone, for a mixture as for a Gaussian.

    Attributes
    ----------
    shape: of one draw.
    mean: E x(0), a numpy array of that shape.
    """

    shape: tuple[int, ...]
    mean: np.ndarray[Any, Any]

    @abstractmethod
    def score(self, sde: IsotropicSDE) -> KnownScore:
        """``score(x, t)`` = ∇ log p(x, t), exact; x of shape (*batch, *shape), t a float or an array over the batch.

        With a method ``vjp(x, t, v)``, v times the Jacobian, exact too.
        """

    @checked
    def log_density(self, x: Array, t: Time, sde: IsotropicSDE) -> Any:
        """log p(x, t) in nats, (*batch,); x and t as for the score, t in [t_min, T]."""
        check_trailing("log_density", x, self.shape)
        return self._log_density(x, checked_time(t, sde), sde)

    @abstractmethod
    def _log_density(self, x: Any, t: Any, sde: IsotropicSDE) -> Any:
        """What `log_density` gives."""

    @abstractmethod
    def restrict(self, subspace: Subspace) -> Oracle:
        """The law of the coordinates Uᵀx(0). Noise stays noise there, so that it is an oracle of the level."""

    @property
    @abstractmethod
    def _numbers(self) -> int:
        """How many standard normal numbers one draw takes."""

    @abstractmethod
    def _draw(self, z: Any, xp: Any) -> Any:
        """(num, *shape) from standard normal numbers z, (num, _numbers)."""

    @checked
    def sample(self, num: int, rng: RNG, like: Array | None = None) -> Any:
        """Exact draws of x(0), (num, *shape).

        Parameters
        ----------
        num: how many.
        rng: an integer, a sequence of `num` integers, or a backend's generator. Noise drawn elsewhere from the same
            integer repeats theirs: take another, or `sample_at` for noisy draws.
        like: an array whose library, device and dtype are used; numpy float64 without it.
        """
        return self._clean(self._noise(num, rng, like))

    @checked
    def sample_at(self, t: Time, sde: IsotropicSDE, num: int, rng: RNG, like: Array | None = None) -> Any:
        """Exact draws of x(t) = α x(0) + σ ε, (num, *shape): x(0) as from `sample`, and ε independent of it.

        t is a float, or an array (num,); the rest as in `sample`.

        >>> from subspace_sde import VE
        >>> from subspace_sde.oracles import Empirical
        >>> x = Empirical(np.asarray([[-3.0], [3.0]])).sample_at(0.3, VE(), num=500, rng=0)
        >>> bool(abs(np.std(np.abs(x)) - VE().sigma(0.3)) < 0.01)  # the two points, blurred
        True
        """
        noise, t = self._noise(num, rng, like), checked_time(t, sde)
        x = self._clean(noise)
        alpha, sigma = (over(c, x, len(self.shape)) for c in (sde.alpha(t), sde.sigma(t)))
        return alpha * x + sigma * noise.normal(self.shape)

    def _clean(self, noise: Noise) -> Any:
        z = noise.normal((self._numbers,))
        return self._draw(z, namespace(z))

    @staticmethod
    def _noise(num: int, rng: RNG, like: Any) -> Noise:
        like = np.zeros(()) if like is None else like
        namespace(like)
        return Noise(rng, (num,), like)


def uniform(z: Any) -> np.ndarray[Any, Any]:
    """Numbers in [0, 1) on the host, (num,), from normal ones (num, BITS): their signs are fair bits in every dtype.

    >>> uniform(np.asarray([[1.0] + [-1.0] * (BITS - 1)])).tolist()
    [0.5]
    """
    digits: np.ndarray[Any, Any] = backend_of(z).to_numpy(z > 0) @ 0.5 ** np.arange(1, BITS + 1)
    return digits
