"""The score of what is seen at another scale: another process, another data range, or another level.

A network that was trained under (α', σ') on a y + b is the score of c y under (α, σ) by

    s(x, t) = r s'(r x + α'(t') b, t'),    r = α'(t') a / (α(t) c),
    log_snr'(t') = log_snr(t) + 2 log(c/a)

With one process, a = 1 and b = 0 that is every level's score from one network, where the level's coordinates are c
times a smaller array of the same kind (`Subspace.coordinate_scale`): s_k(z, σ) = s'(z/c, σ/c)/c on VE.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import Array, Score, check_score, check_trailing, positive_integer
from ..backend import Constant, host
from ..border import check, checked
from ..derivatives import followed
from ..sdes import IsotropicSDE
from ..sdes.base import checked_time
from ..shown import brief
from ..subspaces import NestedSubspaces, Subspace
from .conversions import _c


@checked
def change_process(
    score: Score,
    trained: IsotropicSDE,
    sde: IsotropicSDE,
    scale: Any = 1.0,
    offset: float | Array = 0.0,
    coordinate_scale: float = 1.0,
) -> Score:
    """The score under `sde` of a level whose network was trained under another process and another data range.

    The network has seen ``scale · y + offset`` under `trained`, where the level's coordinates are
    ``coordinate_scale · y``: √(product of factors) for block means y, √Π(N/size) for `LowPass`. Then
    s(x, t) = r s'(r x + α'(t') · offset, t') with log_snr'(t') = log_snr(t) + 2 log(coordinate_scale/scale) and
    r = α'(t') scale/(α(t) coordinate_scale). With ``coordinate_scale=1`` it converts between VE, VP, EDM and
    flow checkpoints and between data ranges.

    Parameters
    ----------
    scale: a positive number, one for all coordinates: noise is isotropic before and after.
    offset: a number, or an array of any library that broadcasts over the coordinates, (channels, 1, 1) say.
    coordinate_scale: `Subspace.coordinate_scale`, where the subspace has one.

    Raises
    ------
    TypeError: a scale that is an array.
    ValueError: a scale that is not positive, an offset that is not finite or does not fit x; when called, a t whose t'
        leaves the range on which the network was trained.

    >>> import numpy as np
    >>> from subspace_sde import VE, VP
    >>> ve, vp = VE(), VP()
    >>> def normal_under(sde):  # the score of N(0, I) data
    ...     return lambda x, t: -x / (sde.alpha(t) ** 2 + sde.sigma(t) ** 2)
    >>> converted = change_process(normal_under(vp), vp, ve)
    >>> x = np.ones(3)
    >>> bool(np.allclose(converted(x, 0.4), normal_under(ve)(x, 0.4)))
    True
    """
    if isinstance(scale, (list, tuple)) or len(getattr(scale, "shape", ())) > 0:
        raise TypeError(
            "scale is one number for all coordinates: with several, noise that is isotropic for the network would not "
            f"be so here; got {type(scale).__name__} of shape {np.shape(scale)}"
        )
    check("scale", scale, float)
    if not (0 < scale < math.inf and 0 < coordinate_scale < math.inf):
        raise ValueError(f"scale and coordinate_scale must be positive, got {scale} and {coordinate_scale}")
    b = Constant(host(offset))
    if not np.all(np.isfinite(b.value)):
        raise ValueError(f"offset must be finite, got {brief(offset)}")
    shift = 2 * math.log(coordinate_scale / scale)

    def converted(x: Any, t: Any, *condition: Any) -> Any:
        then = trained.time_at_log_snr(sde.log_snr(t) + shift)
        alpha = trained.alpha(then)
        r = _c(alpha / sde.alpha(t) * (scale / coordinate_scale), t, x)
        return r * followed("change_process", score, r * x + _moved(b, alpha, t, x), then, *condition)

    return converted


def _moved(offset: Constant, alpha: Any, t: Any, x: Any) -> Any:
    """α' b, for x of shape (*batch, *shape); the batch is that of t, and unknown where t is a number."""
    if not offset.value.ndim:
        return _c(alpha * float(offset.value), t, x)
    shape, coordinates = offset.value.shape, tuple(x.shape[getattr(t, "ndim", 0) :])
    behind = coordinates[max(len(coordinates) - len(shape), 0) :]
    if len(shape) > len(coordinates) or any(n not in (1, m) for n, m in zip(shape, behind)):
        raise ValueError(f"the offset has shape {shape}, which does not broadcast over coordinates of {coordinates}")
    return _c(alpha, t, x) * offset.like(x)


