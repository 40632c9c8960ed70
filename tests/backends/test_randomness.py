"""What is promised about randomness: streams, seeds, and numbers that depend on their stream alone."""

import math
import re

import numpy as np
import pytest
import torch

from subspace_sde import backend as module
from subspace_sde.backend import Noise, backend_of, library, streams


def noise(rng, batch, like, shapes=((2, 3),)):
    """What a run draws one after another, as numpy."""
    drawn = Noise(rng, batch, like)
    return [backend_of(like).to_numpy(drawn.normal(shape)) for shape in shapes]


SHAPES = ((2, 3), (2, 3), (4,), (2, 3), (1,))


@pytest.fixture(params=[True, False], ids=["on the host", "drawn ahead"])
def ahead(request, monkeypatch):
    """Both ways of drawing, whatever the device: where launches cost, several steps are drawn at a time."""
    if not request.param:
        monkeypatch.setattr(module, "on_host", lambda x: False)
    return not request.param


@pytest.mark.also_on("strict", "jax")
def test_noise_of_a_sample_depends_on_its_stream_alone(like, ahead):
    """Bitwise, for any batch size, any chunk, and any place in the batch."""
    whole = noise(7, (6,), like, SHAPES)
    for start, stop in ((0, 1), (0, 4), (4, 6), (5, 6)):
        for one, other in zip(noise(streams(7, start, stop), (stop - start,), like, SHAPES), whole):
            np.testing.assert_array_equal(one, other[start:stop])
    for one, other in zip(noise(7, (2,), like, SHAPES), whole):
        np.testing.assert_array_equal(one, other[:2])
    for one, other in zip(noise(7, (2, 3), like, SHAPES), whole):
        np.testing.assert_array_equal(one.reshape(other.shape), other)
    order = [3, 0, 5]
    mixed = [streams(7, 0, 6)[i] for i in order]
    for rng in (mixed, tuple(mixed), np.asarray(mixed, dtype=np.uint64)):
        for one, other in zip(noise(rng, (3,), like, SHAPES), whole):
            np.testing.assert_array_equal(one, other[order])


def test_draws_and_samples_are_distinct(like, ahead):
    draws = np.stack(noise(0, (5,), like, ((2, 3),) * 40))
    assert draws.shape == (40, 5, 2, 3) and len(np.unique(draws)) == draws.size
    again = np.stack(noise(0, (5,), like, ((2, 3),) * 40))
    np.testing.assert_array_equal(again, draws)
    assert not np.any(draws == np.stack(noise(1, (5,), like, ((2, 3),) * 40)))


def test_noise_is_standard_normal_and_independent(like, ahead):
    """Moments over samples, over steps and across neighbours in both, each within five standard errors."""
    x = np.stack(noise(3, (300,), like, ((4,),) * 20)).astype(np.float64)
    root = math.sqrt(x.size)
    assert abs(x.mean()) * root < 5
    assert abs((x**2).mean() - 1) * root / math.sqrt(2) < 5
    for a, b in ((x[1:], x[:-1]), (x[:, 1:], x[:, :-1]), (x[..., 1:], x[..., :-1])):
        assert abs((a * b).mean()) * math.sqrt(a.size) < 5
        assert abs(((a**2 - 1) * (b**2 - 1)).mean()) * math.sqrt(a.size) / 2 < 5
    across = np.stack(noise(4, (300,), like, ((4,),) * 20)).astype(np.float64)
    assert abs((x * across).mean()) * root < 5


@pytest.mark.also_on("strict", "jax")
def test_noise_has_the_kind_of_like(like, ahead):
    drawn = Noise(0, (3,), like).normal((2,))
    assert library(drawn) == library(like) and drawn.dtype == like.dtype and tuple(drawn.shape) == (3, 2)
    assert str(drawn.device) == str(like.device)
    assert tuple(Noise(0, (), like).normal((2,)).shape) == (2,)
    assert tuple(Noise(0, (3,), like).normal(()).shape) == (3,)
    empty = Noise(0, (0, 2), like).normal((5,))
    assert tuple(empty.shape) == (0, 2, 5) and empty.dtype == like.dtype


@pytest.mark.also_on("strict", "jax")
def test_a_generator_is_taken_as_it_is(like):
    backend = backend_of(like)
    found = noise(backend.generator(5, like), (3,), like, SHAPES)
    generator = backend.generator(5, like)
    for drawn, shape in zip(found, SHAPES):
        np.testing.assert_array_equal(drawn, backend.to_numpy(backend.normal(generator, (3, *shape), like)))


def test_streams_tile_and_never_meet():
    assert streams(7, 0, 9) == streams(7, 0, 4) + streams(7, 4, 9) and streams(7, 3, 3) == ()
    seeds = (0, 1, 2, 2**32, 2**32 + 1, 5 + 3 * 2**32, 2**64 - 1)
    found = [s for seed in seeds for s in streams(seed, 0, 500)]
    assert all(0 <= s < 2**64 for s in found) and len(set(found)) == len(found)
    # some generators (torch's on the CPU) take 32 bits: the samples of one call must differ in the low ones
    assert len({s % 2**32 for s in streams(0, 0, 20000)}) == 20000


@pytest.mark.parametrize(
    ("rng", "error", "message"),
    [
        (
            True,
            TypeError,
            "rng must be an integer, a sequence of integers (one a sample) or a generator of the arrays'",
        ),
        (1.0, TypeError, "own library, got float"),
        ("3", TypeError, "own library, got str"),
        (None, TypeError, "own library, got NoneType"),
        (b"123", TypeError, "own library, got bytes"),
        ([1, 2, 3.0], TypeError, "own library, got float"),
        ([1, 2, True], TypeError, "own library, got bool"),
        (-1, ValueError, "rng must lie in [0, 2**64), got -1"),
        (2**64, ValueError, f"rng must lie in [0, 2**64), got {2**64}"),
        ([0, 1, -7], ValueError, "rng must lie in [0, 2**64), got -7"),
        ([1, 2], ValueError, "rng holds 2 integers for 3 samples: give one for each sample"),
        (np.arange(4), ValueError, "rng holds 4 integers for 3 samples: give one for each sample"),
        (np.random.RandomState(0), TypeError, "own library, got RandomState"),
    ],
)
def test_what_is_no_rng_is_refused(like, rng, error, message):
    with pytest.raises(error, match=re.escape(message)):
        Noise(rng, (3,), like)


def test_a_generator_of_another_library_is_refused(like):
    other = torch.Generator() if library(like) == "numpy" else np.random.default_rng(0)
    with pytest.raises(TypeError, match="a generator of the arrays' own library, got Generator"):
        Noise(other, (3,), like)


@pytest.mark.parametrize("rng", [5, np.int64(5), np.uint8(5)])
def test_any_integer_is_an_rng(rng):
    np.testing.assert_array_equal(noise(rng, (2,), np.zeros(())), noise(5, (2,), np.zeros(())))
    np.testing.assert_array_equal(noise(range(2), (2,), np.zeros(())), noise([0, 1], (2,), np.zeros(())))
