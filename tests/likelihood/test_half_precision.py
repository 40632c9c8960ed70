"""Half precision: what a thousand steps would round is kept in float32, and the scores see half."""

import numpy as np
import pytest
import torch

from subspace_sde import VE, Downsampling, NestedSubspaces, SubspaceSDE, log_likelihood, sample
from subspace_sde.likelihood import Bins, Exact, FullScore, decode, encode
from subspace_sde.solvers import DormandPrince, Heun

SDE = VE()
PROCESS = SubspaceSDE(SDE, NestedSubspaces([Downsampling((64,), 2, axes=(-1,))]), [0.5], [1.0])
HALVES = [np.float16, torch.float16, torch.bfloat16]
each_half = pytest.mark.parametrize("dtype", HALVES, ids=str)


def data(dtype):
    """Numbers that are exact in every dtype."""
    x = torch.randn((2, 64), generator=torch.Generator().manual_seed(0)).bfloat16()
    return x.double().numpy().astype(dtype) if dtype is np.float16 else x.to(dtype)


def normal(x, t):
    return -x / (1 + SDE.sigma(t) ** 2)


class Known:
    """N(0, I), with its own derivative for numpy; it sees what it is called with."""

    def __init__(self):
        self.dtypes = set()

    def __call__(self, x, t):
        self.dtypes.add(x.dtype)
        return normal(x, t)

    def vjp(self, x, t, v):
        self.dtypes |= {x.dtype, v.dtype}
        return normal(v, t)


@pytest.mark.parametrize("form", [None, FullScore()])
@pytest.mark.parametrize("solver", [Heun(), DormandPrince()])
@each_half
def test_the_likelihood_is_that_of_float64(dtype, solver, form):
    scores, options = [Known(), Known()], {"solver": solver, "steps": 200, "trace": Exact()}
    expected = log_likelihood(PROCESS, scores, data(torch.float64), form, **options).nats
    scores = [Known(), Known()]
    found = log_likelihood(PROCESS, scores, data(dtype), form, **options)
    assert all(score.dtypes == {data(dtype).dtype} for score in scores)
    assert found.nats.dtype == np.float64
    # what is left is the score's own rounding, of 64 numbers whose part in the volume it is
    eps = 2.0**-8 if dtype is torch.bfloat16 else 2.0**-11
    np.testing.assert_allclose(found.nats, expected, rtol=0, atol=64 * eps)
    bare = [normal, normal]
    if dtype is not np.float16:
        again = log_likelihood(PROCESS, bare, data(dtype), form, **options)
        np.testing.assert_allclose(again.nats, found.nats, rtol=0, atol=64 * eps)


@each_half
def test_latents_come_back_in_the_dtype_of_x(dtype):
    scores, x = [normal, normal], data(dtype)
    z = encode(PROCESS, scores, x, steps=200)
    back = decode(PROCESS, scores, z, steps=200)
    assert z.dtype == x.dtype == back.dtype
    eps = 2.0**-8 if dtype is torch.bfloat16 else 2.0**-11
    exact = encode(PROCESS, scores, data(torch.float64), steps=200)
    for found, expected in ((z, exact), (back, data(torch.float64))):
        found = torch.as_tensor(found).double()
        assert float((found - expected).abs().max()) < 8 * eps


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, np.float16], ids=str)
def test_adaptive_steps_are_taken_in_half_precision_too(dtype):
    like = data(dtype)[0, 0]
    found = sample(PROCESS, [normal, normal], 200, DormandPrince(), like=like)
    x = torch.as_tensor(found.x).double()
    assert found.x.dtype == like.dtype
    assert float(x.std()) == pytest.approx(1, abs=0.03)


def test_two_numbers_are_told_apart_in_half_precision_and_256_are_not():
    x = torch.tensor([[0.0, 1.0] * 32], dtype=torch.float16)
    found, expected = (
        log_likelihood(PROCESS, [normal, normal], y, bins=Bins(count=2), steps=50, trace=Exact()).nats
        for y in (x, x.float())
    )
    np.testing.assert_allclose(found, expected, atol=64 * 2.0**-11)
    with pytest.raises(ValueError, match=r"float16 cannot tell 256 numbers apart"):
        log_likelihood(PROCESS, [normal, normal], x, bins=Bins(), steps=50)
