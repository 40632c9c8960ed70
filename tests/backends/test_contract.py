"""Backends: the contract, how one is found, and what is promised about randomness."""

import math
import re
import sys

import numpy as np
import pytest
import torch

from subspace_sde import backend as module
from subspace_sde.backend import Constant, Noise, backend_of, library, streams
from subspace_sde.testing import check_backend


def test_contract(like):
    check_backend(backend_of(like), like)


@pytest.mark.parametrize(
    ("method", "replacement", "message"),
    [
        ("normal", lambda g, shape, like: g.random(shape), "normals have mean 0"),
        ("normal", lambda g, shape, like: 1.1 * g.standard_normal(shape), "normals have variance 1"),
        ("normal", lambda g, shape, like: g.exponential(size=shape) - 1, "normals have skewness 0"),
        ("normal", lambda g, shape, like: g.standard_normal(shape, dtype=np.float32), "is like `like`"),
        ("normal", lambda g, shape, like: np.random.default_rng(0).standard_normal(shape), "goes on"),
        ("generator", lambda seed, like: np.random.default_rng(), "one seed, the same numbers (seed 0)"),
        ("is_generator", lambda rng: True, "is_generator knows an integer"),
        ("to_numpy", lambda x: x, "to_numpy gives a copy"),
        ("jvp", lambda function, x, v: (function(x), 2 * x), "jvp gives the derivative product"),
        ("integrate", lambda f, x, s, e, *tol: f(x, s) * (e - s) + x, "integrate solves the equation"),
        ("integrate", lambda f, x, s, e, *tol: f(x, 2.1) * 0 + x * (s / e), "never beyond the ends"),
    ],
)
def test_check_backend_names_what_is_broken(method, replacement, message):
    broken = type(backend_of(np.zeros(())))()
    setattr(broken, method, replacement)
    with pytest.raises(AssertionError, match=re.escape(message)):
        check_backend(broken, np.zeros(()))


def test_backend_follows_the_library(like):
    backend = backend_of(like)
    assert backend.name == library(like) and backend_of(like) is backend


def test_an_unknown_library_is_named(monkeypatch):
    """An array of a library that the array API knows and nobody wrote a backend for."""
    monkeypatch.setattr(module, "library", lambda x: "teapot")
    message = (
        "no backend for teapot arrays is installed: found numpy, torch; a package that provides one registers it as "
        "'teapot' in the entry-point group subspace_sde.backends"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        backend_of(np.zeros(2))


def test_numpy_has_no_vjp_and_no_derivative_in_float32():
    backend, x = backend_of(np.zeros(())), np.ones(3)
    with pytest.raises(ValueError, match=re.escape("pass torch arrays, or a score with a method vjp(x, t, v)")):
        backend.vjp(np.sin, x)
    with pytest.raises(ValueError, match="a derivative of a numpy function needs float64, got float32"):
        backend.jvp(np.sin, x.astype(np.float32), x.astype(np.float32))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
@pytest.mark.parametrize("length", [1e-3, 1.0, 1e6])
def test_numpy_jvp_at_any_scale(scale, length):
    """The step follows x and v: a central difference of a smooth function keeps about ten digits."""
    draw = np.random.default_rng(0).standard_normal
    x, v, a = scale * draw(5), length * draw(5), draw((5, 5)) / scale
    _, found = backend_of(x).jvp(lambda y: np.sin(a @ y / 10) if scale >= 1 else a @ y, x, v)
    exact = np.cos(a @ x / 10) * (a @ v / 10) if scale >= 1 else a @ v
    np.testing.assert_allclose(found, exact, atol=1e-8 * np.max(np.abs(exact)))


def test_torch_derivatives(torch_like):
    """Against the Jacobian in closed form: y = sin(Ax) has J = diag(cos Ax) A."""
    a, x, v = (
        torch.asarray(np.random.default_rng(i).standard_normal(s)).to(torch_like) for i, s in enumerate(((4, 4), 4, 4))
    )
    backend = backend_of(torch_like)
    jacobian = torch.cos(a @ x)[:, None] * a
    forwards = backend.jvp(lambda y: torch.sin(a @ y), x, v)
    value, pull_back = backend.vjp(lambda y: torch.sin(a @ y), x)
    for found, product, expected in ((*forwards, jacobian @ v), (value, pull_back(v), v @ jacobian)):
        torch.testing.assert_close(found, torch.sin(a @ x))
        torch.testing.assert_close(product, expected)
    torch.testing.assert_close(pull_back(x), x @ jacobian)  # and again, of another vector
    x.requires_grad_()
    with backend.no_grad():
        assert not (x * x).requires_grad
    np.testing.assert_array_equal(backend.to_numpy(x), x.detach().cpu().numpy())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype):
    like = torch.zeros((), dtype=dtype)
    backend = backend_of(like)
    x = backend.normal(backend.generator(0, like), (1000,), like)
    assert x.dtype == dtype
    assert abs(float(x.float().var()) - 1) < 5 * math.sqrt(2 / 1000)
    np.testing.assert_array_equal(backend.to_numpy(x), x.float().numpy())
    halves = backend_of(np.zeros(())).normal(np.random.default_rng(0), (5,), np.zeros((), dtype=np.float16))
    assert halves.dtype == np.float16


