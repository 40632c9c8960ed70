"""Score adapters against the closed form of a Gaussian, whose conditional means are linear regressions."""

import math
import re
from functools import cache

import numpy as np
import pytest
import sympy

from subspace_sde import EDM, VE, VP, Downsampling, LowPass, RectifiedFlow, SubVP
from subspace_sde.arrays import namespace
from subspace_sde.scores import (
    change_process,
    denoiser,
    from_denoiser,
    from_noise,
    from_v_prediction,
    from_velocity,
    guided,
    precondition,
)
from subspace_sde.sdes.symbolic import derive

SDES = [VE(), VP(), SubVP(), EDM(), RectifiedFlow(), VE(0.1, 20.0), VP(0.5, 7.0, T=2.0)]
SHAPE = (3, 2)
DRAW = np.random.default_rng(0).standard_normal
MEAN = DRAW(SHAPE)
ROOT = DRAW((6, 6)) / 2
COVARIANCE = ROOT @ ROOT.T + 0.1 * np.eye(6)

by_sde = pytest.mark.parametrize("sde", SDES)
by_time = pytest.mark.parametrize("per_sample", [False, True], ids=["one t", "a t for each"])


class Regression:
    """What networks trained to perfection on N(mean, covariance) would say at x = α x(0) + σ ε, one row at a time."""

    def __init__(self, mean, covariance):
        self.mean, self.covariance = mean.reshape(-1), covariance

    def data(self, x, alpha, sigma):
        """E[x(0) | x] = μ + Cov(x(0), x) Cov(x)⁻¹ (x − αμ)."""
        return self.mean + alpha * self.covariance @ self.residual(x, alpha, sigma)

    def noise(self, x, alpha, sigma):
        """E[ε | x] = σ Cov(x)⁻¹ (x − αμ)."""
        return sigma * self.residual(x, alpha, sigma)

    def score(self, x, alpha, sigma):
        """∇ log N(x; αμ, α²C + σ²I)."""
        return -self.residual(x, alpha, sigma)

    def residual(self, x, alpha, sigma):
        covariance = alpha**2 * self.covariance + sigma**2 * np.eye(len(self.mean))
        return np.linalg.solve(covariance, x - alpha * self.mean)


GAUSSIAN = Regression(MEAN, COVARIANCE)


def inner_times(sde, n):
    """Times from a fifth to four fifths of the SDE's own grid, where nothing cancels much."""
    return sde.grid(5 * (n + 1))[n + 1 : 4 * (n + 1) : 3][:n].copy()


def network(predict, array, host):
    """A network of (x, t) from a rule for one row; `predict(row, t)` in float64."""

    def called(x, t):
        rows = host(x).reshape(-1, math.prod(x.shape[-2:]))
        times = np.broadcast_to(host(t) if hasattr(t, "shape") else t, x.shape[:-2]).reshape(-1)
        out = np.stack([predict(row, float(time)) for row, time in zip(rows, times)])
        return array(out.reshape(tuple(x.shape)))

    return called


def inputs(sde, per_sample, array, host):
    """x about as the process has it, t as the adapter gets it, and the times that the rounded t stands for."""
    times = inner_times(sde, 4)
    if not per_sample:
        times = np.full(4, times[1])
    t = array(times) if per_sample else float(times[0])
    times = host(t) if per_sample else times
    spread = np.asarray([sde.alpha(float(s)) + sde.sigma(float(s)) for s in times])
    return array(np.random.default_rng(1).standard_normal((4, *SHAPE)) * spread[:, None, None]), t, times


@cache
def curves(sde):
    """α, σ, α' and σ' of a float, the derivatives by sympy."""
    derived = derive(sde)
    rates = [sympy.lambdify(derived.t, sympy.diff(c, derived.t)) for c in (derived.alpha, derived.sigma)]
    return sde.alpha, sde.sigma, *rates


def predictions(sde):
    alpha, sigma, alpha_rate, sigma_rate = curves(sde)

    def of(combine):
        def predict(row, t):
            a, s = alpha(t), sigma(t)
            return combine(t, a, s, GAUSSIAN.data(row, a, s), GAUSSIAN.noise(row, a, s))

        return predict

    return {
        from_noise: of(lambda t, a, s, data, noise: noise),
        from_denoiser: of(lambda t, a, s, data, noise: data),
        from_velocity: of(lambda t, a, s, data, noise: alpha_rate(t) * data + sigma_rate(t) * noise),
        from_v_prediction: of(lambda t, a, s, data, noise: a * noise - s * data),
    }


