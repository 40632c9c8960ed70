"""The probability flow as a code: x to a latent that is standard normal under the model, and back.

The latent has the shape of x. Its part in V_K is x_K(T)/σ(T), and its part in V_{k-1} ⊖ V_k is the complement
x⊥_{k|k-1}(t_k), less its mean and in units of √Σ⊥_{k|k-1}(t_k):

    z = U_K x_K(T)/σ(T) + Σ_k U_{k-1} (x⊥_{k|k-1}(t_k) − α(t_k) μ⊥_k)/√Σ⊥_{k|k-1}(t_k)

So ``process.subspaces[k].project(z)`` is what stage k and those above it know, and `latent_parts` takes z apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..arrays import Score, at_least_single, device, is_floating, namespace, root
from ..backend import backend_of, host
from ..border import checked
from ..conditions import Condition
from ..process import SubspaceSDE
from ..progress import Bar
from ..sdes import Spacing
from ..solvers import Solver
from .flow import Flow, join, split


@checked
def encode(
    process: SubspaceSDE,
    scores: Sequence[Score],
    x: Any,
    solver: Solver | None = None,
    steps: int | Sequence[float] = 1000,
    *,
    spacing: Spacing | None = None,
    condition: Condition | None = None,
    progress: bool = False,
) -> Any:
    """The latent of x, taken for x(t_min): an array like x, standard normal where x has the model's law.

    Parameters
    ----------
    process, scores: as for `sample`; above t_1 nothing has the size of x.
    x: (*batch, *ambient_shape); of half precision it is followed in float32, and the scores are called with half.
    solver: any that draws no noise, `Heun()` without it.
    steps, spacing, condition, progress: those of `sample`.

    Raises ValueError for x of another shape or not finite, and for a solver that draws noise.

    >>> import numpy as np
    >>> from subspace_sde import VE, Downsampling, NestedSubspaces
    >>> process = SubspaceSDE(
    ...     VE(), NestedSubspaces([Downsampling((4,), 2, axes=(-1,))]), [0.5], [1.0]
    ... )
    >>> # data N(0, I), so that the latent is x itself
    >>> normal = lambda x, t: -x / (1 + process.sde.sigma(t) ** 2)
    >>> z = encode(process, [normal, normal], np.asarray([0.3, -1.0, 0.0, 2.0]))
    >>> z.round(3) + 0.0
    array([ 0.3, -1. ,  0. ,  2. ])
    >>> decode(process, [normal, normal], z).round(3) + 0.0
    array([ 0.3, -1. ,  0. ,  2. ])
    """
    flow = Flow(process, scores, x, solver, steps, spacing, condition)
    y, complements = flow.flat(x), []
    with Bar(progress, "encode", total=flow.steps) as bar, backend_of(x).no_grad():
        flow.showing(bar)
        for k, score in enumerate(flow.scores):
            y = flow.up(k, y, score)
            if k < process.K:
                y, c = split(process, k + 1, y, process.times[k])
                complements.append(c)
        z, xp = y / process.sde.prior_std, namespace(y)
        for step, c in zip(reversed(process.subspaces.steps), reversed(complements)):
            z = step._embed(z, xp) + c
    return flow.unflat(z)


@checked
def decode(
    process: SubspaceSDE,
    scores: Sequence[Score],
    z: Any,
    solver: Solver | None = None,
    steps: int | Sequence[float] = 1000,
    *,
    spacing: Spacing | None = None,
    condition: Condition | None = None,
    progress: bool = False,
) -> Any:
    """x(t_min) from its latent, the inverse of `encode` to the solver's tolerance; a normal z gives a sample.

    z is (*batch, *ambient_shape); the rest, and what is refused, as in `encode`.
    """
    flow = Flow(process, scores, z, solver, steps, spacing, condition)
    xp, known = namespace(z), [flow.flat(z)]
    for step in process.subspaces.steps:
        known.append(step._restrict(known[-1], xp))
    x = process.sde.prior_std * known[-1]
    with Bar(progress, "decode", total=flow.steps) as bar, backend_of(z).no_grad():
        flow.showing(bar)
        for k in reversed(range(process.K + 1)):
            if k < process.K:
                x = join(process, k + 1, x, known[k], process.times[k])
            x = flow.down(k, x, flow.scores[k])
    return flow.unflat(x)


@checked
def latent_parts(process: SubspaceSDE, z: Any) -> list[Any]:
    """The states that a latent stands for: x⊥_{k|k-1}(t_k) for k = 1 … K, and x_K(T).

    Parameters
    ----------
    z: (*batch, *ambient_shape), of `encode`.

    Returns
    -------
    K arrays (*batch, *shape(k − 1)), means included, and one (*batch, *shape(K)).

    >>> import numpy as np
    >>> from subspace_sde import VE, Downsampling, NestedSubspaces
    >>> process = SubspaceSDE(
    ...     VE(), NestedSubspaces([Downsampling((2,), 2, axes=(-1,))]), [0.5], [2.0]
    ... )
    >>> [part.round(2) for part in latent_parts(process, np.asarray([2.0, 0.0]))]
    [array([ 1.58, -1.58]), array([70.71])]
    """
    process._check_whole(z)
    xp, parts = namespace(z), []
    for k, (step, t) in enumerate(zip(process.subspaces.steps, process.times), start=1):
        inner = step._restrict(z, xp)
        parts.append(join(process, k, 0 * inner, z, t))
        z = inner
    return [*parts, process.sde.prior_std * z]


@checked
def interpolate(a: Any, b: Any, weights: Sequence[float]) -> Any:
    """Latents on the great circle from `a` to `b` (slerp), as long as normal ones are where these two are normal.

    Parameters
    ----------
    a, b: two latents, of any one shape.
    weights: 0 for a, 1 for b.

    Returns
    -------
    (len(weights), *shape), for `decode`.

    Raises ValueError for two shapes, for latents that are complex, zero or point opposite ways, and for weights not
    finite.

    >>> import numpy as np
    >>> one, other = np.asarray([1.0, 0.0]), np.asarray([0.0, 1.0])
    >>> interpolate(one, other, [0.0, 0.5, 1.0]).round(3) + 0.0
    array([[1.   , 0.   ],
           [0.707, 0.707],
           [0.   , 1.   ]])
    """
    xp = namespace(a, b)
    if a.shape != b.shape:
        raise ValueError(f"two latents of one shape are needed, got {tuple(a.shape)} and {tuple(b.shape)}")
    if not is_floating(a):
        raise ValueError(f"latents hold real floating-point numbers, got {a.dtype}")
    if not all(math.isfinite(w) for w in weights):
        raise ValueError(f"the weights of an interpolation are finite, 0 for a and 1 for b, got {list(weights)}")
    u, v = (at_least_single(latent) for latent in (a, b))
    lengths = [xp.sqrt(xp.sum(w * w)) for w in (u, v)]
    known = all(backend_of(length).concrete(length) for length in lengths)
    if known and not all(host(length) > 0 for length in lengths):
        raise ValueError("a latent that is zero has no direction: interpolate between others")
    # of unit vectors, half the angle: exact for small angles too, where the cosine is not
    u, v = u / lengths[0], v / lengths[1]
    angle = 2 * xp.atan2(root(xp.sum((u - v) ** 2)), root(xp.sum((u + v) ** 2)))
    if known and math.pi - host(angle) < 1e-3:
        raise ValueError("the two latents point opposite ways, and no great circle between them is the shortest")
    apart = angle > 1e-6
    some = xp.where(apart, angle, xp.ones_like(angle))

    def share(w: float) -> Any:
        return xp.astype(xp.where(apart, xp.sin(w * some) / xp.sin(some), w * xp.ones_like(some)), a.dtype)

    rows = [share(1 - w) * a + share(w) * b for w in weights]
    return xp.stack(rows) if rows else xp.zeros((0, *a.shape), dtype=a.dtype, device=device(a))
