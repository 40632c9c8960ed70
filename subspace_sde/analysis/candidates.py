"""Subspaces of images by their names, and those worth comparing: smaller images of many kinds and sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..arrays import positive_integer, sizes
from ..border import checked
from ..subspaces import Downsampling, Identity, LowPass, Subspace, Wavelet

WAVELETS = ("db2", "sym4", "coif2")


@checked
def subspace_named(name: str, shape: Sequence[int]) -> Subspace:
    """The subspace of images (3, H, W) of a name: ``full``, ``lowpass:20``, ``downsampling:16``, ``db2:16``, ….

    The number is the short edge of the smaller image; a name of PyWavelets stands for that `Wavelet`.

    Raises ValueError for another name, and for sizes that the images do not have.

    >>> subspace_named("lowpass:20", (3, 32, 48)).shape
    (3, 20, 30)
    """
    shape = sizes("shape", shape)
    if len(shape) < 2:
        raise ValueError(f"images have two axes at least, got the shape {shape}")
    if name == "full":
        return Identity(shape)
    (kind, _, number), edges = name.partition(":"), shape[-2:]
    edge, short = int(number) if number.isdecimal() else 0, min(edges)
    if edge < 1 or (kind not in ("lowpass", "downsampling") and not _is_wavelet(kind)):
        raise ValueError(f"unknown level {name!r}: write full, lowpass:20, downsampling:16 or db2:16, say")
    if edge >= short:
        raise ValueError(f"{name} is no smaller image: the short edge of these has {short} pixels")
    if kind == "lowpass":
        return LowPass(shape, tuple(max(1, round(edge * n / short)) for n in edges))
    factor = short // edge
    if factor * edge != short or any(n % factor for n in edges):
        raise ValueError(f"{name}: {edge} does not divide the images' edges {edges} evenly; lowpass takes any size")
    if kind == "downsampling":
        return Downsampling(shape, factor)
    if factor & (factor - 1):
        raise ValueError(f"{name}: a wavelet halves the edges, but {short} / {edge} = {factor} is no power of two")
    return Wavelet(shape, kind, factor.bit_length() - 1)


def _is_wavelet(kind: str) -> bool:
    import pywt

    return kind in pywt.wavelist(kind="discrete")


def factors(shape: Sequence[int]) -> list[int]:
    """Halvings for the table, and the edges of the patches that stand for them."""
    return [f for f in (2, 4, 8) if not (shape[1] % f or shape[2] % f)]


def standard(shape: Sequence[int]) -> dict[str, Subspace]:
    """The image-shaped rows of every table: near a half, a quarter and an eighth of the edges."""
    edge = min(shape[1:])
    names = [f"lowpass:{edge // f}" for f in (2, 4, 8) if edge >= f]
    found = {name: subspace_named(name, shape) for name in names}
    for f in factors(shape):
        found[f"downsampling:{edge // f}"] = Downsampling(shape, f)
        for kind in WAVELETS:
            try:
                found[f"{kind}:{edge // f}"] = subspace_named(f"{kind}:{edge // f}", shape)
            except ValueError:  # the filter is longer than what is left of the axes
                continue
    return found


@checked
def candidate_subspaces(shape: Sequence[int], multiple_of: int) -> dict[str, Subspace]:
    """Whatever gives images again, with edges that a network can halve: sizes of `LowPass`, factors, some wavelets."""
    positive_integer("multiple_of", multiple_of)
    if len(found_shape := sizes("shape", shape)) != 3:
        raise ValueError(f"images have shape (3, H, W), got {found_shape}")
    edge, common, names, last = min(shape[1:]), math.gcd(*shape[1:]), [], 0
    for n in range(multiple_of, edge, multiple_of):
        if n >= 1.15 * last:  # between closer ones the cost hardly changes
            names.append(f"lowpass:{n}")
            last = n
    names += [f"downsampling:{edge // f}" for f in range(2, common + 1) if common % f == 0]
    found = {name: subspace_named(name, shape) for name in names} | standard(shape)
    found = {k: u for k, u in found.items() if not any(n % multiple_of for n in u.shape[1:])}
    if not found:
        why = ": their short edge has but one pixel"
        if edge > 1:
            why = f" whose edges are multiples of {multiple_of}: give a smaller multiple_of"
        raise ValueError(f"images of {shape[1]} × {shape[2]} have no smaller size{why}")
    return found