def assert_scores(found, x, times, sde, host, eps, exact):
    """Errors of a few roundings of x and of the data, seen through 1/σ², the steepest slope of a score."""
    expected = np.stack([exact(row.reshape(-1), float(t)) for row, t in zip(host(x), times)]).reshape(x.shape)
    sigma = np.asarray([sde.sigma(float(t)) for t in times])[:, None, None]
    size = np.max(np.abs(host(x)), axis=(1, 2), keepdims=True) + np.max(np.abs(MEAN))
    assert found.dtype == x.dtype and found.shape == x.shape
    assert np.all(np.abs(host(found) - expected) <= 200 * eps * size * (1 + 1 / sigma**2))


@by_sde
@by_time
@pytest.mark.parametrize("adapter", [from_noise, from_denoiser, from_velocity, from_v_prediction])
def test_adapters(sde, per_sample, adapter, array, host, eps):
    x, t, times = inputs(sde, per_sample, array, host)
    score = adapter(network(predictions(sde)[adapter], array, host), sde)
    assert_scores(score(x, t), x, times, sde, host, eps, lambda row, s: GAUSSIAN.score(row, sde.alpha(s), sde.sigma(s)))


@by_sde
@by_time
def test_denoiser_is_tweedie(sde, per_sample, array, host, eps):
    """E[x(0) | x] of the score is that of the regression, and from_denoiser takes it back to the score."""
    x, t, times = inputs(sde, per_sample, array, host)
    score = network(lambda row, s: GAUSSIAN.score(row, sde.alpha(s), sde.sigma(s)), array, host)
    denoised = denoiser(score, sde)
    expected = [GAUSSIAN.data(row.reshape(-1), sde.alpha(s), sde.sigma(s)) for row, s in zip(host(x), times.tolist())]
    size = (
        np.max(np.abs(host(x)), axis=(1, 2), keepdims=True)
        / np.asarray([sde.alpha(float(s)) for s in times])[:, None, None]
    )
    assert np.all(np.abs(host(denoised(x, t)) - np.stack(expected).reshape(x.shape)) <= 200 * eps * (1 + size))
    again = from_denoiser(denoised, sde)(x, t)
    assert_scores(again, x, times, sde, host, eps, lambda row, s: GAUSSIAN.score(row, sde.alpha(s), sde.sigma(s)))


def test_adapters_take_any_leading_axes(array, host, eps):
    sde = VP()
    x, t, _ = inputs(sde, True, array, host)
    score = from_noise(network(predictions(sde)[from_noise], array, host), sde)
    xp = namespace(x)
    square = score(xp.reshape(x, (2, 2, *SHAPE)), xp.reshape(t, (2, 2)))
    np.testing.assert_array_equal(host(square).reshape(x.shape), host(score(x, t)))


# -- preconditioning -----------------------------------------------------------------------------------------------


@by_time
@pytest.mark.parametrize("mean", [0.0, 0.45])
def test_precondition_is_karras_et_al(per_sample, mean, array, host, eps):
    """Their table 1: D = c_skip x + c_out F(c_in x; c_noise), for data about `mean`."""
    sde, sigma_data = EDM(), 0.3
    x, t, times = inputs(sde, per_sample, array, host)

    def raw(x, c):  # any function that feels both arguments
        return namespace(x).tanh(x) + (c if isinstance(c, float) else namespace(x).reshape(c, (-1, 1, 1))) * x

    sigma = times[:, None, None]
    c_skip = sigma_data**2 / (sigma**2 + sigma_data**2)
    c_out = sigma * sigma_data / np.sqrt(sigma_data**2 + sigma**2)
    c_in, c_noise = 1 / np.sqrt(sigma**2 + sigma_data**2), np.log(sigma) / 4
    y = host(x) - mean
    expected = mean + c_skip * y + c_out * (np.tanh(c_in * y) + c_noise * c_in * y)
    found = precondition(raw, sde, sigma_data, mean)(x, t)
    assert found.dtype == x.dtype
    assert np.all(np.abs(host(found) - expected) <= 100 * eps * (1 + np.abs(y)))


