"""Subspaces of many kinds and shapes, drawn at random."""

from math import prod

import numpy as np
from hypothesis import strategies as st

from subspace_sde.subspaces import Basis, Downsampling, Identity, LowPass, PatchBasis, Separable

shapes = st.one_of(st.tuples(*[st.integers(1, most)] * ndim) for ndim, most in ((1, 12), (2, 7), (3, 4)))
seeds = st.integers(0, 2**32 - 1)


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def orthonormal(seed, d, n):
    return np.linalg.qr(normal(seed, d, n))[0]


@st.composite
def some_axes(draw, ndim):
    """Any axes, each once, in any order, counted from either end."""
    chosen = draw(st.lists(st.integers(0, ndim - 1), min_size=1, max_size=ndim, unique=True))
    return tuple(a - ndim if draw(st.booleans()) else a for a in chosen)


@st.composite
def bases(draw, ambient=None):
    ambient = draw(shapes) if ambient is None else ambient
    n = draw(st.integers(1, min(prod(ambient), 12)))
    return Basis(orthonormal(draw(seeds), prod(ambient), n), ambient, draw(st.sampled_from([None, (n, 1)])))


@st.composite
def downsamplings(draw, ambient=None):
    if ambient is None:
        coarse = draw(shapes.filter(lambda shape: prod(shape) <= 24))
        axes = draw(some_axes(len(coarse)))
        factors = tuple(draw(st.integers(1, 3)) for _ in axes)
        ambient = list(coarse)
        for f, a in zip(factors, axes):
            ambient[a] *= f
    else:
        axes = draw(some_axes(len(ambient)))
        factors = tuple(draw(st.sampled_from([f for f in range(1, 8) if ambient[a] % f == 0])) for a in axes)
    return Downsampling(ambient, factors, axes)


@st.composite
def low_passes(draw, ambient=None):
    ambient = draw(shapes) if ambient is None else ambient
    axes = draw(some_axes(len(ambient)))
    return LowPass(ambient, tuple(draw(st.integers(1, ambient[a])) for a in axes), axes)


@st.composite
def separables(draw, ambient=None):
    ambient = draw(shapes) if ambient is None else ambient
    axes = draw(some_axes(len(ambient)))
    return Separable(ambient, {a: orthonormal(draw(seeds), ambient[a], draw(st.integers(1, ambient[a]))) for a in axes})


@st.composite
def patch_bases(draw, ambient=None):
    if ambient is None:
        coarse = draw(shapes.filter(lambda shape: prod(shape) <= 24))
        patch = tuple(draw(st.integers(1, 3)) for _ in range(draw(st.integers(1, len(coarse)))))
        leading, tiled = coarse[: -len(patch)], coarse[-len(patch) :]
        ambient = (*leading, *(n * p for n, p in zip(tiled, patch)))
    else:
        tiled = ambient[-draw(st.integers(1, len(ambient))) :]
        patch = tuple(draw(st.sampled_from([p for p in range(1, 8) if n % p == 0])) for n in tiled)
    numbers = prod(ambient[: -len(patch)]) * prod(patch)
    return PatchBasis(ambient, patch, orthonormal(draw(seeds), numbers, draw(st.integers(1, min(numbers, 6)))))


def inside(shape):
    """Any subspace of the arrays of that shape."""
    kinds = (bases, downsamplings, low_passes, separables, patch_bases)
    return st.one_of(st.just(Identity(shape)), *(kind(shape) for kind in kinds))


@st.composite
def pairs(draw):
    """(outer, the step inside it, its composition): the last lies in the first."""
    outer = draw(shapes.flatmap(inside))
    step = draw(inside(outer.shape))
    return outer, step, outer @ step
