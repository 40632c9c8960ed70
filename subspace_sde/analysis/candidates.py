"""Subspaces of arrays by their names, and those worth comparing: smaller arrays of many kinds and sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from ..arrays import positive_integer, sizes
from ..border import checked
from ..subspaces import Downsampling, Identity, LowPass, Subspace, Wavelet
from ..subspaces.base import per_axis

WAVELETS = ("db2", "sym4", "coif2")
_CLOSE = 1.15  # of two sizes, so that the cost of a plan hardly changes between them
_APART = 1.5  # the same, of one axis alone
_FACTORS = 1.3  # of two factors


@checked
def subspace_named(name: str, shape: Sequence[int], axes: int | Sequence[int] = (-2, -1)) -> Subspace:
    """The subspace of a name: ``full``, ``lowpass:20``, ``lowpass:20x28``, ``downsampling:16``, ``db2:16``, ….

    The number is the new length of the shortest of `axes`, and the others get shorter in proportion; or the numbers
    are the new lengths of all of them, in their order. A name of PyWavelets stands for that `Wavelet`.

    Raises ValueError for another name, and for sizes that the arrays do not have.

    >>> subspace_named("lowpass:20", (3, 32, 48)).shape
    (3, 20, 30)
    >>> subspace_named("lowpass:20x28", (3, 32, 48)).shape
    (3, 20, 28)
    >>> subspace_named("lowpass:40", (2, 160), axes=-1).shape
    (2, 40)
    """
    shape = sizes("shape", shape)
    if isinstance(axes, Sequence) and len(shape) < len(axes):
        raise ValueError(f"images have two axes at least, got the shape {shape}")
    if name == "full":
        return Identity(shape)
    axes = per_axis("size", 1, axes, len(shape))[1]
    edges, (kind, _, numbers) = tuple(shape[a] for a in axes), name.partition(":")
    given = [int(number) if number.isdecimal() else 0 for number in numbers.split("x")]
    if min(given) < 1 or (kind not in ("lowpass", "downsampling") and not _is_wavelet(kind)):
        raise ValueError(f"unknown level {name!r}: write full, lowpass:20, downsampling:16 or db2:16, say")
    if len(given) not in (1, len(axes)):
        raise ValueError(f"{name} gives {len(given)} sizes, for {len(axes)} axes: give one, or one for each")
    short = min(edges)
    if len(given) == 1 and given[0] >= short:
        raise ValueError(f"{name} is no smaller image: the short edge of these has {short} pixels")
    if any(n > edge for n, edge in zip(given, edges) if len(given) > 1) or tuple(given) == edges:
        raise ValueError(f"{name} is no smaller array: the edges of these are {_times(edges)}")
    if kind == "lowpass":
        new = given if len(given) == len(edges) else [max(1, round(given[0] * n / short)) for n in edges]
        return LowPass(shape, new, axes)
    if len(given) == len(edges):
        wrong = [(n, edge) for n, edge in zip(given, edges) if edge % n]
        factors = [edge // n for n, edge in zip(given, edges)]
    else:
        wrong = [(given[0], edge) for edge in edges if short % given[0] or edge % (short // given[0])]
        factors = [short // given[0]] * len(edges)
    if wrong:
        raise ValueError(f"{name}: {wrong[0][0]} does not divide the edges {edges} evenly; lowpass takes any size")
    if kind == "downsampling":
        return Downsampling(shape, factors, axes)
    if odd := [(n, f) for n, f in zip(edges, factors) if f & (f - 1)]:
        (n, f), *_ = odd
        raise ValueError(f"{name}: a wavelet halves the edges, but {n} / {n // f} = {f} is no power of two")
    halved = {a: f.bit_length() - 1 for a, f in zip(axes, factors) if f > 1}
    return Wavelet(shape, kind, tuple(halved.values()), tuple(halved))


def _is_wavelet(kind: str) -> bool:
    import pywt

    return kind in pywt.wavelist(kind="discrete")


def _times(edges: Sequence[int]) -> str:
    return " × ".join(map(str, edges))


def _name(kind: str, new: Sequence[int], edges: Sequence[int]) -> str:
    """The shortest name of these lengths."""
    i = min(range(len(edges)), key=edges.__getitem__)
    exact = all(n * edges[i] == new[i] * edge for n, edge in zip(new, edges))
    rounded = kind == "lowpass" and all(n == max(1, round(new[i] * e / edges[i])) for n, e in zip(new, edges))
    return f"{kind}:{new[i]}" if new[i] < edges[i] and (exact or rounded) else f"{kind}:{'x'.join(map(str, new))}"


def edges_of(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    """The lengths of the axes that may be shortened."""
    return tuple(shape[a] for a in axes)


def factors(edges: Sequence[int]) -> list[int]:
    """Halvings for the table, and the edges of the patches that stand for them."""
    return [f for f in (2, 4, 8) if not any(n % f for n in edges)]


def standard(shape: Sequence[int], axes: Sequence[int] = (-2, -1)) -> dict[str, Subspace]:
    """The rows of every table whose coordinates are arrays again: near a half, a quarter and an eighth of the edges."""
    edges = edges_of(shape, axes)
    names = [f"lowpass:{min(edges) // f}" for f in (2, 4, 8) if min(edges) >= f]
    found = {name: subspace_named(name, shape, axes) for name in names if not name.endswith(f":{min(edges)}")}
    for f in factors(edges):
        for kind in ("downsampling", *WAVELETS):
            name = f"{kind}:{min(edges) // f}"
            try:
                found[name] = subspace_named(name, shape, axes)
            except ValueError:  # the filter is longer than what is left of the axes
                continue
    return found


@checked
def candidate_subspaces(
    shape: Sequence[int], multiple_of: int, axes: int | Sequence[int] = (-2, -1), apart: bool = False
) -> dict[str, Subspace]:
    """Whatever gives arrays again, with edges that a network can halve: sizes of `LowPass`, factors, some wavelets.

    Parameters
    ----------
    shape: of the arrays.
    multiple_of: edges that get shorter are multiples of this; the longest goes through a geometric list of them, and
        the others follow in proportion, rounded.
    axes: which may be shortened.
    apart: each of the axes alone, too.

    Raises ValueError where there is no such size.

    >>> list(candidate_subspaces((1, 12, 20), 4))
    ['lowpass:4x4', 'lowpass:4x8', 'lowpass:8x12', 'lowpass:8x16']
    """
    positive_integer("multiple_of", multiple_of)
    shape = sizes("shape", shape)
    axes = per_axis("size", 1, axes, len(shape))[1]
    edges, longest = edges_of(shape, axes), max(edges_of(shape, axes))
    new = [
        ("lowpass", tuple(_rounded(n * edge / longest, edge, multiple_of) for edge in edges))
        for n in _spaced(longest, multiple_of, _CLOSE)
    ]
    common, last = math.gcd(*edges), 0.0
    for f in (f for f in range(2, common + 1) if common % f == 0):
        if f >= _FACTORS * last:
            new.append(("downsampling", tuple(edge // f for edge in edges)))
            last = f
    for i, edge in enumerate(edges if apart and len(edges) > 1 else ()):
        alone = [("lowpass", n) for n in _spaced(edge, multiple_of, _APART)]
        alone += [("downsampling", edge // f) for f in factors([edge])]
        new += [(kind, (*edges[:i], n, *edges[i + 1 :])) for kind, n in alone]
    names = [_name(kind, smaller, edges) for kind, smaller in new]
    found = {name: subspace_named(name, shape, axes) for name in names} | standard(shape, axes)
    found = {k: u for k, u in found.items() if not any(n % multiple_of for n in _shortened(u, axes))}
    if not found:
        raise ValueError(
            f"arrays of {_times(edges)} have no smaller size whose edges are multiples of {multiple_of}: "
            "give a smaller multiple_of"
        )
    return found


def _spaced(edge: int, multiple_of: int, ratio: float) -> Iterator[int]:
    """Multiples below the edge, each larger than the one before by the ratio at least."""
    n = multiple_of
    while n < edge:
        yield n
        n = multiple_of * max(n // multiple_of + 1, math.ceil(ratio * n / multiple_of))


def _rounded(n: float, edge: int, multiple_of: int) -> int:
    """The multiple next to n, or the whole edge where that is no shorter."""
    return min(max(multiple_of, multiple_of * round(n / multiple_of)), edge)


def _shortened(subspace: Subspace, axes: Sequence[int]) -> list[int]:
    """The new lengths of the axes that got shorter."""
    return [subspace.shape[a] for a in axes if subspace.shape[a] < subspace.ambient_shape[a]]