@by_sde
@by_time
def test_a_silent_network_is_the_denoiser_of_white_data(sde, per_sample, array, host, eps):
    """With F = 0 the preconditioning is exact for N(mean, σ_data² I), under any process."""
    x, t, times = inputs(sde, per_sample, array, host)
    found = host(precondition(lambda x, c: 0 * x, sde, 0.4, 0.25)(x, t))
    white = Regression(np.full(SHAPE, 0.25), 0.16 * np.eye(6))
    for i, s in enumerate(times.tolist()):
        row = host(x)[i].reshape(-1)
        expected = white.data(row, sde.alpha(s), sde.sigma(s)).reshape(SHAPE)
        assert np.max(np.abs(found[i] - expected)) <= 100 * eps * (1 + np.max(np.abs(row)) / sde.alpha(s))


# -- another process, another range, another level -----------------------------------------------------------------


def times_in_both(sde, trained, shift, n=4):
    """Times of `sde` whose t' = t'(t) lies in the range of `trained`."""
    low = max(sde.log_snr(sde.T), trained.log_snr(trained.T) - shift, -6.0)
    high = min(sde.log_snr(sde.t_min), trained.log_snr(trained.t_min) - shift, 4.0)
    return np.asarray([sde.time_at_log_snr(float(v)) for v in np.linspace(low + 0.1, high - 0.1, n)])


def converted_score_is_exact(trained, sde, array, host, eps, per_sample, regression, scale, offset, coordinate_scale):
    """The network has seen scale y + offset, and the level's coordinates are coordinate_scale y; y is `regression`."""
    ones = np.ones(SHAPE)
    seen = Regression(scale * regression.mean + offset, scale**2 * regression.covariance)
    level = Regression(coordinate_scale * regression.mean, coordinate_scale**2 * regression.covariance)
    score = network(lambda row, s: seen.score(row, trained.alpha(s), trained.sigma(s)), array, host)
    times = times_in_both(sde, trained, 2 * math.log(coordinate_scale / scale))
    for t, exact in ((array(times), host(array(times))),) if per_sample else ((float(s), [s] * 4) for s in times):
        spread = coordinate_scale * np.asarray([sde.alpha(float(s)) + sde.sigma(float(s)) for s in exact])
        x = array(np.random.default_rng(2).standard_normal((4, *SHAPE)) * spread[:, None, None] * ones)
        converted = change_process(score, trained, sde, scale, offset, coordinate_scale)
        found = converted(x, t)
        assert found.dtype == x.dtype
        for i, s in enumerate(exact):
            a, b = sde.alpha(float(s)), sde.sigma(float(s))
            row = host(x)[i].reshape(-1)
            # an error of t' moves the score by about log_snr's own error, a few roundings of it
            size = (1 + np.max(np.abs(row)) + a * np.max(np.abs(level.mean)) + a * abs(offset)) / b**2
            expected = level.score(row, a, b)
            assert np.max(np.abs(host(found)[i].reshape(-1) - expected)) <= 1000 * eps * size


PAIRS = [(a, b) for a in SDES[:5] for b in SDES[:5] if a is not b]


@pytest.mark.parametrize(("trained", "sde"), PAIRS)
@by_time
def test_change_of_process(trained, sde, per_sample, array, host, eps):
    converted_score_is_exact(trained, sde, array, host, eps, per_sample, GAUSSIAN, 1.0, 0.0, 1.0)


@pytest.mark.parametrize(("trained", "sde"), [(VP(), VE()), (VE(), VE()), (EDM(), RectifiedFlow())])
@by_time
def test_change_of_data_range(trained, sde, per_sample, array, host, eps):
    """A network on [−1, 1] used for data in [0, 1]."""
    converted_score_is_exact(trained, sde, array, host, eps, per_sample, GAUSSIAN, 2.0, -1.0, 1.0)


