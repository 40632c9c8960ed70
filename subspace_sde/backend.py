"""What a backend supplies, how it is found, and how randomness is handed out.

A `Backend` holds only what the array API standard lacks. It is found by the library of the arrays that the
user passes in, through the entry-point group ``subspace_sde.backends`` (entry points are named by library:
``numpy``, ``torch``, ...), so that a third party's backend installs exactly as ours do. A library that follows the
standard and has no plug-in gets `subspace_sde.generic.GenericBackend`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from math import prod
from typing import Any, Protocol, TypeAlias, TypeVar

import array_api_compat
import numpy as np

from .arrays import compiling, is_floating, namespace, no_array, real_numbers
from .border import checked
from .generic import GenericBackend

_F = TypeVar("_F", bound=Callable[..., Any])

RNG: TypeAlias = Any
"""An integer, a sequence of integers (one a sample), or a generator of the backend (of JAX, a key)."""


class Backend(Protocol):
    """The contract of a plug-in; `like` is an array whose device and dtype are used."""

    name: str

    def generator(self, seed: Any, like: Any) -> Any:
        """A native generator on the device of `like`, started from the 64-bit `seed`.

        What `is_generator` knows is given back, as a generator that goes on from draw to draw.
        """

    def is_generator(self, rng: Any) -> bool:
        """True if `rng` is a native generator of this library, or what the library has in its place."""

    def normal(self, generator: Any, shape: tuple[int, ...], like: Any) -> Any:
        """Standard normal numbers of the given shape."""

    def normals(self, generators: Sequence[Any], shape: tuple[int, ...], like: Any) -> Any:
        """The next draw of each generator, (len(generators), *shape): what `normal` gives, one or more of them."""

    def to_numpy(self, x: Any) -> np.ndarray[Any, Any]:
        """A copy of `x` in the memory of the host, detached from any gradient."""

    def from_numpy(self, x: np.ndarray[Any, Any], like: Any) -> Any:
        """`x` as an array of the library, device and dtype of `like`."""

    def jvp(self, function: Callable[[Any], Any], x: Any, v: Any) -> tuple[Any, Any]:
        """``function(x)`` and its derivative along `v`."""

    def vjp(self, function: Callable[[Any], Any], x: Any) -> tuple[Any, Callable[[Any], Any]]:
        """``function(x)``, and what gives v times its Jacobian at x for any v, as often as it is asked."""

    def cut_off(self, y: Any, x: Any) -> bool:
        """True if y, which was computed from x inside of the function of `vjp`, is known not to be recorded as its
        function: a constant, or a value whose derivative has been cut off."""

    def integrate(
        self, function: Callable[[Any, float], Any], x: Any, start: float, end: float, rtol: float, atol: float
    ) -> Any:
        """x(end) of dx/dt = function(x, t), x(start) = x, by the library's own adaptive Dormand-Prince 5(4).

        `function` is called with t a float between `start` and `end`, whichever is larger. Raises FloatingPointError
        where the steps vanish.
        """

    def concrete(self, x: Any) -> bool:
        """Whether the values of x can be read now: not within a transformation or a compilation."""

    def on_host(self, x: Any) -> bool:
        """Whether reading a value of x costs nothing: it lies in the memory of the CPU, and is computed."""

    def no_grad(self) -> AbstractContextManager[Any]:
        """A context in which no gradient is recorded."""

    def synchronize(self, x: Any) -> None:
        """Wait until the device of `x` has finished, so that a clock may be read."""


def library(x: Any) -> str:
    """The name of the library of the array `x`: ``numpy``, ``torch``, ..."""
    if not array_api_compat.is_array_api_obj(x):
        raise no_array(x)
    name: str = array_api_compat.array_namespace(x).__name__
    return name.removeprefix("array_api_compat.").split(".")[0]


def _settled(function: _F) -> _F:
    """torch.compile calls it and keeps what it returns: `torch.compiler.assume_constant_result`, without torch."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


