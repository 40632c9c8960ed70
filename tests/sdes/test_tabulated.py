"""SDEs from tables: the points themselves, a smooth schedule between them, gradients, and what is refused."""

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import PchipInterpolator

from subspace_sde import VP
from subspace_sde.sdes import Tabulated
from subspace_sde.sdes.symbolic import derive
from subspace_sde.specification import build, specify

BETAS = np.linspace(1e-4, 0.02, 1000)
DDPM = Tabulated.from_betas(BETAS)


def sampled(sde, times):
    return Tabulated(times, *([getattr(sde, name)(float(t)) for t in times] for name in ("alpha", "sigma")))


def test_a_table_goes_through_its_points():
    alpha_bar = np.cumprod(1 - BETAS)
    found = [DDPM.log_snr(float(t)) for t in DDPM.times]
    np.testing.assert_allclose(found, np.log(alpha_bar / (1 - alpha_bar)), rtol=0, atol=1e-10)
    np.testing.assert_allclose([DDPM.alpha(float(t)) for t in DDPM.times], np.sqrt(alpha_bar), rtol=1e-12)
    np.testing.assert_allclose([DDPM.sigma(float(t)) for t in DDPM.times], np.sqrt(1 - alpha_bar), rtol=1e-9)
    assert (DDPM.t_min, DDPM.T) == (1e-3, 1.0)
    for i in (0, 499, 999):
        assert DDPM.times[i] * 1000 - 1 == pytest.approx(i, abs=1e-9)


def test_the_schedule_of_ddpm_is_its_table_and_not_the_formula():
    ends = [DDPM.log_snr(t) - VP(0.1, 20.0).log_snr(t) for t in (1e-3, 1.0)]
    assert [round(abs(e), 2) for e in ends] == [0.09, 0.07]


