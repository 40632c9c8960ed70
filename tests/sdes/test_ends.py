"""Where the curves end: zero terminal SNR, numbers that overflow, and times that are none."""

import math
import re

import numpy as np
import pytest
import torch

from subspace_sde import EDM, VE, VP, IsotropicSDE, LowPass, NestedSubspaces, RectifiedFlow, SubspaceSDE, SubVP, sample
from subspace_sde.arrays import namespace
from subspace_sde.likelihood import encode
from subspace_sde.losses import denoising_score_matching, edm
from subspace_sde.sdes.base import checked_time
from subspace_sde.solvers import DDIM, DPMSolver, EulerMaruyama, Heun, ReverseDiffusion
from subspace_sde.testing import check_sde

SDES = [VE(), VP(), SubVP(), EDM(), RectifiedFlow()]
each_sde = pytest.mark.parametrize("sde", SDES, ids=lambda s: type(s).__name__)


class Line(IsotropicSDE):
    """α = 1 − t, σ = t up to T, 1 without it: then α(T) = 0 exactly."""

    def __init__(self, T=1.0):
        super().__init__(1e-3, T)

    def alpha(self, t):
        return 1.0 - t

    def sigma(self, t):
        return 1.0 * t

    def f(self, t):
        return -1 / (1 - t)

    def g(self, t):
        return (2 * t / (1 - t)) ** 0.5


class Cosine(IsotropicSDE):
    """α = cos(πt/2): at t = 1 a rounding away from 0."""

    def __init__(self, T=1.0):
        super().__init__(1e-3, T)

    def alpha(self, t):
        return np.cos(np.pi / 2 * t)

    def sigma(self, t):
        return np.sin(np.pi / 2 * t)

    def f(self, t):
        return -np.pi / 2 * np.tan(np.pi / 2 * t)

    def g(self, t):
        return np.sqrt(np.pi * np.tan(np.pi / 2 * t))


TOLD = r"zero but for rounding: there a score says nothing of the data.*end at a T slightly below"


@pytest.mark.parametrize("sde", [Line(), Cosine()], ids=["line", "cosine"])
@pytest.mark.parametrize("solver", [EulerMaruyama(), ReverseDiffusion(), DDIM(), Heun(), DPMSolver(2), DPMSolver(3)])
def test_no_solver_begins_at_alpha_0(sde, solver):
    nested = NestedSubspaces([], ambient_shape=(2,))
    with pytest.raises(ValueError, match=TOLD):
        sample(SubspaceSDE(sde, nested, [], []), [lambda x, t: -x], 2, solver, 20)
    if not isinstance(solver, EulerMaruyama | ReverseDiffusion):
        with pytest.raises(ValueError, match=TOLD):
            encode(SubspaceSDE(sde, nested, [], []), [lambda x, t: -x], np.zeros((1, 2)), solver, 20)
    below = type(sde)(0.999)
    score = lambda x, t: -x / (below.alpha(t) ** 2 + below.sigma(t) ** 2)  # noqa: E731 (data N(0, I))
    steps = 2000 if isinstance(solver, EulerMaruyama) else 200
    x = sample(SubspaceSDE(below, nested, [], []), [score], 4000, solver, steps, np.random.default_rng(0)).x
    assert np.std(x) == pytest.approx(1, abs=0.06)


def test_euler_maruyama_refuses_a_drift_that_is_all_but_unbounded():
    """Its samples had a standard deviation of 170 where 0.5 is right; the solvers without f do not mind."""
    sde = Cosine(1 - 1e-9)
    process = SubspaceSDE(sde, NestedSubspaces([], ambient_shape=(2,)), [], [])
    score = lambda x, t: -x / (0.25 * sde.alpha(t) ** 2 + sde.sigma(t) ** 2)  # noqa: E731
    with pytest.raises(ValueError, match=r"one step from t = 1 takes x to 2e\+07 times itself.* take DDIM\(\)"):
        sample(process, [score], 2, EulerMaruyama(), 50)
    for solver in (DDIM(), DPMSolver(2), DPMSolver(3), Heun()):
        x = sample(process, [score], 2000, solver, 50, np.random.default_rng(0)).x
        assert np.std(x) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("sde", [Line(), Cosine()], ids=["line", "cosine"])
def test_check_sde_tells(sde):
    with pytest.raises(AssertionError, match=r"α\(T\) is not 0.* raises ValueError: .*" + TOLD):
        check_sde(sde)


def test_check_sde_looks_at_f_and_g_at_the_ends():
    class Unbounded(VE):
        def g(self, t):
            return super().g(t) if t < self.T else math.inf

    with pytest.raises(AssertionError, match="g is finite at the ends: does not hold: got"):
        check_sde(Unbounded())