_LOADED: dict[str, Backend] = {}


@_settled
def _load(name: str) -> None:
    """Sees to it that the backend of the library is among the `_LOADED`."""
    if name not in _LOADED:
        _LOADED[name] = _found(name)


def _found(name: str) -> Backend:
    from importlib.metadata import entry_points  # which reads mail headers, and takes its time to be imported

    found = entry_points(group="subspace_sde.backends")
    if name not in found.names:
        return GenericBackend(name)
    backend: Backend = found[name].load()()
    required = ["name", *(member for member in vars(Backend) if not member.startswith("_"))]
    missing = [member for member in required if not hasattr(backend, member)]
    if missing:
        raise TypeError(
            f"the plug-in {found[name].value} for {name} arrays has no {', '.join(missing)}: what a backend supplies "
            "is said by subspace_sde.backend.Backend, and what it need not write it may inherit from "
            "subspace_sde.generic.GenericBackend"
        )
    return backend


def backend_of(x: Any) -> Backend:
    """The backend for the library of `x`.

    >>> backend_of(np.zeros(3)).name
    'numpy'
    """
    name = library(x)
    _load(name)
    return _LOADED[name]


def host(x: Any) -> np.ndarray[Any, Any]:
    """Numbers, or an array of any library, as an array of numpy's float64.

    Raises ValueError for complex numbers, strings and other objects, TypeError for masked arrays.

    >>> host([1, 2])
    array([1., 2.])
    """
    if array_api_compat.is_array_api_obj(x):
        namespace(x)  # refuses masks
        x = backend_of(x).to_numpy(x)
    return real_numbers(x)


def on_host(x: Any) -> bool:
    """True where reading a value of `x` costs nothing: the array lies in the memory of the CPU, and is computed."""
    return backend_of(x).on_host(x)


def readable(x: Any) -> bool:
    """True where the values of x may be looked at, and at no cost: on the host, and not under a tracer."""
    return on_host(x) and backend_of(x).concrete(x)


def check_concrete(name: str, x: Any, instead: str) -> None:
    """A ValueError where the values of the argument `name` are needed and cannot be read; it ends with what to do."""
    if not backend_of(x).concrete(x):
        raise ValueError(
            f"`{name}` is read here, and within a transformation (jit, grad, vmap, torch.compile) its values are not "
            f"there: {instead}"
        )


class Constant:
    """A numpy float64 array that a subspace or an oracle owns, and that follows the library, device and dtype of x.

    >>> Constant(np.eye(2)).like(np.zeros(3, dtype=np.float32)).dtype
    dtype('float32')
    """

    def __init__(self, value: Any) -> None:
        self.value = np.asarray(value, dtype=np.float64)
        self._copies: dict[tuple[Any, ...], Any] = {}

    def like(self, x: Any) -> Any:
        """This constant as an array of the kind of `x`; converted once for each kind."""
        key = (library(x), array_api_compat.device(x), x.dtype)
        if key not in self._copies:
            backend = backend_of(x)
            found = backend.from_numpy(self.value, x)
            if not backend.concrete(found):
                return found  # it belongs to the trace that it was made in
            self._copies[key] = found
        return self._copies[key]


@checked
def streams(seed: int, start: int, stop: int) -> tuple[int, ...]:
    """The integers that the integer `seed` stands for, for the samples `start` to `stop`: one stream a sample.

    A chunk or a process asks for its part, and draws the noise that one call with ``rng=seed`` would draw.

    >>> streams(7, 0, 3)[1:] == streams(7, 1, 3)
    True
    """
    seed_of(seed)
    if not 0 <= start <= stop or stop - start > _MOST_STREAMS:
        raise ValueError(f"samples are counted from 0, and at most {_MOST_STREAMS:,} at once, got {start} to {stop}")
    # torch on the CPU keeps the low 32 bits of a seed alone: a progression modulo 2³² keeps those of two samples apart
    first, stride = (int(n) for n in np.random.SeedSequence(seed).generate_state(2))
    high = (int(np.random.SeedSequence(seed, spawn_key=(i,)).generate_state(1)[0]) for i in range(start, stop))
    return tuple((h << 32) + (first + i * (stride | 1)) % 2**32 for i, h in zip(range(start, stop), high))