def test_between_its_points_a_table_is_scipys_monotone_cubic(array):
    times = np.asarray([0.0, 0.1, 0.4, 0.5, 0.9, 1.0])
    log_alpha, log_snr = -(times**2), np.asarray([9.0, 6.0, 5.9, 1.0, -2.0, -2.5])
    alphas = np.exp(log_alpha)
    sde = Tabulated(times, alphas, alphas * np.exp(-log_snr / 2))
    t = np.linspace(0.0, 1.0, 57)
    a, v = (PchipInterpolator(times, y) for y in (log_alpha, log_snr))
    sigma = np.exp(a(t) - v(t) / 2)
    expected = {"alpha": np.exp(a(t)), "sigma": sigma, "f": a(t, nu=1), "g": sigma * np.sqrt(-v(t, nu=1))}
    for name, value in expected.items():
        curve = getattr(sde, name)
        np.testing.assert_allclose([curve(float(u)) for u in t], value, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(np.asarray(curve(array(t))), value, rtol=2e-5, atol=1e-5)


def test_the_finer_the_table_the_nearer_the_schedule():
    vp, between = VP(), np.linspace(0.1, 0.9, 333)
    gaps = []
    for points in (21, 41, 81):
        table = sampled(vp, np.linspace(0.05, 1.0, points))
        gaps.append(max(abs(table.log_snr(float(t)) - vp.log_snr(float(t))) for t in between))
    assert gaps[0] > 6 * gaps[1] > 36 * gaps[2] and gaps[2] < 2e-4


def test_a_table_is_differentiable():
    t = torch.tensor([0.0123, 0.3004, 0.7771], dtype=torch.float64, requires_grad=True)
    for name in ("alpha", "sigma", "f", "g"):
        assert torch.autograd.gradcheck(getattr(DDPM, name), (t,))
    v = torch.tensor([DDPM.log_snr(u) for u in t.tolist()], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: DDPM.time_at_log_snr(v, clip=True), (v,))
    mapped = torch.func.vmap(DDPM.sigma)(t.detach())
    torch.testing.assert_close(mapped, DDPM.sigma(t.detach()), rtol=1e-14, atol=0)


def test_a_view_with_gaps_and_one_number_are_arrays_too(array):
    t = array(np.linspace(0.1, 0.9, 12))
    np.testing.assert_array_equal(np.asarray(DDPM.sigma(t)[::3]), np.asarray(DDPM.sigma(t[::3])))
    assert np.shape(DDPM.sigma(array(0.5))) == () and DDPM.sigma(array([])).shape == (0,)
    assert float(DDPM.sigma(array(0.5))) == pytest.approx(DDPM.sigma(0.5), rel=1e-6)


def test_an_end_that_is_flat_can_be_inverted():
    flat = Tabulated([0.0, 1.0, 2.0], np.ones(3), np.exp([0.0, 1e-3, 1.0]))  # PCHIP has no slope at 0
    assert flat.g(0.0) == 0
    for v in (flat.log_snr(0.0), flat.log_snr(1e-6), -1e-9, -1e-4):
        assert flat.log_snr(flat.time_at_log_snr(v)) == pytest.approx(v, abs=1e-15)
        again = flat.time_at_log_snr(torch.tensor([v], dtype=torch.float64))
        assert float(again) == pytest.approx(flat.time_at_log_snr(v), abs=1e-12)


def test_a_part_of_a_table_has_the_same_curves():
    part = DDPM.between(0.05, 0.951)
    assert (part.t_min, part.T, part.prior_std) == (0.05, 0.951, DDPM.sigma(0.951))
    assert [part.g(t) for t in (0.05, 0.5)] == [DDPM.g(t) for t in (0.05, 0.5)]
    with pytest.raises(ValueError, match=r"log_snr must lie in|t must lie in"):
        part.log_snr(0.96)
    with pytest.raises(ValueError, match=r"t_min must lie in \[0.05, 0.951\], got 0.01"):
        part.between(0.01, 0.9)
    again = build(specify(part))
    assert again == part != DDPM and again.alpha(0.123) == part.alpha(0.123)
    assert repr(part).endswith("t_min=0.05, T=0.951)") and "1000" in repr(part)


@pytest.mark.parametrize(
    ("times", "alphas", "sigmas", "sentence"),
    [
        ([0, 1], [1, 0.5], [0.1, 0.2, 0.3], r"tables of one length, two or more, got shapes \(2,\), \(2,\), \(3,\)"),
        ([0], [1], [0.1], "two or more"),
        ([[0, 1]], [[1, 1]], [[0.1, 0.2]], "tables of one length"),
        ([0, math.nan], [1, 0.5], [0.1, 0.2], "times must be finite, got nan at 1"),
        ([0, 0], [1, 0.5], [0.1, 0.2], "times must increase, got 0 at 1"),
        ([1, 0], [1, 0.5], [0.1, 0.2], "times must increase, got 0 at 1"),
        ([0, 1], [1, 0.0], [0.1, 0.2], "alphas must be positive and finite, got 0 at 1"),
        ([0, 1], [1, -1], [0.1, 0.2], "alphas must be positive and finite, got -1 at 1"),
        ([0, 1], [1, math.inf], [0.1, 0.2], "alphas must be positive and finite, got inf at 1"),
        ([0, 1], [1, 0.5], [0.0, 0.2], "sigmas must be positive and finite, got 0 at 0"),
        ([0, 1], [1, 1], [0.2, 0.2], r"log\(alphas²/sigmas²\) must decrease strictly, got 3.21888 at 1"),
        ([0, 1, 2], [1, 1, 1], [0.2, 0.3, 0.1], r"log\(alphas²/sigmas²\) must decrease strictly, got .* at 2"),
    ],
)
def test_a_table_that_is_none_is_refused(times, alphas, sigmas, sentence):
    with pytest.raises(ValueError, match=sentence):
        Tabulated(np.asarray(times, float), np.asarray(alphas, float), np.asarray(sigmas, float))


def test_ends_outside_of_the_table_are_refused():
    for t_min, T in ((-1.0, 1.0), (0.0, 3.0)):
        with pytest.raises(ValueError, match="the table reaches from 0 to 1, got t_min = "):
            Tabulated([0.0, 1.0], [1.0, 1.0], [0.1, 0.2], t_min, T)


@pytest.mark.parametrize("betas", [[0.1], [[0.1, 0.2]], [0.1, 0.0], [0.1, -0.1], [0.1, math.nan], [0.1, 1.0], 0.5])
def test_betas_that_are_none_are_refused(betas):
    with pytest.raises(ValueError, match="betas are at least two numbers between 0 and 1, got"):
        Tabulated.from_betas(np.asarray(betas))


def test_a_table_has_no_formula():
    with pytest.raises(TypeError, match="a table has no formula: t is a number or an array, got Symbol"):
        derive(DDPM)
