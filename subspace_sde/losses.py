"""Denoising score matching, for any level: eq. 8 says that the levels share α and σ, so they share this code.

A level k is trained on ``nested[k].restrict(x0)`` over all of (t_min, T), as if that were the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from .arrays import Array, Score, at_least_single, check_score, is_floating, namespace, over
from .backend import RNG, Noise
from .border import checked
from .conditions import Condition, check_condition
from .sdes import IsotropicSDE
from .sdes.base import checked_time
from .shown import Shown, brief

Weighting: TypeAlias = Callable[[IsotropicSDE, Any], Any]
"""``weighting(sde, t)``, the factor λ(t) of the squared error of the score."""


def sigma_squared(sde: IsotropicSDE, t: Any) -> Any:
    """λ = σ²: the squared error of the noise prediction (Song et al. 2021)."""
    return sde.sigma(t) ** 2


def likelihood(sde: IsotropicSDE, t: Any) -> Any:
    """λ = g²: the bound on the negative log-likelihood (Song, Durkan et al. 2021)."""
    return sde.g(t) ** 2


@checked
class edm(Shown):
    """λ of Karras et al. 2022: (σ̃² + σ_data²)/(σ̃ σ_data)² times the denoiser's squared error, σ̃ = σ/α.

    Parameters
    ----------
    sigma_data: the standard deviation of the data's entries.

    Raises ValueError for a σ_data that is not positive and finite.

    >>> edm(0.5)
    edm(sigma_data=0.5)
    """

    def __init__(self, sigma_data: float) -> None:
        if not 0 < sigma_data < math.inf:
            raise ValueError(f"sigma_data, the data's standard deviation, must be positive, got {sigma_data}")
        self.sigma_data = float(sigma_data)

    def __call__(self, sde: IsotropicSDE, t: Any) -> Any:
        noise_squared, data_squared = (sde.sigma(t) / sde.alpha(t)) ** 2, self.sigma_data**2
        # the denoiser's error is σ²/α times the score's
        return (noise_squared + data_squared) / (noise_squared * data_squared) * (sde.sigma(t) ** 4 / sde.alpha(t) ** 2)


@checked
def denoising_score_matching(
    score: Score,
    x0: Array,
    t: Array,
    sde: IsotropicSDE,
    rng: RNG,
    weighting: Weighting = sigma_squared,
    condition: Condition | None = None,
) -> Any:
    """λ(t) times the mean square of s(x(t), t) + ε/σ over the entries, one number for every element of the batch.

    Parameters
    ----------
    score: the score of a level.
    x0: (*batch, *shape), the data in that level's coordinates.
    t: (*batch,), the time of every element.
    rng: an integer, a sequence of integers, or a generator of the arrays' library. An integer starts its noise anew at
        each call, which is what a validation loss wants and training must not have: in a loop, ``rng=0`` gives every
        batch the same noise. There pass a generator that is made once, ``torch.Generator().manual_seed(0)`` or
        ``numpy.random.default_rng(0)``, in JAX a key split off at each step, or else the number of the step.
    condition: (*batch, ...), or several such arrays, as for `sample`; handed to the score behind t.

    Returns
    -------
    (*batch,): its mean over t uniform in (t_min, T) is the loss to minimise. In float32 where x0 is narrower, since
    (ε/σ)² soon exceeds what float16 holds.

    >>> import numpy as np
    >>> from subspace_sde import VE
    >>> exact = lambda x, t: -x / (1 + VE().sigma(t)[:, None] ** 2)  # of N(0, I)
    >>> x0, t = np.zeros((4, 2)), np.full(4, 0.5)
    >>> rng = np.random.default_rng(0)  # made once, before the loop
    >>> losses = [denoising_score_matching(exact, x0, t, VE(), rng) for _ in range(2)]
    >>> losses[0].shape, bool(np.any(losses[0] == losses[1]))
    ((4,), False)
    """
    if not is_floating(x0):
        raise ValueError(f"x0 must hold floating-point numbers, got {x0.dtype}: convert first, pixels to [0, 1] say")
    if not t.ndim:
        raise ValueError("t must be an array with one time for every element of the batch, of shape (N,) say")
    xp, batch, shape = namespace(x0), tuple(t.shape), tuple(x0.shape[t.ndim :])
    if tuple(x0.shape[: t.ndim]) != batch:
        raise ValueError(f"t has shape {batch}, which is not how the shape {tuple(x0.shape)} of x0 begins")
    t = checked_time(t, sde)
    noise = Noise(rng, batch, x0).normal(shape)
    clean, noise, wide = (at_least_single(values) for values in (x0, noise, t))
    alpha, sigma = (over(c, clean, len(shape)) for c in (sde.alpha(wide), sde.sigma(wide)))
    x = xp.astype(alpha * clean + sigma * noise, x0.dtype, copy=False)
    if condition is not None:
        check_condition(condition, batch)
    found = score(x, t, *(() if condition is None else (condition,)))
    check_score(found, x, "the score")
    error = at_least_single(found) + noise / sigma
    squares = xp.reshape(error * error, (*batch, math.prod(shape)))
    weights = weighting(sde, wide)
    if getattr(weights, "shape", None) != t.shape:
        raise ValueError(f"`weighting` gives one number for every t, got {brief(weights)} for {brief(t)}")
    return xp.astype(weights, squares.dtype, copy=False) * xp.mean(squares, axis=-1)
