"""What the array API standard leaves open: one place where arrays, floats and constants meet.

Arithmetic everywhere else goes through ``xp = namespace(x)``. Schedule values are Python floats (or
arrays over the batch); they meet ``x`` in `over` alone, which casts them to ``x.dtype``.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Protocol, TypeAlias

import array_api_compat
import numpy as np


class Array(Protocol):
    """An array of any library that follows the array API standard.

    Shapes in docstrings are written ``(*batch, *shape)``: any leading axes, any number of trailing ones.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def dtype(self) -> Any: ...
    def __add__(self, other: Any, /) -> Any: ...
    def __radd__(self, other: Any, /) -> Any: ...
    def __sub__(self, other: Any, /) -> Any: ...
    def __rsub__(self, other: Any, /) -> Any: ...
    def __mul__(self, other: Any, /) -> Any: ...
    def __rmul__(self, other: Any, /) -> Any: ...
    def __truediv__(self, other: Any, /) -> Any: ...
    def __rtruediv__(self, other: Any, /) -> Any: ...
    def __pow__(self, other: Any, /) -> Any: ...
    def __neg__(self) -> Any: ...
    def __getitem__(self, index: Any, /) -> Any: ...
    def __lt__(self, other: Any, /) -> Any: ...
    def __le__(self, other: Any, /) -> Any: ...
    def __gt__(self, other: Any, /) -> Any: ...
    def __ge__(self, other: Any, /) -> Any: ...


Score: TypeAlias = Callable[[Any, Any], Any]
"""``score(x, t)`` on level-k coordinates ``(*batch, *shape)``, ``t`` a float or an array over the batch."""


Time: TypeAlias = float | Array
"""t, a float, or an array over the batch."""


def numpy_namespace() -> Any:
    """The standard's functions for numpy arrays, those of numpy 1 too; loaded when it is first asked for."""
    return array_api_compat.array_namespace(np.zeros(()))


def namespace(*arrays: Any) -> Any:
    """The array API namespace of `arrays`; one library, one device and one dtype, or an error.

    >>> import numpy as np
    >>> namespace(np.zeros(3)).__name__
    'array_api_compat.numpy'
    """
    xp = _one_library(*arrays)
    if len(arrays) > 1:
        places = {str(place) for place in map(device, arrays) if place is not None}  # None: under a tracer
        kinds = {"devices": places, "dtypes": {str(a.dtype) for a in arrays}}
        for what, found in kinds.items():
            if len(found) > 1:
                raise ValueError(f"arrays of several {what} in one call ({', '.join(sorted(found))}): use one")
    return xp


def _one_library(*arrays: Any) -> Any:
    for a in arrays:
        if not array_api_compat.is_array_api_obj(a):
            raise no_array(a)
        check_unmasked(a)
    try:
        return array_api_compat.array_namespace(*arrays)
    except TypeError as error:
        libraries = " and ".join(sorted({type(a).__module__.split(".")[0] for a in arrays}))
        raise TypeError(
            f"arrays of several libraries in one call ({libraries}): convert them to one library first"
        ) from error


def no_array(x: Any) -> TypeError:
    """What is said of what is no array, or one of a library that does not follow the array API standard."""
    kind = type(x)
    if not (hasattr(x, "shape") and hasattr(x, "dtype")):
        return TypeError(f"expected an array (numpy, torch, ...), got {kind.__name__}")
    return TypeError(
        f"expected an array (numpy, torch, ...), got {kind.__name__} of {kind.__module__.split('.')[0]}, a library "
        f"that does not follow the array API standard: pass one of {what_is_installed()}"
    )


def what_is_installed(*libraries: str) -> str:
    """The libraries, those that are there first, and how to get the others: for messages."""
    wanted = libraries or ("numpy", "torch", "jax", "dask")
    here = [name for name in wanted if find_spec(name)]
    missing = [f'{name} (pip install "subspace-sde[{name}]")' for name in wanted if name not in here]
    return " or ".join([*here, *missing])


def check_unmasked(x: Any) -> None:
    """A TypeError for a masked array of numpy: what its mask hides would count."""
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError("a masked array cannot be used, as what is masked would count: fill it or leave it out first")


def real_numbers(x: Any) -> np.ndarray[Any, Any]:
    """Numbers on the host, as an array of float64: the one given, where it is that already.

    Raises ValueError for complex numbers, strings and other objects, TypeError for masked arrays.

    >>> real_numbers([1, 2])
    array([1., 2.])
    """
    for part in (x, *x) if isinstance(x, (list, tuple)) else (x,):
        check_unmasked(part)
    found = np.asarray(x)
    if found.dtype.kind == "c":
        raise ValueError(f"expected real numbers, got {found.dtype}: the imaginary part would be lost")
    if found.dtype.kind in "OSUMm" or found.dtype.names:
        raise ValueError(f"expected real numbers, got an array of {found.dtype}: convert to floats first")
    return np.asarray(found, dtype=np.float64)


