"""The contract of a backend, how one is found, and its derivatives."""

import math
import re
import types

import numpy as np
import pytest
import torch

from subspace_sde import Downsampling, arrays
from subspace_sde import backend as module
from subspace_sde.backend import Constant, backend_of, library
from subspace_sde.testing import check_backend


@pytest.mark.also_on("strict", "read-only", "jax", "jax-float32")
def test_contract(like):
    check_backend(backend_of(like), like)


@pytest.mark.also_on("strict", "jax")
def test_backend_follows_the_library(like):
    backend = backend_of(like)
    assert backend.name == library(like) and backend_of(like) is backend


def test_an_array_of_a_library_outside_the_standard_is_named():
    class Tensor:
        shape, dtype = (2,), "float32"

    Tensor.__module__ = "teapot.core"
    message = (
        "expected an array (numpy, torch, ...), got Tensor of teapot, a library that does not follow the array API "
        "standard: pass one of numpy or torch or jax or dask"
    )
    with pytest.raises(TypeError, match=re.escape(message)):
        library(Tensor())
    with pytest.raises(TypeError, match=re.escape(message)):
        Downsampling((2,), 2, axes=(-1,)).restrict(Tensor())


def test_what_to_install_is_said(monkeypatch):
    monkeypatch.setattr(arrays, "find_spec", lambda name: name == "numpy" or None)
    assert arrays.what_is_installed("torch", "numpy") == 'numpy or torch (pip install "subspace-sde[torch]")'


def test_a_plug_in_that_lacks_something_is_refused_when_it_is_loaded(monkeypatch):
    class Half:
        name = "teapot"

        def generator(self, seed, like): ...

    entry = types.SimpleNamespace(value="teapots:Half", load=lambda: Half)

    class Found(dict):
        names = ("teapot",)

    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: Found(teapot=entry))
    message = "the plug-in teapots:Half for teapot arrays has no is_generator, normal, normals, to_numpy"
    with pytest.raises(TypeError, match=re.escape(message)):
        module._found("teapot")


def test_numpy_has_no_vjp_and_no_derivative_in_float32():
    backend, x = backend_of(np.zeros(())), np.ones(3)
    with pytest.raises(ValueError, match=re.escape("pass torch or JAX arrays, or a score with a method vjp(x, t, v)")):
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


@pytest.mark.also_on("strict", "jax")
def test_constants_follow_x(like, array, host):
    value = np.asarray([1.0, 1 / 3])
    constant = Constant(value)
    found = constant.like(like)
    assert library(found) == library(like) and found.dtype == like.dtype
    np.testing.assert_array_equal(host(found), host(array(value)))
    assert constant.like(array([3.0])) is found  # converted once