def test_log_snr_says_why_it_is_none():
    for call in (lambda: Line().log_snr(1.0), lambda: Line().time_at_log_snr(0.0)):
        with pytest.raises(ValueError, match=TOLD):
            call()


@pytest.mark.parametrize("kind", [VP, SubVP])
def test_a_beta_that_leaves_nothing_of_the_data_is_refused(kind):
    with pytest.raises(ValueError, match=r"ends at alpha\(T\) = 0, " + TOLD):
        kind(beta_max=1e30)


# -- numbers


@each_sde
@pytest.mark.parametrize("library", [np, torch], ids=["numpy", "torch"])
def test_the_inverse_holds_in_half_precision(sde, library):
    low, high = sde.log_snr(sde.T), sde.log_snr(sde.t_min)
    v = np.linspace(low + 0.5, high - 0.5, 41)
    half = library.asarray(v, dtype=library.float16)
    found = np.asarray(sde.time_at_log_snr(half), dtype=np.float64)
    exact = np.asarray([sde.time_at_log_snr(float(u)) for u in np.asarray(half, dtype=np.float64)])
    assert np.all(np.isfinite(found))
    np.testing.assert_allclose(found, exact, rtol=0.03, atol=2e-3)


def test_the_sub_vp_inverse_is_exact_at_both_ends():
    for sde in (SubVP(t_min=1e-6), SubVP(0.01, 50.0, t_min=1e-4, T=1.2)):
        for t in np.geomspace(sde.t_min, sde.T, 50):
            assert sde.time_at_log_snr(sde.log_snr(float(t))) == pytest.approx(t, rel=1e-10)


@each_sde
def test_integers_and_numbers_without_axes(sde, array):
    with pytest.raises(ValueError, match="t must hold floating-point numbers, got int64"):
        sde.log_snr(np.asarray([1, 1]))
    t = (sde.t_min + sde.T) / 2
    found = sde.log_snr(array(t))
    assert np.shape(found) == () and float(found) == pytest.approx(sde.log_snr(t), rel=1e-5)
    assert float(sde.time_at_log_snr(found)) == pytest.approx(t, rel=1e-4)
    assert sde.log_snr(array(np.zeros((0,)))).shape == (0,)


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 1e300])
@each_sde
def test_a_process_refuses_times_outside_its_own(sde, value):
    process = SubspaceSDE(sde, NestedSubspaces([LowPass((4,), 2, axes=(-1,))]), [(sde.t_min + sde.T) / 2], [0.3])
    x, limits = np.ones((2, 4)), re.escape(f"t must lie in [{sde.t_min:g}, {sde.T:g}], got ")
    many = np.asarray([sde.T, value])
    for call in (
        lambda: sde.log_snr(value),
        lambda: process.drift(x, value),
        lambda: process.diffusion(x, value),
        lambda: process.perturb(x, value, rng=0),
        lambda: process.perturb(x, many, rng=0),
        lambda: process.complement_variance(1, value),
        lambda: process.full_score([lambda y, t: -y] * 2)(x, value),
        lambda: process.full_score([lambda y, t: -y] * 2)(x, many),
    ):
        with np.errstate(all="ignore"), pytest.raises(ValueError, match=limits):
            call()


@pytest.mark.parametrize("value", [math.nan, -1.0, 0.0, math.inf])
def test_nan_and_negative_numbers_are_refused(value):
    calls = [
        lambda: VE(value), lambda: VE(1.0, value), lambda: VP(value), lambda: VP(0.1, value), lambda: VP(t_min=value),
        lambda: SubVP(value), lambda: EDM(value), lambda: EDM(1.0, value), lambda: RectifiedFlow(value),
        lambda: RectifiedFlow(T=value), lambda: edm(value),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match=r"needs 0 <|must be positive|must lie below T"):
            call()


def test_the_loss_wants_a_time_for_every_element():
    for t, kind in ((0.5, TypeError), (np.asarray(0.5), ValueError)):
        with pytest.raises(kind, match=r"`t` takes an array|t must be an array with one time for every element"):
            denoising_score_matching(lambda x, t: -x, np.zeros((3, 2)), t, VE(), rng=0)


def test_a_time_outside_that_cannot_be_read_becomes_nan(like, array, host, monkeypatch):
    # as on a device; within rounding of an end it is inside
    monkeypatch.setattr("subspace_sde.sdes.base.readable", lambda t: False)
    eps = float(namespace(like).finfo(like.dtype).eps)
    given = array([-0.1, -eps, 0.0, 0.3, 1.0, 1.0 + eps, 1.1])
    np.testing.assert_array_equal(np.isnan(host(checked_time(given, VE()))), [1, 0, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(host(checked_time(given, VE()))[1:-1], host(given)[1:-1])