def test_constants_follow_x(like, array, host):
    value = np.asarray([1.0, 1 / 3])
    constant = Constant(value)
    found = constant.like(like)
    assert library(found) == library(like) and found.dtype == like.dtype
    np.testing.assert_array_equal(host(found), host(array(value)))
    assert constant.like(array([3.0])) is found  # converted once


# -- streams -------------------------------------------------------------------------------------------------------


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


def test_noise_has_the_kind_of_like(like, ahead):
    drawn = Noise(0, (3,), like).normal((2,))
    assert library(drawn) == library(like) and drawn.dtype == like.dtype and tuple(drawn.shape) == (3, 2)
    assert str(drawn.device) == str(like.device)
    assert tuple(Noise(0, (), like).normal((2,)).shape) == (2,)
    assert tuple(Noise(0, (3,), like).normal(()).shape) == (3,)
    empty = Noise(0, (0, 2), like).normal((5,))
    assert tuple(empty.shape) == (0, 2, 5) and empty.dtype == like.dtype


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


@pytest.mark.parametrize("rng", [5, np.int64(5), np.uint8(5)], ids=repr)
def test_any_integer_is_an_rng(rng):
    np.testing.assert_array_equal(noise(rng, (2,), np.zeros(())), noise(5, (2,), np.zeros(())))
    np.testing.assert_array_equal(noise(range(2), (2,), np.zeros(())), noise([0, 1], (2,), np.zeros(())))


@pytest.mark.parametrize("empty", [(0, 3), (2, 0)])
def test_integrate_leaves_nothing_as_it_is(empty, array):
    x = array(np.zeros(empty))
    assert backend_of(x).integrate(lambda y, t: y, x, 1.0, 0.0, 1e-3, 1e-3).shape == empty
    y = array(np.ones((2, 2)))
    assert backend_of(y).integrate(lambda y, t: 1 / 0, y, 1.0, 1.0, 1e-3, 1e-3) is y


def test_integrate_is_as_exact_as_its_tolerance(array, host, eps):
    # x' = x cos t, x = e^(sin t): errors fall with the tolerance, down to what the dtype can hold
    x, found = array(np.ones((1, 4))), []
    for tolerance in (1e-3, 1e-6):
        end = backend_of(x).integrate(lambda y, t: y * math.cos(t), x, 0.0, 3.0, tolerance, tolerance)
        found.append(np.max(np.abs(host(end) - math.exp(math.sin(3.0)))))
    assert found[0] < 1e-2 and found[1] < max(1e-5, 100 * eps)


def test_torch_without_torchdiffeq_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchdiffeq", None)
    x = torch.zeros((1, 2))
    with pytest.raises(ImportError, match=r'need torchdiffeq: pip install "subspace-sde\[torch\]"'):
        backend_of(x).integrate(lambda y, t: y, x, 1.0, 0.0, 1e-3, 1e-3)


def test_an_assertion_of_the_score_is_not_taken_for_vanishing_steps():
    def broken(y, t):
        raise AssertionError("mine")

    with pytest.raises(AssertionError, match="mine"):
        backend_of(torch.zeros(())).integrate(broken, torch.zeros((1, 2)), 1.0, 0.0, 1e-3, 1e-3)