_MOST_STREAMS = 2**31  # their generators would not fit into memory


class Noise:
    """Normal numbers for a batch: one stream a sample (an integer or a sequence), or the backend's own generator.

    With streams, the noise of sample i depends on its stream and on what it drew before, never on the batch it
    is in. Draws are taken several steps at a time where each costs a launch (any device but the CPU); how many
    depends on the shape alone, so that the promise holds.

    Parameters
    ----------
    rng: an integer >= 0, a sequence of them, one for each element of `batch`, or a generator of the backend.
    batch: the leading axes.
    like: an array whose library, device and dtype are used.
    """

    def __init__(self, rng: RNG, batch: tuple[int, ...], like: Any) -> None:
        self._backend, self._batch, self._like = backend_of(like), batch, like
        if not is_floating(like):
            raise ValueError(f"like must be a floating-point array, got {like.dtype}")
        self._shared = self._backend.generator(rng, like) if self._backend.is_generator(rng) else None
        if self._shared is None and compiling():
            raise ValueError("torch.compile cannot start streams from integers: pass rng=torch.default_generator")
        if self._shared is None:
            self._generators = [self._backend.generator(s, like) for s in seeds(rng, prod(batch))]
        self._ahead: list[Any] = []
        self._ahead_shape: tuple[int, ...] | None = None

    def normal(self, shape: tuple[int, ...]) -> Any:
        """The next standard normal numbers, ``(*batch, *shape)``."""
        if self._shared is not None:
            return self._backend.normal(self._shared, (*self._batch, *shape), self._like)
        if shape != self._ahead_shape or not self._ahead:
            self._ahead_shape = shape
            self._ahead = self._draw(shape)
        return self._ahead.pop()

    def _draw(self, shape: tuple[int, ...]) -> list[Any]:
        xp = array_api_compat.array_namespace(self._like)
        steps = 1 if on_host(self._like) else max(1, min(16, 2**18 // max(1, prod(shape))))
        if not self._generators:
            return [self._backend.from_numpy(np.zeros((*self._batch, *shape)), self._like)]
        drawn = self._backend.normals(self._generators, (steps, *shape), self._like)
        return [xp.reshape(drawn[:, i, ...], (*self._batch, *shape)) for i in reversed(range(steps))]


def started(rng: RNG, like: Any) -> RNG:
    """`rng`, or the generator that it stands for, of the library of `like`: for a call that draws in several places."""
    backend = backend_of(like)
    return backend.generator(rng, like) if backend.is_generator(rng) else rng


def seeds(rng: RNG, count: int) -> tuple[int, ...]:
    """The streams of `count` samples that `rng` stands for, an integer or a sequence of one integer a sample."""
    if (isinstance(rng, Sequence) and not isinstance(rng, (str, bytes))) or isinstance(rng, np.ndarray):
        given = tuple(seed_of(s) for s in rng)
        if len(given) != count:
            raise ValueError(f"rng holds {len(given)} integers for {count} samples: give one for each sample")
        return given
    return streams(seed_of(rng), 0, count)


def seed_of(rng: Any) -> int:
    """An integer in [0, 2⁶⁴), or a sentence that says what `rng` may be."""
    try:
        if isinstance(rng, bool):
            raise TypeError
        seed = operator.index(rng)
    except TypeError:
        raise TypeError(
            "rng must be an integer, a sequence of integers (one a sample) or a generator of the arrays' own "
            f"library, got {type(rng).__name__}"
        ) from None
    if not 0 <= seed < 2**64:
        raise ValueError(f"rng must lie in [0, 2**64), got {seed}")
    return seed