LEVELS = [Downsampling((4, 9), (2, 3)), LowPass((5, 7), (3, 2))]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("trained", [VP(), EDM()])
@by_time
def test_a_low_resolution_network_is_a_level(level, trained, per_sample, array, host, eps):
    """A network trained on shrunk images y in [−1, 1] is the score of the level whose coordinates are √Π(N/n) y.

    The images are Gaussian, and so are y and the coordinates; y has the brightness of the image it was shrunk from.
    """
    gain = math.sqrt(level.ambient_dim / level.dim)
    shrink = level.matrix().T / gain
    np.testing.assert_allclose(shrink @ np.ones(level.ambient_dim), 1.0, rtol=1e-13)
    root = np.random.default_rng(3).standard_normal((level.ambient_dim, level.ambient_dim)) / 4
    images = Regression(np.random.default_rng(4).uniform(size=level.ambient_dim), root @ root.T)
    small = Regression(shrink @ images.mean, shrink @ images.covariance @ shrink.T)
    exact = Regression(level.matrix().T @ images.mean, level.matrix().T @ images.covariance @ level.matrix())
    np.testing.assert_allclose(gain * small.mean, exact.mean, rtol=1e-12)
    np.testing.assert_allclose(gain**2 * small.covariance, exact.covariance, atol=1e-12)

    sde, scale, offset = VE(), 2.0, -1.0
    seen = Regression(scale * small.mean + offset, scale**2 * small.covariance)
    score = network(lambda row, s: seen.score(row, trained.alpha(s), trained.sigma(s)), array, host)
    converted = change_process(score, trained, sde, scale, offset, coordinate_scale=gain)
    times = times_in_both(sde, trained, 2 * math.log(gain / scale))
    x = array(np.random.default_rng(5).standard_normal((4, *level.shape)) * 3)
    for i, s in enumerate(host(array(times)) if per_sample else times):
        found = host(converted(x, array(times) if per_sample else float(s)))[i].reshape(-1)
        expected = exact.score(host(x)[i].reshape(-1), 1.0, sde.sigma(float(s)))
        assert np.max(np.abs(found - expected)) <= 2000 * eps * 10 / sde.sigma(float(s)) ** 2


def test_the_identity_of_a_process_changes_nothing(array, host, eps):
    x, t, _ = inputs(VE(), False, array, host)
    found = change_process(lambda x, t: x / (1 + t), VE(), VE())(x, t)
    assert np.max(np.abs(host(found) - host(x) / (1 + t))) <= 10 * eps * np.max(np.abs(host(x)))


def test_a_time_outside_the_training_range_is_refused(array):
    """VE(0.01, 50) reaches noise levels that a network trained up to σ = 2 has never seen."""
    trained = EDM(0.01, 2.0)
    converted = change_process(lambda x, t: x, trained, VE())
    x = array(np.ones((2, *SHAPE)))
    converted(x, 0.5)
    message = re.escape(f"log_snr must lie in [{trained.log_snr(2.0):g}, {trained.log_snr(0.01):g}], got ")
    for t in (0.9, array([0.5, 0.9])):
        with pytest.raises(ValueError, match=message):
            converted(x, t)
    # twice the data range is half the noise: now t' is too small instead
    with pytest.raises(ValueError, match=message):
        change_process(lambda x, t: x, trained, VE(), coordinate_scale=2.0)(x, 0.01)


@pytest.mark.parametrize(("scale", "coordinate_scale"), [(0.0, 1.0), (-2.0, 1.0), (1.0, 0.0), (math.nan, 1.0)])
def test_scales_must_be_positive(scale, coordinate_scale):
    with pytest.raises(ValueError, match="scale and coordinate_scale must be positive, got"):
        change_process(lambda x, t: x, VE(), VP(), scale=scale, coordinate_scale=coordinate_scale)


def test_a_time_for_another_batch_is_refused(array):
    with pytest.raises(ValueError, match=re.escape("t has shape (3,), but the batch of x is (2,)")):
        from_noise(lambda x, t: x, VE())(array(np.ones((2, *SHAPE))), array([0.1, 0.2, 0.3]))


@pytest.mark.parametrize("weight", [0.0, 2.0])
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64"])
def test_the_label_for_none_is_of_the_labels_dtype(dtype, weight, xp, array):
    labels, seen = xp.asarray([1, 2], dtype=getattr(xp, dtype)), []

    def score(x, t, condition):
        seen.append((condition.dtype, [float(c) for c in condition]))
        return x

    guided(score, weight, 9)(array(np.ones((2, 3))), 0.5, labels)
    assert seen == [(labels.dtype, [9, 9] if weight == 0 else [1, 2, 9, 9])]


def test_times_outside_are_named(array):
    score, x = from_noise(lambda x, t: x, VP()), array(np.ones((2, 3)))
    for t, got in ((2.0, "2"), (array([2.0, 2.0]), "2"), (array([0.5, 2.0]), "values from 0.5 to 2")):
        with pytest.raises(ValueError, match=rf"t must lie in \[0.001, 1\], the times of VP\(.*\), got {got}$"):
            score(x, t)
