"""Where arrays, floats and constants meet."""

import math
import re

import array_api_compat
import numpy as np
import pytest
import sympy
import torch

from subspace_sde import arrays, backend
from subspace_sde.arrays import batches, is_floating, namespace, over
from subspace_sde.backend import on_host


@pytest.mark.also_on("strict", "jax")
def test_namespace_is_that_of_the_library(like, xp):
    assert namespace(like) is xp and namespace(like, like) is xp


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (([1.0],), TypeError, "expected an array (numpy, torch, ...), got list"),
        ((np.zeros(2), 1.0), TypeError, "expected an array (numpy, torch, ...), got float"),
        (
            (np.zeros(2), torch.zeros(2)),
            TypeError,
            "arrays of several libraries in one call (numpy and torch): convert them to one library first",
        ),
        (
            (np.zeros(2), np.zeros(2, dtype=np.float32)),
            ValueError,
            "arrays of several dtypes in one call (float32, float64): use one",
        ),
        (
            (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
            ValueError,
            "arrays of several dtypes in one call (torch.float32, torch.float64): use one",
        ),
        (
            (torch.zeros(2), torch.zeros(2, device="meta")),
            ValueError,
            "arrays of several devices in one call (cpu, meta): use one",
        ),
    ],
)
def test_namespace_refuses_mixtures(given, error, message):
    with pytest.raises(error, match=re.escape(message)):
        namespace(*given)


@pytest.mark.also_on("strict", "jax")
def test_is_floating(like, xp):
    assert is_floating(like)
    for dtype in (xp.int32, xp.uint8, xp.bool, xp.complex64):
        assert not is_floating(xp.zeros(2, dtype=dtype))


def test_on_host(like):
    assert on_host(like) == (str(array_api_compat.device(like)) == "cpu")
    assert not on_host(torch.zeros(2, device="meta"))


@pytest.mark.parametrize(("batch", "trailing"), [((), 0), ((), 2), ((3,), 0), ((3,), 1), ((2, 3), 3)])
def test_over_multiplies_every_element_by_its_own(array, host, xp, eps, batch, trailing):
    """Whatever the dtype of the coefficient, the product has that of x."""
    x = array(np.random.default_rng(0).standard_normal((*batch, 2, 3, 4)[: len(batch) + trailing]))
    values = 1.0 + np.arange(math.prod(batch)).reshape(batch)
    for dtype in (xp.float32, xp.float64):
        coefficient = xp.asarray(values.tolist(), dtype=dtype, device=array_api_compat.device(x))
        product = over(coefficient, x, trailing) * x
        assert product.dtype == x.dtype and product.shape == x.shape
        expected = np.einsum("...,...->...", host(x).T, values.T).T
        np.testing.assert_allclose(host(product), expected, rtol=eps)


@pytest.mark.also_on("strict", "jax")
def test_over_keeps_a_float_a_float(array):
    x = array([1.0, 2.0])
    assert over(2, x, 1) == 2.0 and isinstance(over(2, x, 1), float)
    assert (over(math.pi, x, 1) * x).dtype == x.dtype
    scalar = over(array(2.0), array(np.ones((5, 2))), 1)
    assert tuple(scalar.shape) == (1,)


def test_over_refuses_a_time_for_another_batch(array):
    x = array(np.zeros((2, 3, 4)))
    for shape in ((3,), (2, 3, 4), (1,), (2, 3)):
        message = f"t has shape {shape}, but the batch of x is (2,): give one float, or one t for every element"
        with pytest.raises(ValueError, match=re.escape(message)):
            over(array(np.zeros(shape)), x, 2)


def test_over_refuses_another_library(like, array):
    other = torch.zeros(2) if backend.library(like) == "numpy" else np.zeros(2)
    with pytest.raises(TypeError, match=re.escape("arrays of several libraries in one call (numpy and torch)")):
        over(other, array(np.zeros((2, 3))), 1)
    with pytest.raises(TypeError, match=re.escape("expected an array (numpy, torch, ...), got list")):
        over([1.0, 2.0], array(np.zeros((2, 3))), 1)


@pytest.mark.also_on("strict", "jax")
def test_batches_cover_the_data_once(like, array, host):
    data = array(np.arange(21.0).reshape(7, 3))
    parts = list(batches(data, size=3))
    assert [part.shape[0] for part in parts] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([host(part) for part in parts]), host(data))
    given = iter(parts)
    assert [a is b for a, b in zip(batches(given), parts)] == [True] * 3
    with pytest.raises(TypeError, match=re.escape("data must be an array (N, *shape) or an iterable of batches")):
        list(batches(3.0))


@pytest.mark.also_on("strict", "jax")
@pytest.mark.parametrize("name", ["exp", "expm1", "log", "log1p", "sqrt"])
def test_elementary_functions(like, array, host, eps, name):
    """Of a float, an array and a symbol: the same function."""
    function, exact = getattr(arrays, name), getattr(math, name)
    values = [1e-8, 0.3, 1.0, 7.5]
    assert [function(v) for v in values] == [exact(v) for v in values]
    x = array(values)
    found = function(x)
    assert found.dtype == x.dtype
    np.testing.assert_allclose(host(found), [exact(v) for v in host(x)], rtol=4 * eps)
    assert float(function(sympy.Float("0.3", 40)).evalf(30)) == pytest.approx(exact(0.3), rel=1e-15)
    assert function.__name__ == name
