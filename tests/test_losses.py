"""Denoising score matching against closed forms for Gaussian data, where every expectation is a trace."""

import math
import re

import numpy as np
import pytest
import torch

from subspace_sde import EDM, VE, VP, Downsampling, LowPass, NestedSubspaces, RectifiedFlow, SubVP
from subspace_sde.arrays import namespace, over
from subspace_sde.backend import Noise, backend_of, library, streams
from subspace_sde.losses import denoising_score_matching, edm, likelihood, sigma_squared
from subspace_sde.scores import denoiser

SDES = [VE(), VP(), SubVP(), EDM(), RectifiedFlow()]
SHAPE = (2, 3)
by_sde = pytest.mark.parametrize("sde", SDES)


def white(sde, c=1.0):
    """c times the score of N(0, I) data."""

    def score(x, t):
        return -x * over(c / (sde.alpha(t) ** 2 + sde.sigma(t) ** 2), x, x.ndim - t.ndim)

    return score


def middle(sde):
    """A time at which signal and noise are about equal, so that no term of a loss drowns the others."""
    return sde.time_at_log_snr(0.3)


def one_generator(x, seed):
    """One stream for the whole batch: quicker than one a sample, where only the distribution matters."""
    return backend_of(x).generator(seed, x)


def batch(array, n, t, seed=0):
    return array(np.random.default_rng(seed).standard_normal((n, *SHAPE))), array(np.full(n, t))


@by_sde
@pytest.mark.parametrize("c", [0.0, 0.5, 1.0, 1.5])
def test_expected_value(sde, c, array, host):
    """E λ‖c s* + ε/σ‖²/d = λ (1/σ² − (2c − c²)/(α² + σ²)) for N(0, I), within five standard errors."""
    t = middle(sde)
    x0, times = batch(array, 4000, t)
    loss = host(denoising_score_matching(white(sde, c), x0, times, sde, one_generator(x0, 1)))
    alpha, sigma = sde.alpha(t), sde.sigma(t)
    expected = sigma**2 * (1 / sigma**2 - (2 * c - c**2) / (alpha**2 + sigma**2))
    assert loss.shape == (4000,)
    assert abs(loss.mean() - expected) < 5 * loss.std() / math.sqrt(len(loss))


@pytest.mark.parametrize("half", [np.float16, torch.float16, torch.bfloat16], ids=str)
def test_little_noise_does_not_overflow_half_precision(half):
    """(ε/σ)² is 10⁴ on average here and up to 10⁵ and more; float16 ends at 65504."""
    sde = VE()
    t = sde.time_at_log_snr(2 * math.log(100.0))
    x0 = np.zeros((8, 1000))

    def narrow(values):
        return values.astype(half) if half is np.float16 else torch.asarray(values, dtype=half)

    found = denoising_score_matching(lambda x, t: 0 * x, narrow(x0), narrow(np.full(8, t)), sde, rng=0)
    assert found.dtype in (np.float32, torch.float32)
    np.testing.assert_allclose(np.asarray(found), 1, atol=5 * math.sqrt(2 / 1000) + 0.05)


@by_sde
@pytest.mark.parametrize("weighting", [sigma_squared, likelihood, edm(0.5)], ids=["sigma", "likelihood", "edm"])
def test_the_true_score_is_the_minimiser(sde, weighting, array, host):
    """L(c) − L(1) = λ (c − 1)²/(α² + σ²): the same noise on both sides shows the difference clearly."""
    t = middle(sde)
    x0, times = batch(array, 4000, t)

    def loss(c):
        return host(denoising_score_matching(white(sde, c), x0, times, sde, one_generator(x0, 1), weighting))

    for c in (0.5, 1.5):
        difference = loss(c) - loss(1.0)
        error = difference.std() / math.sqrt(len(difference))
        expected = weighting(sde, t) * (c - 1) ** 2 / (sde.alpha(t) ** 2 + sde.sigma(t) ** 2)
        assert abs(difference.mean() - expected) < 5 * error
        assert expected > 5 * error  # so that the sign is certain


@pytest.mark.parametrize("level", [0, 1, 2])
def test_levels_share_the_code(level, array, host):
    """On level k the data are U_kᵀx: E‖s_k + ε/σ‖² = n_k/σ² − tr (α²U_kᵀCU_k + σ²I)⁻¹."""
    nested = NestedSubspaces([Downsampling((4, 6), 2), LowPass((2, 3), (1, 2))])
    sde, t, n = VP(), 0.3, 4000
    root = np.random.default_rng(0).standard_normal((24, 24)) / 4
    u = nested[level].matrix()
    covariance = u.T @ root @ root.T @ u
    alpha, sigma = sde.alpha(t), sde.sigma(t)
    inverse = np.linalg.inv(alpha**2 * covariance + sigma**2 * np.eye(len(covariance)))
    images = np.random.default_rng(1).standard_normal((n, 24)) @ root.T
    x0 = nested[level].restrict(array(images.reshape(n, 4, 6)))
    exact = array(inverse)

    def score(x, t):
        xp = namespace(x)
        return -xp.reshape(xp.matmul(xp.reshape(x, (n, -1)), exact), x.shape)

    loss = host(denoising_score_matching(score, x0, array(np.full(n, t)), sde, one_generator(x0, 2)))
    expected = sigma**2 * (1 / sigma**2 - np.trace(inverse) / len(inverse))
    assert abs(loss.mean() - expected) < 5 * loss.std() / math.sqrt(n)


