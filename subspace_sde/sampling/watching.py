"""What is watched while scores are followed: what they return, that the state stays finite, and their training mode."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import array_api_compat
import numpy as np

from ..arrays import Score, check_score, on_host
from ..backend import backend_of


class Checked:
    """A score that counts its calls, is given the condition, and refuses what is not a score of x."""

    def __init__(self, score: Score, level: int, condition: Any = None) -> None:
        self._score, self._level, self.calls = score, level, 0
        self._more = () if condition is None else (condition,)

    def __call__(self, x: Any, t: Any) -> Any:
        self.calls += 1
        s = self._score(x, t, *self._more)
        check_score(s, x, f"the score of level {self._level}")
        return s

    def linearised(self, x: Any, t: float) -> tuple[Any, Callable[[Any], Any]]:
        """The score at (x, t), and what gives v times its Jacobian: its own method ``vjp(x, t, v)`` if it has one."""
        own = getattr(self._score, "vjp", None)
        if own is None:
            found: tuple[Any, Callable[[Any], Any]] = backend_of(x).vjp(lambda y: self(y, t), x)
            return found
        return self(x, t), lambda v: own(x, t, v, *self._more)


class Guard:
    """Names the first step at which a sample is not finite: read at once on the host, every 50 steps on a device."""

    def __init__(self, level: int, first: int) -> None:
        self._level, self._first = level, first
        self._flags: list[Any] = []
        self._where: list[tuple[float, int]] = []

    def watch(self, x: Any, t: float, step: int) -> None:
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


def warn_of_training(scores: Sequence[Score]) -> None:
    """A warning for each score that is a network in training mode, or leads to one."""
    for k, score in enumerate(scores):
        if _in_training(score):
            warnings.warn(
                f"the score of level {k} is a network in training mode, where dropout and batch statistics disturb "
                "what it says: call its .eval() first",
                stacklevel=4,
            )


def _in_training(score: Any) -> bool:
    """Whether a score is a network in training mode, or leads to one.

    It is followed through adapters, lambdas, partials and methods: by what they close over, and what they belong to.
    """
    waiting, seen = [score], set()
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        near: list[Any] = []
        if inspect.isfunction(found):
            variables = inspect.getclosurevars(found)
            waiting += variables.nonlocals.values()
            near += variables.globals.values()
        elif isinstance(found, partial):
            waiting += [found.func, *found.args, *found.keywords.values()]
        elif inspect.ismethod(found):
            waiting.append(found.__self__)
        else:
            near += [found, *getattr(found, "__dict__", {}).values()]
        if any(getattr(v, "training", False) is True for v in near if not inspect.ismodule(v)):
            return True
    return False
