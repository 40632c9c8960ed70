"""Scores from the networks people have: noise prediction, denoiser, velocity, guidance.

With x = α x(0) + σ ε, the score of p(x(t)) is s(x, t) = −E[ε|x]/σ = (α E[x(0)|x] − x)/σ². Every function here
takes a callable ``(x, t)``, with x of shape ``(*batch, *shape)`` and t a float or an array over the batch, and
returns another; a condition (class labels, say) behind t is handed on. What is no callable or no SDE is a TypeError
at once, and a t outside of [t_min, T] a ValueError when it comes, unless it cannot be read: on a device, or traced.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import array_api_compat
import numpy as np

from ..arrays import Array, Score, device, is_floating, log, over, sqrt
from ..backend import host, readable
from ..border import checked
from ..conditions import each
from ..derivatives import followed
from ..sdes import IsotropicSDE
from ..shown import brief

ConditionalScore: TypeAlias = Callable[[Any, Any, Any], Any]
"""``score(x, t, condition)``, with one entry of the condition for every element of the batch, in each of its arrays."""


def _c(coefficient: Any, t: Any, x: Any) -> Any:
    """A coefficient ready to multiply x: an array over the batch gets the trailing axes of x."""
    return over(coefficient, x, x.ndim - getattr(t, "ndim", 0))


def _given(adapter: str, network: Score) -> Score:
    """`network` as `adapter` calls it, so that a derivative sees what it does not see."""

    def called(x: Any, t: Any, *condition: Any) -> Any:
        return followed(adapter, network, x, t, *condition)

    return called


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    return float(value)


def _inside(t: Any, sde: IsotropicSDE) -> None:
    """A ValueError where t leaves [t_min, T] by more than rounding, if it is `readable`."""
    slack = 1e-6 * max(abs(sde.t_min), abs(sde.T))
    if isinstance(t, (int, float)):
        least = most = float(t)
    elif readable(t) and math.prod(t.shape):
        values = host(t)
        least, most = float(values.min()), float(values.max())
        slack *= max(1.0, 4e6 * float(array_api_compat.array_namespace(t).finfo(t.dtype).eps))
    else:
        return
    if not (sde.t_min - slack <= least and most <= sde.T + slack):
        got = f"{least:g}" if least == most else f"values from {least:g} to {most:g}"
        raise ValueError(f"t must lie in [{sde.t_min:g}, {sde.T:g}], the times of {sde!r}, got {got}")


@checked
def from_noise(network: Score, sde: IsotropicSDE) -> Score:
    """The score of a network that predicts the noise ε: s = −ε/σ.

    >>> import numpy as np
    >>> from subspace_sde import VE
    >>> score = from_noise(lambda x, t: x, VE())
    >>> score(np.ones((2, 3)), 1.0)[0].round(3)
    array([-0.02, -0.02, -0.02])
    """
    network = _given("from_noise", network)

    def score(x: Any, t: Any, *condition: Any) -> Any:
        _inside(t, sde)
        return -network(x, t, *condition) / _c(sde.sigma(t), t, x)

    return score


@checked
def from_denoiser(network: Score, sde: IsotropicSDE) -> Score:
    """The score of a network that predicts x(0): s = (α D − x)/σ²."""
    network = _given("from_denoiser", network)

    def score(x: Any, t: Any, *condition: Any) -> Any:
        _inside(t, sde)
        return (_c(sde.alpha(t), t, x) * network(x, t, *condition) - x) / _c(sde.sigma(t) ** 2, t, x)

    return score


@checked
def from_velocity(network: Score, sde: IsotropicSDE) -> Score:
    """The score of a network that predicts the velocity α' x(0) + σ' ε of flow matching: s = 2 (f x − v)/g².

    This v is the probability-flow ODE's dx/dt (eq. 3); for the "v-prediction" α ε − σ x(0) of distilled
    variance-preserving models see `from_v_prediction`.
    """
    network = _given("from_velocity", network)

    def score(x: Any, t: Any, *condition: Any) -> Any:
        _inside(t, sde)
        return (_c(sde.f(t), t, x) * x - network(x, t, *condition)) * _c(2 / sde.g(t) ** 2, t, x)

    return score


@checked
def from_v_prediction(network: Score, sde: IsotropicSDE) -> Score:
    """The score of a network that predicts v = α ε − σ x(0) (Salimans and Ho 2022): ε = (α v + σ x)/(α² + σ²)."""
    network = _given("from_v_prediction", network)

    def score(x: Any, t: Any, *condition: Any) -> Any:
        _inside(t, sde)
        alpha, sigma = sde.alpha(t), sde.sigma(t)
        norm = sigma * (alpha**2 + sigma**2)
        return -(_c(alpha / norm, t, x) * network(x, t, *condition) + _c(sigma / norm, t, x) * x)

    return score


@checked
def denoiser(score: Score, sde: IsotropicSDE) -> Score:
    """E[x(0) | x(t)] = (x + σ² s)/α, the inverse of `from_denoiser` (Tweedie)."""
    score = _given("denoiser", score)

    def denoised(x: Any, t: Any, *condition: Any) -> Any:
        _inside(t, sde)
        return (x + _c(sde.sigma(t) ** 2, t, x) * score(x, t, *condition)) / _c(sde.alpha(t), t, x)

    return denoised


@checked
def probability_flow(score: Score, sde: IsotropicSDE) -> Score:
    """The velocity dx/dt = f x − ½ g² s of the probability-flow ODE (eq. 3), the inverse of `from_velocity`."""
    score = _given("probability_flow", score)

    def velocity(x: Any, t: Any, *condition: Any) -> Any:
        _inside(t, sde)
        f, pulled = sde.f(t), _c(-0.5 * sde.g(t) ** 2, t, x) * score(x, t, *condition)
        if isinstance(f, float) and f == 0:  # VE and EDM have no drift: a pass over x is saved
            return pulled
        return _c(f, t, x) * x + pulled

    return velocity


@checked
def precondition(network: Score, sde: IsotropicSDE, sigma_data: float, mean: float = 0.0) -> Score:
    """The denoiser of a raw network by the preconditioning of Karras et al. 2022 (EDM), for any α and σ.

    Parameters
    ----------
    network: called as ``network(inputs, c_noise)`` with inputs of about unit variance and c_noise = log(σ/α)/4.
    sigma_data, mean: standard deviation and mean of the data's entries.

    Raises ValueError for a standard deviation that is not positive and finite, and a mean that is not finite.
    """
    sigma_data, mean = _finite("sigma_data", sigma_data), _finite("mean", mean)
    if not sigma_data > 0:
        raise ValueError(f"sigma_data is a standard deviation and positive, got {sigma_data:g}")

    def denoised(x: Any, t: Any, *condition: Any) -> Any:
        _inside(t, sde)
        alpha, noise = sde.alpha(t), sde.sigma(t) / sde.alpha(t)
        total = noise**2 + sigma_data**2
        centred = x / _c(alpha, t, x) - mean
        raw = followed("precondition", network, centred * _c(1 / sqrt(total), t, x), log(noise) / 4, *condition)
        return mean + _c(sigma_data**2 / total, t, x) * centred + _c(noise * sigma_data / sqrt(total), t, x) * raw

    return denoised


@checked
def guided(
    score: ConditionalScore,
    weight: float,
    unconditional: float | Array | Sequence[float | Array] | Mapping[str, float | Array],
) -> ConditionalScore:
    """Classifier-free guidance (Ho and Salimans 2022): s(x, t, ∅) + w (s(x, t, c) − s(x, t, ∅)).

    Each level has a weight of its own: ``[guided(s, w, ∅) for s, w in zip(scores, weights)]``, and
    ``sample(..., condition=labels)``. Both scores come from one call on a batch twice as large; a weight of 1 or 0
    takes one of them alone.

    Parameters
    ----------
    score: called as ``score(x, t, condition)``, with at least one leading axis.
    weight: w; 1 samples the condition, more sharpens it.
    unconditional: ∅, the entry of the condition's array that stands for none; a number, or an array of one entry.
        Where the condition is a tuple or mapping of arrays, one of such entries.

    Raises ValueError for a weight that is not finite, and for an ∅ that is none of the labels' dtype, shape or kind.

    >>> import numpy as np
    >>> toward = lambda x, t, c: c[:, None] - x  # the score of N(c, I)
    >>> guided(toward, 2.0, 0)(np.zeros((1, 3)), 0.5, np.asarray([1.0]))
    array([[2., 2., 2.]])
    """
    weight, nothing = _finite("the weight of guidance", weight), each(_Nothing, unconditional)

    def both(x: Any, t: Any, condition: Any) -> Any:
        if weight == 1:
            return followed("guided", score, x, t, condition)
        none = each(lambda labels, entry: entry.like(labels), condition, nothing)
        if weight == 0:
            return followed("guided", score, x, t, none)
        xp = array_api_compat.array_namespace(x)
        twice = t if isinstance(t, (int, float)) or not t.ndim else xp.concat([t, t])
        behind = each(
            lambda labels, empty: array_api_compat.array_namespace(labels).concat([labels, empty]), condition, none
        )
        s = followed("guided", score, xp.concat([x, x]), twice, behind)
        given, free = s[: x.shape[0], ...], s[x.shape[0] :, ...]
        return free + weight * (given - free)

    return both


class _Nothing:
    """∅: what stands for none in one of the condition's arrays."""

    def __init__(self, entry: float | Array) -> None:
        numbers = host(entry)
        if not np.all(np.isfinite(numbers)):
            raise ValueError(f"unconditional is an entry of the condition's array, and finite, got {brief(entry)}")
        self._entry, self._whole, self._shape = entry, bool(np.all(numbers == np.round(numbers))), numbers.shape

    def like(self, labels: Any) -> Any:
        """∅ for every sample, in an array as `labels` is one."""
        n, shape = len(self._shape), tuple(labels.shape)
        if n > len(shape) or any(a not in (1, b) for a, b in zip(self._shape, shape[len(shape) - n :])):
            raise ValueError(f"unconditional is an entry of the condition's array, {shape}, got one of {self._shape}")
        if not (self._whole or is_floating(labels)):
            raise ValueError(
                f"unconditional is an entry of the condition's array, of {labels.dtype}, got {brief(self._entry)}"
            )
        xp, kind = array_api_compat.array_namespace(labels), {"dtype": labels.dtype, "device": device(labels)}
        if isinstance(self._entry, (int, float)):
            return xp.full(shape, self._entry, **kind)  # made where it is needed: no copy from the host
        return xp.broadcast_to(xp.asarray(self._entry, **kind), shape)
