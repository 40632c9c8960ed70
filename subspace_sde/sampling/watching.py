"""What is watched while scores are followed: what they return, that the state stays finite, and their training mode."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from types import CodeType
from typing import Any

import array_api_compat
import numpy as np

from ..arrays import Score, at_least_single, check_score, device, is_floating
from ..backend import backend_of, on_host
from ..derivatives import check_derivative, linearised
from ..sdes import IsotropicSDE
from ..solvers import Solver
from ..solvers.base import Draw


class Checked:
    """A score that counts its calls, is given the condition, and refuses what is not a score of x.

    `seen` is told (level, t) at each call.
    """

    def __init__(
        self, score: Score, level: int, condition: Any = None, seen: Callable[[int, Any], None] | None = None
    ) -> None:
        self._score, self._level, self._seen = score, level, seen
        self._whose, self.calls = f"the score of level {level}", 0
        self._more = () if condition is None else (condition,)

    def __call__(self, x: Any, t: Any) -> Any:
        self.calls += 1
        if self._seen is not None:
            self._seen(self._level, t)
        s = self._score(x, t, *self._more)
        check_score(s, x, self._whose)
        return s

    def linearised(self, x: Any, t: float) -> tuple[Any, Callable[[Any], Any]]:
        """The score at (x, t), and what gives v times its Jacobian: its own method ``vjp(x, t, v)`` if it has one."""
        own = getattr(self._score, "vjp", None)
        if own is None:
            return linearised(lambda y: self(y, t), x, self._whose)
        return self(x, t), lambda v: own(x, t, v, *self._more)

    def check_derivative(self, x: Any, t: float, sigma: float) -> None:
        """`subspace_sde.derivatives.check_derivative` at (x, t): three evaluations, which are not counted."""
        calls = self.calls
        check_derivative(lambda y: self(y, t), x, sigma, *self.linearised(x, t), self._whose)
        self.calls = calls


class Guard:
    """Names the first step at which a sample is not finite: read at once on the host, every 50 steps on a device."""

    def __init__(self, level: int, first: int) -> None:
        self._level, self._first = level, first
        self._flags: list[Any] = []
        self._where: list[tuple[float, int]] = []

    def watch(self, x: Any, t: float, step: int) -> None:
        if not backend_of(x).concrete(x):  # within a transformation nothing can be said of it
            return
        xp, host = array_api_compat.array_namespace(x), on_host(x)
        with np.errstate(over="ignore", invalid="ignore"):
            if host and math.isfinite(float(xp.sum(x))):  # one pass: no NaN or infinity adds up to a finite number
                return
        self._flags.append(xp.all(xp.isfinite(xp.reshape(x, (x.shape[0], math.prod(x.shape[1:])))), axis=-1))
        self._where.append((t, step))
        if host or len(self._flags) == 50:
            self.read()

    def read(self) -> None:
        if not self._flags:
            return
        xp = array_api_compat.array_namespace(self._flags[0])
        flags = xp.stack(self._flags)
        if not bool(xp.all(flags)):
            bad = np.argwhere(~backend_of(flags).to_numpy(flags))[0]
            t, step = self._where[bad[0]]
            cause = "the score returned NaN or infinity, or the steps are too large"
            if step == 0:
                cause = "what the stage begins with is not: the start, the injected noise or its Langevin steps"
            raise ValueError(
                f"the state is not finite on level {self._level} at t = {t:.6g} (step {step} of that level), "
                f"sample {self._first + bad[1]}: {cause}"
            )
        self._flags, self._where = [], []


def steps_of(
    solver: Solver, x: Any, times: Sequence[float], score: Score, sde: IsotropicSDE, noise: Draw, guard: Guard
) -> Iterator[tuple[int, float, Any]]:
    """(number, s, x(s)) for each step of a stage, the first of number 1, watched by `guard`.

    Raises ValueError for a solver that yields x at a time that is none of `times`, or ends before the last of them.
    """
    numbers, s = {t: i for i, t in enumerate(times)}, times[0]
    for s, reached in solver.stage(x, times, score, sde, noise):
        if s not in numbers:
            raise ValueError(f"{type(solver).__name__} yields x at t = {s!r}, which is no time of its stage")
        guard.watch(reached, s, numbers[s])
        yield numbers[s], s, reached
    if s != times[-1]:
        raise ValueError(f"{type(solver).__name__} ends at t = {s!r}, before the end of its stage, t = {times[-1]!r}")
    guard.read()


def warn_of_training(scores: Sequence[Score]) -> None:
    """A warning for each score that is a network in training mode, or leads to one."""
    for k, score in enumerate(scores):
        if any(network.training for network in _networks(score)):
            warnings.warn(
                f"the score of level {k} is a network in training mode, where dropout and batch statistics disturb "
                "what it says: call its .eval() first",
                stacklevel=4,
            )


def network_like(scores: Sequence[Score]) -> Any:
    """An array of no axes on the device of the first network behind the scores, in float32 or as wide as its weights.

    None where there is no network that has weights on a device.
    """
    for network in (network for score in scores for network in _networks(score)):
        for weights in getattr(network, "parameters", tuple)():
            if is_floating(weights) and str(device(weights)) != "meta":
                xp = array_api_compat.array_namespace(weights)
                return at_least_single(xp.zeros((), dtype=weights.dtype, device=device(weights)))
    return None


def _networks(score: Any) -> Iterator[Any]:
    """The networks that a score is, or leads to: what is in training mode, or not.

    It is followed through adapters, lambdas, partials, methods and containers, by what their code names: of an object
    that holds a training network beside its average, the one that is called. What has a mode ends the search.
    """
    waiting, seen = [score], set()
    while waiting:
        found = waiting.pop()
        if id(found) in seen or inspect.ismodule(found) or inspect.isclass(found):
            continue
        seen.add(id(found))
        if _mode(found) is not None:
            yield found
        elif inspect.isfunction(found):
            waiting += _named_by_function(found)
        elif inspect.ismethod(found):
            waiting += _named(found.__func__, found.__self__)
        elif isinstance(found, partial):
            waiting += [found.func, *found.args, *found.keywords.values()]
        elif isinstance(found, dict):
            waiting += found.values()
        elif isinstance(found, (list, tuple, set, frozenset)):
            waiting += found
        elif callable(found):
            waiting += _named(inspect.getattr_static(type(found), "__call__", None), found)


def _mode(value: Any) -> bool | None:
    """Whether a network is in training mode; None for what is no network."""
    mode = getattr(value, "training", None)
    return mode if isinstance(mode, bool) else None


def _named_by_function(function: Any) -> Iterator[Any]:
    """What the code of a function names: of what it closes over, its defaults, and the globals of its own module."""
    code, everywhere = function.__code__, function.__globals__
    own = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # of a cell that is empty yet
            own.append(cell.cell_contents)
    for name in code.co_names:
        value = everywhere.get(name)
        if not inspect.isfunction(value) or value.__globals__ is everywhere:
            own.append(value)
    for value in own:
        yield from _parts(code, value)


def _named(method: Any, owner: Any) -> Iterator[Any]:
    """What a method names: of its object, and as any function does."""
    if inspect.isfunction(method):
        yield from _parts(method.__code__, owner, itself=_mode(owner) is not None)
        yield from _named_by_function(method)


def _parts(code: CodeType, value: Any, itself: bool = True) -> Iterable[Any]:
    """The attributes and entries of `value` that `code` names; `value` itself where it names none of them."""
    found: list[Any] = []
    if array_api_compat.is_array_api_obj(value):
        return found
    if isinstance(value, dict):
        found = [value[key] for key in code.co_consts if isinstance(key, str) and key in value]
    elif _mode(value) is None:
        own = getattr(value, "__dict__", {})  # a function there is no method
        bases = (*type(value).__mro__, *(value.__mro__ if inspect.isclass(value) else ()))
        places = [own, *(vars(base) for base in bases)]
        for name in code.co_names:
            if not any(name in place for place in places):  # which getattr_static takes long to find
                continue
            attribute = inspect.getattr_static(value, name, None)
            if isinstance(attribute, property):
                found += _named(attribute.fget, value)
            elif attribute is not None and (name in own or not inspect.isfunction(getattr(value, name, None))):
                found.append(getattr(value, name, None))
    return found or ([value] if itself else [])