def is_floating(x: Any) -> bool:
    """True if `x` holds real floating-point numbers."""
    return bool(array_api_compat.array_namespace(x).isdtype(x.dtype, "real floating"))


def check_trailing(method: str, x: Any, expected: tuple[int, ...], hint: str = "") -> Any:
    """The namespace of x; a ValueError where it does not end with the axes `expected`, or holds no floats."""
    xp, n = namespace(x), len(expected)
    if x.ndim < n or tuple(x.shape[x.ndim - n :]) != expected:
        got = tuple(x.shape[-n:]) if x.ndim >= n else tuple(x.shape)
        raise ValueError(f"`{method}` takes trailing shape {expected}, got {got}{hint}")
    if not is_floating(x):
        raise ValueError(f"`{method}` takes floating-point numbers, got {x.dtype}: convert first, pixels to [0, 1] say")
    return xp


def check_array(y: Any, whose: str) -> None:
    """A TypeError where `y`, what `whose` returned, is no array; it names the part of it that is one.

    >>> check_array({"sample": np.zeros(3)}, "the network")
    Traceback (most recent call last):
    TypeError: the network returned a dict where an array is due: did you forget ...
    """
    if array_api_compat.is_array_api_obj(y):
        return
    parts: list[tuple[str, Any]] = [(f".{name}", part) for name, part in getattr(y, "__dict__", {}).items()]
    if isinstance(y, Mapping):
        parts += [(f'["{key}"]', part) for key, part in y.items()]
    elif isinstance(y, (tuple, list)):
        parts += [(f"[{i}]", part) for i, part in enumerate(y)]
    hint = next((f": did you forget `{name}`?" for name, part in parts if array_api_compat.is_array_api_obj(part)), "")
    raise TypeError(f"{whose} returned a {type(y).__name__} where an array is due{hint}")


def check_score(s: Any, x: Any, whose: str) -> None:
    """A ValueError where `s`, what a score returned for x, is not of the shape, dtype, library and device of x.

    A TypeError where it is no array at all, or one of another library.
    """
    if type(s) is type(x) and s.shape == x.shape and s.dtype == x.dtype and device(s) == device(x):
        return  # of most; the rest is for the message, and for the several classes that tracers have
    check_array(s, whose)
    if s.shape != x.shape or s.dtype != x.dtype:
        libraries = {type(a).__module__.split(".")[0] for a in (s, x)}
        wrong = TypeError if len(libraries) > 1 else ValueError
        raise wrong(f"{whose} returned {_kind(s)} for x of {_kind(x)}: a score has the shape and dtype of x")
    namespace(x, s)


def _kind(x: Any) -> str:
    return f"shape {tuple(x.shape)} and dtype {x.dtype}"


def is_integer(n: Any) -> bool:
    """True for a whole number of Python or numpy, and not for True."""
    return isinstance(n, (int, np.integer)) and not isinstance(n, bool)


def positive_integer(name: str, value: int, most: int | None = None) -> int:
    """`value` as an int, or a ValueError where it is below 1, or above `most`: what would never end, say."""
    if value < 1:
        raise ValueError(f"{name} must be an integer >= 1, got {value!r}")
    if most is not None and value > most:
        raise ValueError(f"{name} must be at most {most:,}, got {value:,}")
    return operator.index(value)


def sizes(name: str, shape: int | Sequence[int]) -> tuple[int, ...]:
    """`shape` as a tuple of positive integers, or a sentence that says what is wrong with it."""
    given = tuple(shape) if isinstance(shape, Iterable) else (shape,)
    if not all(is_integer(n) and n > 0 for n in given):
        raise ValueError(f"{name} must hold positive integers, got {given}")
    return tuple(int(n) for n in given)


def device(x: Any) -> Any:
    """Where `x` lives; None for some arrays under a tracer, which may live anywhere."""
    return array_api_compat.device(x)


def alike(x: Any, like: Any) -> bool:
    """True if the two are arrays of one library, device and dtype."""
    try:
        namespace(x, like)
    except (TypeError, ValueError):
        return False
    return True


def part(x: Any, start: int, size: int) -> Any:
    """`size` elements of the first axis, from `start` on, or as many as there are.

    >>> import numpy as np
    >>> part(np.arange(5), 3, 4)
    array([3, 4])
    """
    return x[start : min(start + size, x.shape[0]), ...]