@checked
def at_level(score: Score, sde: IsotropicSDE, subspace: Subspace) -> Score:
    """s_k of a level from the network of the full space, which takes arrays of any size: s_k(z, t) = r s'(r z, t').

    The level's coordinates are c times a smaller array y of the same kind, so that z is the network's own kind of input
    at c times the noise: log_snr(t') = log_snr(t) + 2 log c and r = α(t')/(α(t) c) in `change_process`. The result is
    exact where the network is the score of such smaller arrays. One that has seen them in training is; one that has
    not is as far as its data look alike at several scales: `subspace_sde.divergence.level_error` measures how far.

    Parameters
    ----------
    score: of the full space, called with x of shape (*batch, *subspace.shape). It may say by an attribute
        `multiple_of`, a whole number, which lengths it takes along the axes that the subspace shortens.
    sde: the process under which it was trained, and that of the level.
    subspace: U_k, with a `coordinate_scale`.

    Raises
    ------
    ValueError: a subspace without a `coordinate_scale`; lengths that are no multiples of ``score.multiple_of``; when
        called, a t below the first at which t' lies in [t_min, T], and whatever the network raises for this size.

    >>> import numpy as np
    >>> from subspace_sde import VE, LowPass
    >>> sde = VE()
    >>> def any_size(x, t):  # the score of independent N(0.5, 0.04) pixels
    ...     return (0.5 - x) / (0.04 + sde.sigma(t) ** 2)
    >>> level = at_level(any_size, sde, LowPass((3, 32, 32), 20))
    >>> # grey images are 1.6 times grey: the mean of the level
    >>> z = np.full((1, 3, 20, 20), 0.5 * 1.6)
    >>> float(np.max(np.abs(level(z, 0.6))))
    0.0
    """
    c, shape = subspace.coordinate_scale, subspace.shape
    if c is None:
        raise ValueError(
            f"{subspace!r} has no coordinate_scale, its coordinates are no smaller arrays of the same kind: the "
            "network of the full space cannot serve it; train one for it, or take a LowPass, Downsampling or Wavelet"
        )
    multiple_of = getattr(score, "multiple_of", 1)
    check("multiple_of of the score", multiple_of, int)
    _check_lengths(positive_integer("multiple_of of the score", multiple_of), subspace)
    first, last = times_of_level(sde, subspace)
    hint = f": beyond, {subspace!r} needs the network at another noise than it knows, that of t divided by {c:.4g}"

    def of_this_size(y: Any, t: Any, *condition: Any) -> Any:
        try:
            s = score(y, t, *condition)
        except Exception as error:
            raise ValueError(
                f"the network fails on arrays of shape {shape}, the size of this level, where it is that of "
                f"{subspace.ambient_shape} (if it is the size, take one that it knows): {type(error).__name__}: {error}"
            ) from error
        check_score(s, y, f"the network on arrays of shape {shape}, the size of this level,")
        return s

    converted = change_process(of_this_size, sde, sde, coordinate_scale=c)

    def level(x: Any, t: Any, *condition: Any) -> Any:
        check_trailing("at_level", x, shape)
        return converted(x, checked_time(t, sde, first, last, hint), *condition)

    return level


@checked
def shared(score: Score, sde: IsotropicSDE, subspaces: NestedSubspaces) -> list[Score]:
    """s_0 … s_K from the network of the full space: itself, and `at_level` of each U_k.

    Raises ValueError as `at_level` does.

    >>> from subspace_sde import VE, LowPass
    >>> nested = NestedSubspaces.from_subspaces(
    ...     [LowPass((3, 32, 32), 20), LowPass((3, 32, 32), 12)]
    ... )
    >>> len(shared(lambda x, t: -x, VE(), nested))
    3
    """
    return [score, *(at_level(score, sde, subspace) for subspace in subspaces[1:])]


def times_of_level(sde: IsotropicSDE, subspace: Subspace) -> tuple[float, float]:
    """The first and the last t at which `at_level` is defined, for a subspace with a `coordinate_scale`."""
    c = subspace.coordinate_scale
    assert c is not None
    first, last = (sde.time_at_log_snr(sde.log_snr(end) - 2 * math.log(c), clip=True) for end in (sde.t_min, sde.T))
    return float(first), float(last)


def _check_lengths(m: int, subspace: Subspace) -> None:
    for before, n in zip(subspace.ambient_shape, subspace.shape):
        if n != before and n % m:
            near = [str(k) for k in (n - n % m, n - n % m + m) if 0 < k < before]
            raise ValueError(
                f"the network takes lengths that are multiples of {m}, its `multiple_of`, and {subspace!r} has {n}"
                + (f": take {' or '.join(near)}" if near else "")
            )