@by_sde
def test_weightings(sde, array, host, eps):
    """Each is a known loss in other words: of the noise, of the score times g², of Karras's denoiser."""
    times = array([sde.time_at_log_snr(v) for v in (-4.0, -1.0, 0.5, 3.0)])
    x0, _ = batch(array, 4, 0.0)

    def score(x, t):  # any function that feels both arguments
        return namespace(x).tanh(x) - over(0.3 / sde.sigma(t), x, 2) * x

    noise = Noise(5, (4,), x0).normal(SHAPE)
    alpha, sigma, g = (host(curve(times))[:, None, None] for curve in (sde.alpha, sde.sigma, sde.g))
    x = array(alpha * host(x0) + sigma * host(noise))
    s, denoised = host(score(x, times)), host(denoiser(score, sde)(x, times))
    relative, sigma_data = sigma / alpha, 0.4
    expected = {
        sigma_squared: (-sigma * s - host(noise)) ** 2,
        likelihood: g**2 * (s + host(noise) / sigma) ** 2,
        edm(sigma_data): (relative**2 + sigma_data**2) / (relative * sigma_data) ** 2 * (denoised - host(x0)) ** 2,
    }
    for weighting, squares in expected.items():
        found = denoising_score_matching(score, x0, times, sde, rng=5, weighting=weighting)
        assert found.dtype == x0.dtype
        np.testing.assert_allclose(host(found), squares.mean(axis=(1, 2)), rtol=500 * eps)


def test_sigma_squared_is_the_default(array, host):
    x0, t = batch(array, 3, 0.4)
    one, other = (denoising_score_matching(white(VE()), x0, t, VE(), 0, *w) for w in ((), (sigma_squared,)))
    np.testing.assert_array_equal(host(one), host(other))


def test_weightings_of_a_float():
    sde, t = VP(), 0.37
    alpha, sigma = sde.alpha(t), sde.sigma(t)
    assert sigma_squared(sde, t) == sigma**2 and likelihood(sde, t) == sde.g(t) ** 2
    # under EDM itself, λ‖D − x0‖² with D − x0 = σ² (s + ε/σ)
    assert edm(0.5)(EDM(), 3.0) == pytest.approx((9 + 0.25) / (3 * 0.5) ** 2 * 3.0**4, rel=1e-14)
    relative = sigma / alpha
    assert edm(0.5)(sde, t) == pytest.approx((relative**2 + 0.25) / (relative * 0.5) ** 2 * (sigma**2 / alpha) ** 2)


def test_gradients_flow(torch_like):
    """The loss is quadratic in c, so a wide central difference is its derivative but for rounding."""
    sde = VE()
    x0 = torch.asarray(np.random.default_rng(0).standard_normal((64, *SHAPE))).to(torch_like)
    t = torch.linspace(0.4, 0.9, 64, dtype=x0.dtype, device=x0.device)

    def loss(c):
        return denoising_score_matching(white(sde, c), x0, t, sde, rng=3).mean()

    c = torch.asarray(0.7).to(torch_like).requires_grad_()
    loss(c).backward()
    torch.testing.assert_close(c.grad, (loss(1.7) - loss(-0.3)).detach() / 2)


def test_a_sample_has_its_own_loss(array, host):
    """Chunks of a batch, given their part of the streams, have the losses that the whole batch has."""
    sde = VP()
    x0, _ = batch(array, 6, 0.0)
    t = array(np.linspace(0.1, 0.9, 6))
    whole = host(denoising_score_matching(white(sde), x0, t, sde, rng=4))
    part = host(denoising_score_matching(white(sde), x0[2:5], t[2:5], sde, rng=streams(4, 2, 5)))
    np.testing.assert_array_equal(part, whole[2:5])
    xp = namespace(x0)
    square = denoising_score_matching(white(sde), xp.reshape(x0, (2, 3, *SHAPE)), xp.reshape(t, (2, 3)), sde, rng=4)
    assert tuple(square.shape) == (2, 3)
    np.testing.assert_array_equal(host(square).reshape(-1), whole)


def test_times_may_be_more_precise_than_the_data(like, array, host, xp):
    """The loss keeps the data's dtype, whatever the times came in."""
    x0, t = batch(array, 3, 0.4)
    precise = denoising_score_matching(white(VE()), x0, xp.astype(t, xp.float64), VE(), rng=0)
    assert precise.dtype == x0.dtype
    np.testing.assert_allclose(
        host(precise), host(denoising_score_matching(white(VE()), x0, t, VE(), rng=0)), rtol=1e-5
    )


def test_refusals(like, array, xp):
    x0, t = batch(array, 3, 0.4)
    score, sde = white(VE()), VE()
    images = xp.astype(x0, xp.uint8)
    with pytest.raises(ValueError, match=r"x0 must hold floating-point numbers, got .*uint8: convert first, pixels"):
        denoising_score_matching(score, images, t, sde, 0)
    with pytest.raises(TypeError, match=r"`t` takes an array"):
        denoising_score_matching(score, x0, 0.4, sde, 0)
    message = "t has shape (2,), which is not how the shape (3, 2, 3) of x0 begins"
    with pytest.raises(ValueError, match=re.escape(message)):
        denoising_score_matching(score, x0, t[:2], sde, 0)
    with pytest.raises(ValueError, match="rng holds 2 integers for 3 samples"):
        denoising_score_matching(score, x0, t, sde, [0, 1])
    other = torch.full((3,), 0.4) if library(like) == "numpy" else np.full(3, 0.4)
    with pytest.raises(TypeError, match=re.escape("arrays of several libraries in one call (numpy and torch)")):
        denoising_score_matching(score, x0, other, sde, 0)