def at_least_single(x: Any) -> Any:
    """`x`, in float32 where its dtype is narrower: for ODE states, sums over many steps and linear algebra.

    >>> import numpy as np
    >>> [at_least_single(np.zeros(2, dtype)).dtype for dtype in (np.float16, np.float64)]
    [dtype('float32'), dtype('float64')]
    """
    xp = array_api_compat.array_namespace(x)
    return xp.astype(x, xp.float32) if xp.finfo(x.dtype).bits < 32 else x


def compiling() -> bool:
    """Whether torch.compile follows this call."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.compiler.is_compiling())


def over(coefficient: Any, x: Any, trailing: int) -> Any:
    """`coefficient`, a float or an array over the batch, ready to multiply ``x`` of shape ``(*batch, *shape)``.

    `trailing` is the number of axes of ``shape``. A float stays a float (it takes ``x.dtype`` in a product in
    every library); an array is cast to ``x.dtype`` and gets trailing axes of length one.

    >>> import numpy as np
    >>> over(np.asarray([1.0, 2.0]), np.zeros((2, 3, 4), np.float32), trailing=2).shape
    (2, 1, 1)
    """
    if isinstance(coefficient, (int, float, np.number)):
        return float(coefficient)
    xp = _one_library(x, coefficient)
    if device(coefficient) != device(x) and None not in (device(coefficient), device(x)):
        raise ValueError(f"t lies on {device(coefficient)}, x on {device(x)}: move one to the other")
    batch = tuple(x.shape[: x.ndim - trailing])
    if tuple(coefficient.shape) not in ((), batch):
        raise ValueError(
            f"t has shape {tuple(coefficient.shape)}, but the batch of x is {batch}: "
            "give one float, or one t for every element of the batch"
        )
    return xp.reshape(xp.astype(coefficient, x.dtype), (*coefficient.shape, *(1,) * trailing))


def batches(data: Any, size: int = 512) -> Iterator[Any]:
    """`data` as batches: slices of an array ``(N, *shape)``, or the elements of any iterable of such arrays.

    A Dask array gives its chunks along the first axis, computed one at a time.
    """
    if getattr(data, "ndim", 1) == 0:
        raise ValueError("data are an array (N, *shape) or an iterable of batches, got a single number")
    if array_api_compat.is_dask_array(data):
        for i in range(data.numblocks[0]):  # not by their lengths, which Dask may not know
            yield data.blocks[i].compute()
    elif array_api_compat.is_array_api_obj(data):
        for start in range(0, data.shape[0], size):
            yield part(data, start, size)
    elif isinstance(data, Iterable):
        for batch in data:
            if isinstance(batch, (list, tuple, dict)):
                kind = type(batch).__name__
                raise TypeError(f"each batch must be one array, got {kind}: of (images, labels) pass the images alone")
            yield batch
    else:
        raise TypeError(f"data must be an array (N, *shape) or an iterable of batches, got {type(data).__name__}")


def elementary(name: str) -> Callable[[Any], Any]:
    """The function of that name, of a float, an array of any library, or a sympy expression."""
    of_float = getattr(math, name)

    def function(t: Any) -> Any:
        if isinstance(t, (int, float)) and not hasattr(t, "dtype"):  # what numpy makes of arrays without axes
            try:
                return of_float(t)
            except OverflowError:  # an array would hold infinity
                return math.inf
        if array_api_compat.is_array_api_obj(t):
            return getattr(array_api_compat.array_namespace(t), name)(t)
        import sympy  # a symbol: the same formula is then derived symbolically (subspace_sde.sdes.symbolic)

        if name == "expm1":
            return sympy.exp(t) - 1
        return sympy.log(1 + t) if name == "log1p" else getattr(sympy, name)(t)

    function.__name__ = name
    function.__doc__ = f"``{name}(t)`` of a float, an array of any library, or a sympy expression."
    return function


def symbolic(t: Any) -> bool:
    """True for a sympy expression, which has no values to be checked."""
    return hasattr(t, "free_symbols")


def root(v: Any) -> Any:
    """√max(v, 0), of a float or an array: of what only rounding makes negative.

    >>> root(4.0), root(-1e-17)
    (2.0, 0.0)
    """
    if isinstance(v, (int, float)):
        return math.sqrt(max(v, 0.0))
    xp = array_api_compat.array_namespace(v)
    positive = v > 0  # chosen twice: at 0 the root has no derivative, and that of the branch not taken would be NaN
    return xp.where(positive, xp.sqrt(xp.where(positive, v, xp.ones_like(v))), xp.zeros_like(v))


exp, expm1, log, log1p, sqrt = (elementary(name) for name in ("exp", "expm1", "log", "log1p", "sqrt"))
