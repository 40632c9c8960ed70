"""Derivatives of scores, and that they are those of its values.

Automatic differentiation takes for a constant what runs under ``torch.no_grad()`` or behind ``.detach()``, and says
nothing: the number that is made of it is wrong. Two things are looked at. A network's output must be recorded as a
function of its x, at every evaluation; adapters call what they were given by `followed`, because what they add hides
it. And along one direction u, seen from another one v,

    vᵀJu = vᵀ(s(x + hu) − s(x − hu))/2h

once for each score, which finds the parts of hand-made sums too, and a method ``vjp`` that is wrong. What is hidden is
found where it is more than a hundredth of all in float32, and more than a hundred-thousandth in float64; in half
precision the differences seldom prove anything.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import array_api_compat
import numpy as np

from .arrays import check_array, compiling
from .backend import backend_of, host

_TAKEN: ContextVar[str] = ContextVar("whose derivative is being taken", default="")

_CUT = "torch.no_grad(), torch.inference_mode(), .detach() or numpy inside: leave that out"


def followed(adapter: str, network: Callable[..., Any], x: Any, *rest: Any) -> Any:
    """``network(x, *rest)``; a ValueError where a derivative is being taken that does not see how it changes with x.

    A TypeError where the network returns no array, but an object that holds it, say.

    Parameters
    ----------
    adapter: who calls, for the message; "" for a score itself.

    A network that does not change with x is none to complain of. Where no derivative is being taken this costs nothing.
    """
    y = network(x, *rest)
    whose = "" if compiling() else _TAKEN.get()
    check_array(y, f"the network given to `{adapter}`" if adapter else whose)
    if whose and backend_of(x).cut_off(y, x) and _changes(network, x, y, rest):
        what = f"{whose}, in the network given to `{adapter}`," if adapter else whose
        raise ValueError(f"{what} changes with x, but its derivative is cut off, by {_CUT}")
    return y


def linearised(function: Callable[[Any], Any], x: Any, whose: str) -> tuple[Any, Callable[[Any], Any]]:
    """``function(x)``, and what gives v times its Jacobian at x, by the backend; `whose` names it in a ValueError.

    >>> import torch
    >>> y, pull_back = linearised(lambda x: x * x, torch.ones(2), "the square")
    >>> pull_back(torch.tensor([1.0, 3.0]))
    tensor([2., 6.])
    >>> # check_derivative sees it
    >>> linearised(lambda x: x * x.detach(), torch.ones(2), "the square")[1](torch.ones(2))
    tensor([1., 1.])
    >>> linearised(lambda x: x.detach() ** 2, torch.ones(2), "the square")
    Traceback (most recent call last):
    ValueError: the square changes with x, but its derivative is cut off, ...
    """
    token = _TAKEN.set(whose)
    try:
        found: tuple[Any, Callable[[Any], Any]] = backend_of(x).vjp(lambda y: followed("", function, y), x)
    except Exception as error:
        error.add_note(f"(while the derivative of {whose} was taken)")
        raise
    finally:
        _TAKEN.reset(token)
    return found


def check_derivative(
    function: Callable[[Any], Any],
    x: Any,
    scale: float,
    value: Any,
    pull_back: Callable[[Any], Any],
    whose: str,
    eps: float | None = None,
) -> None:
    """A ValueError where the Jacobian of `pull_back` is not that of ``function`` at x; two evaluations, or a few more.

    Parameters
    ----------
    function, x, value: with value = function(x), (size, ...).
    scale: what x must change by for the function to change much, σ(t) for a score.
    whose: for the message.
    eps: of the numbers that the function computes in; those of x without it.

    Where the differences up and down do not agree with each other (a random or a coarsely rounded function, a step
    across a kink), longer steps are tried, up to half of `scale`; if they prove nothing either, it passes.
    """
    backend, xp = backend_of(x), array_api_compat.array_namespace(x)
    eps = float(xp.finfo(x.dtype).eps) if eps is None else eps
    generator = backend.generator(0, x)
    u, other = (backend.normal(generator, tuple(x.shape), x) for _ in range(2))
    v = u + 0.5 * other  # not u alone, which a rotation would hide from; nor without it, for a multiple of the identity
    relative, axes = eps ** (1 / 3), tuple(range(1, x.ndim))
    largest = float(np.max(np.abs(host(x)), initial=0.0))
    at, weights, seen = host(value), host(v), (host(pull_back(v)) * host(u)).sum(axis=axes)

    def differences(step: float) -> tuple[Any, Any]:
        """vᵀJu of each sample by differences, and how far those up and down are from agreeing."""
        with backend.no_grad():
            up, down = (host(function(x + h * u)) for h in (step, -step))
        found = (weights * (up - down)).sum(axis=axes) / (2 * step)
        return found, 2 * np.linalg.norm(weights * (up - 2 * at + down)) / step

    with np.errstate(all="ignore"):  # what is not finite is named by others
        step = max(relative * scale, 16 * eps * largest)
        found, doubt = differences(step)
        size = np.linalg.norm(found) + np.linalg.norm(seen)
        while doubt > 0.1 * size and 8 * step <= 0.5 * scale:
            step *= 8
            found, doubt = differences(step)
            size = np.linalg.norm(found) + np.linalg.norm(seen)
        off = np.linalg.norm(found - seen)
        if not off > doubt + 0.3 * relative * size or not np.any(found):
            return
        # a network that computes in fewer digits than it is given does not see short steps
        far, _ = differences(max(8 * step, largest / 16))
        if np.linalg.norm(far - seen) < 0.5 * off:
            return
    i = int(np.argmax(np.abs(found - seen)))
    raise ValueError(
        f"the derivative of {whose} is not that of its values ({seen[i]:.4g} in a direction where differences give "
        f"{found[i]:.4g}): a part of it is cut off, by {_CUT}; or its method vjp, if it has one, is wrong"
    )


def _changes(network: Callable[..., Any], x: Any, y: Any, rest: tuple[Any, ...]) -> bool:
    xp, token = array_api_compat.array_namespace(x), _TAKEN.set("")
    try:
        with backend_of(x).no_grad():
            moved = network(x + 0.1 * (1 + xp.abs(x)), *rest)
    finally:
        _TAKEN.reset(token)
    return not np.array_equal(host(moved), host(y), equal_nan=True)
