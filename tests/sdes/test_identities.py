"""The SDEs: the identities by differences, by sympy, and the formulas of the papers they come from."""

import json
import math
import re

import numpy as np
import pytest
import sympy
from array_api_compat import array_namespace

from subspace_sde import EDM, VE, VP, IsotropicSDE, RectifiedFlow, SubVP
from subspace_sde.sdes import Tabulated
from subspace_sde.sdes.symbolic import derive
from subspace_sde.specification import build, specify
from subspace_sde.testing import check_sde


class Cosine(IsotropicSDE):
    """A user's own: α = cos(πt/2), σ = sin(πt/2), and nothing but the four curves (so the inverse is by bisection)."""

    def __init__(self):
        super().__init__(0.05, 0.9)

    def alpha(self, t):
        return self._of("cos", t)

    def sigma(self, t):
        return self._of("sin", t)

    def f(self, t):
        return -math.pi / 2 * self._of("tan", t)

    def g(self, t):
        return (math.pi * self._of("tan", t)) ** 0.5

    @staticmethod
    def _of(name, t):
        if isinstance(t, (int, float)):
            return getattr(math, name)(math.pi / 2 * t)
        if isinstance(t, sympy.Basic):
            return getattr(sympy, name)(sympy.Float(math.pi, 50) / 2 * t)
        return getattr(array_namespace(t), name)(math.pi / 2 * t)


# a new SDE goes through every test by one line here
FORMULAS = {
    "VE": VE(),
    "VP": VP(),
    "SubVP": SubVP(),
    "EDM": EDM(),
    "RectifiedFlow": RectifiedFlow(),
    "VE, other": VE(0.1, 348.0, t_min=0.1, T=1.5),
    "VP, other": VP(0.5, 7.0, t_min=1e-5, T=2.0),
    "SubVP, other": SubVP(0.01, 50.0, t_min=1e-4, T=1.2),
    "EDM, other": EDM(0.1, 2.0),
    "RectifiedFlow, other": RectifiedFlow(1e-5, 0.9),
    "a user's own": Cosine(),
}
SDES = FORMULAS | {
    "Tabulated": Tabulated.from_betas(np.linspace(1e-4, 0.02, 1000)),
    "Tabulated, other": Tabulated(np.geomspace(0.1, 2.0, 40), np.linspace(3.0, 0.5, 40), np.geomspace(0.01, 9.0, 40)),
    "Tabulated, a part": Tabulated.from_betas(np.linspace(1e-3, 0.2, 100)).between(0.123, 0.97),
}
CURVES = ("alpha", "sigma", "f", "g", "log_snr")
parametrize = pytest.mark.parametrize("sde", SDES.values(), ids=SDES)


@pytest.mark.also_on("strict", "read-only", "jax")
@parametrize
def test_laws(sde, like):
    check_sde(sde, like)


@parametrize
def test_a_part_of_the_times_has_the_same_curves(sde):
    low, high = (sde.t_min + share * (sde.T - sde.t_min) for share in (0.2, 0.7))
    part = sde.between(low, high)
    check_sde(part)
    assert (part.t_min, part.T, part.prior_std) == (low, high, sde.sigma(high))
    for t in (low, 0.5 * (low + high), high):
        assert [getattr(part, name)(t) for name in CURVES] == [getattr(sde, name)(t) for name in CURVES]
    again = part.between(low * (1 - 1e-15), high)
    assert (again.t_min, again.T) == (low, high) and (sde.t_min, sde.T) != (low, high)
    if not isinstance(sde, Cosine):
        assert again == part == build(specify(part)) != sde
    for ends in ((sde.t_min, high), (low, sde.T), (high, low), (low, low), (low, math.nan)):
        with pytest.raises(
            ValueError, match=r"(t_min|T) must lie in \[|t_min must lie below T|0 < sigma_min < sigma_max"
        ):
            part.between(*ends)


class Wrong(VE):
    """A VE with one curve replaced."""

    def __init__(self, **curves):
        super().__init__()
        for name, curve in curves.items():
            setattr(self, name, curve)


@pytest.mark.parametrize(
    ("curves", "law"),
    [
        ({"f": lambda t: 1e-5 + 0 * t}, "f = α'/α"),
        ({"g": lambda t: VE().g(t) * (1 + 1e-6)}, "g² = (σ²)' − 2fσ²"),
        ({"log_snr": lambda t: -2 * math.log(VE().sigma(t)) if t < 0.3 else 3.0}, "log_snr decreases strictly"),
        ({"time_at_log_snr": lambda v, clip=False: VE()._time_at_log_snr(v) * 0.999}, "inverts log_snr"),
        ({"grid": lambda n: np.linspace(1, 0, n + (n < 40))}, "n + 1 times"),
        ({"grid": lambda n: np.linspace(1, 1e-9, n + 1)}, "ends exactly"),
        (
            {"alpha": lambda t: 1.0 if isinstance(t, float) else np.float64(1) + 0 * t.astype("float64")},
            "shape and kind",
        ),
        ({"g": lambda t: VE().g(t) * (1 if isinstance(t, float) else 1.001)}, "agrees with floats"),
        ({"log_snr": lambda t: -2 * np.log(VE().sigma(t))}, "outside [t_min, T]"),
    ],
)
def test_check_sde_names_the_broken_law(curves, law):
    with pytest.raises(AssertionError, match=re.escape(law)):
        check_sde(Wrong(**curves), np.zeros((), dtype=np.float32))


# -- derived again with sympy --------------------------------------------------------------------------------------


@pytest.mark.parametrize("sde", FORMULAS.values(), ids=FORMULAS)
def test_identities_to_many_digits(sde):
    """f and g² of the code, at 50 digits, against the derivatives of its own α and σ.

    What is left is the rounding of a constant to a float (√(2 log(σ_max/σ_min)), π).
    """
    derived = derive(sde)
    for u in ("0.03", "0.2", "0.5", "0.77", "0.98"):
        t = sympy.Float(sde.t_min, 60) + sympy.Float(u, 60) * (sympy.Float(sde.T, 60) - sympy.Float(sde.t_min, 60))
        at = {derived.t: t}
        f, g_squared = sympy.sympify(sde.f(t)).evalf(50), sympy.sympify(sde.g(t) ** 2).evalf(50)
        assert abs(f - derived.f.evalf(50, subs=at)) <= 1e-15 * abs(f)
        assert abs(g_squared - derived.g_squared.evalf(50, subs=at)) <= 2e-15 * abs(g_squared)
        log_snr = derived.log_snr.evalf(50, subs=at)
        assert abs(sde.log_snr(float(t)) - log_snr) <= 1e-12 * (1 + abs(log_snr))


def test_derived_expressions():
    """Symbol for symbol, where floats in them are exact."""
    edm, flow = derive(EDM()), derive(RectifiedFlow())
    t = edm.t
    assert sympy.nsimplify(edm.f) == 0 and sympy.nsimplify(edm.g_squared - 2 * t) == 0
    assert sympy.simplify(sympy.nsimplify(flow.f) + 1 / (1 - t)) == 0
    assert sympy.simplify(sympy.nsimplify(flow.g_squared) - 2 * t / (1 - t)) == 0
    vp, beta = derive(VP(0.25, 16.0)), sympy.Rational(1, 4) + (16 - sympy.Rational(1, 4)) * t
    assert sympy.simplify(sympy.nsimplify(vp.f) + beta / 2) == 0
    assert sympy.simplify(sympy.nsimplify(vp.g_squared) - beta) == 0


# -- the papers' formulas ------------------------------------------------------------------------------------------

T = np.linspace(0.01, 0.99, 23)


def test_ve_is_song_et_al():
    """Song et al. 2021, appendix C: σ(t) = σ_min (σ_max/σ_min)^t, g = σ √(2 log(σ_max/σ_min)), no drift."""
    sde = VE(0.01, 50.0)
    sigma = 0.01 * 5000.0**T
    np.testing.assert_allclose(sde.sigma(T), sigma, rtol=1e-14)
    np.testing.assert_allclose(sde.g(T), sigma * math.sqrt(2 * (math.log(50.0) - math.log(0.01))), rtol=1e-14)
    assert np.all(sde.f(T) == 0) and np.all(sde.alpha(T) == 1)
    assert sde.prior_std == pytest.approx(50.0, rel=1e-14)


def test_vp_and_sub_vp_are_song_et_al():
    """Equations 29, 31 and 33 there, with β(t) = β_min + t (β_max − β_min)."""
    beta = 0.1 + T * 19.9
    log_mean = -0.25 * T**2 * 19.9 - 0.5 * T * 0.1
    vp, sub = VP(), SubVP()
    for sde in (vp, sub):
        np.testing.assert_allclose(sde.alpha(T), np.exp(log_mean), rtol=1e-13)
        np.testing.assert_allclose(sde.f(T), -0.5 * beta, rtol=1e-14)
    np.testing.assert_allclose(vp.sigma(T), np.sqrt(1 - np.exp(2 * log_mean)), rtol=1e-12)
    np.testing.assert_allclose(vp.g(T), np.sqrt(beta), rtol=1e-14)
    np.testing.assert_allclose(sub.sigma(T), 1 - np.exp(2 * log_mean), rtol=1e-12)
    discount = 1 - np.exp(-2 * 0.1 * T - 19.9 * T**2)
    np.testing.assert_allclose(sub.g(T), np.sqrt(beta * discount), rtol=1e-12)


def test_flow_is_a_straight_line():
    """x(t) = (1 − t) x(0) + t ε, whose velocity is ε − x(0): α' = −1 and σ' = 1 in f = α'/α, g²."""
    sde = RectifiedFlow()
    np.testing.assert_allclose(sde.alpha(T) + sde.sigma(T), 1.0, rtol=1e-15)
    np.testing.assert_allclose(sde.f(T), -1 / (1 - T), rtol=1e-14)
    np.testing.assert_allclose(sde.g(T) ** 2, 2 * T + 2 * T**2 / (1 - T), rtol=1e-14)


def test_edm_grid_is_karras_et_al():
    """Their eq. 5: σ_i = (σ_max^(1/ρ) + i/(N−1) (σ_min^(1/ρ) − σ_max^(1/ρ)))^ρ with ρ = 7."""
    n, rho = 18, 7
    i = np.arange(n)
    expected = (80 ** (1 / rho) + i / (n - 1) * (0.002 ** (1 / rho) - 80 ** (1 / rho))) ** rho
    np.testing.assert_allclose(EDM().grid(n - 1), expected, rtol=1e-13)


@pytest.mark.parametrize("sde", [VE(), VP(), SubVP(), RectifiedFlow()])
def test_other_grids_are_uniform(sde):
    np.testing.assert_allclose(np.diff(sde.grid(13)), -(sde.T - sde.t_min) / 13, rtol=1e-12)


@parametrize
def test_grid_between_has_exact_ends(sde):
    start, end = sde.t_min + 0.7 * (sde.T - sde.t_min), sde.t_min + 0.1 * (sde.T - sde.t_min)
    grid = sde.grid_between(start, end, 5)
    assert (grid[0], grid[-1], len(grid)) == (start, end, 6)
    np.testing.assert_allclose(np.diff([sde.grid_parameter(t) for t in grid], 2), 0, atol=1e-13 * sde.T)
    np.testing.assert_allclose(sde.grid_between(end, start, 5), grid[::-1], rtol=1e-13)


# -- the ends ------------------------------------------------------------------------------------------------------


@parametrize
def test_the_ends_belong_to_the_range(sde, array, host, eps):
    """In float32 too, where t_min and T, rounded, may lie outside by a rounding."""
    ends = array([sde.t_min, sde.T])
    found = host(sde.log_snr(ends))
    exact = np.asarray([sde.log_snr(sde.t_min), sde.log_snr(sde.T)])
    # a rounding of t moves log_snr by its slope
    slopes = np.abs([sde.log_snr(sde.t_min * (1 + 1e-6) + 1e-9) - exact[0], exact[1] - sde.log_snr(sde.T * (1 - 1e-6))])
    assert np.all(np.abs(found - exact) <= 16 * eps * (1 + np.abs(exact) + 1e6 * slopes))
    times = host(sde.time_at_log_snr(array(exact)))
    assert np.all(np.abs(times - [sde.t_min, sde.T]) <= 64 * eps * np.abs(exact) * np.asarray([sde.t_min + eps, sde.T]))


@parametrize
def test_beyond_the_ends(sde, array, host, eps):
    low, high = sde.log_snr(sde.T), sde.log_snr(sde.t_min)
    span = sde.T - sde.t_min
    limits = re.escape(f"[{sde.t_min:g}, {sde.T:g}]")
    with pytest.raises(ValueError, match=f"t must lie in {limits}, got {re.escape(f'{sde.T + span:g}')}"):
        sde.log_snr(sde.T + span)
    with pytest.raises(ValueError, match=f"t must lie in {limits}, got values from"):
        sde.log_snr(array([sde.t_min, sde.T + span]))
    with pytest.raises(ValueError, match=f"t must lie in {limits}, got"):
        sde.log_snr(array([sde.T, math.nan]))
    ends = re.escape(f"log_snr must lie in [{low:g}, {high:g}], got ")
    for v in (low - 1.0, high + 1.0, math.nan):
        with pytest.raises(ValueError, match=ends):
            sde.time_at_log_snr(v)
        with pytest.raises(ValueError, match=ends):
            sde.time_at_log_snr(array([v, v]))
    assert sde.time_at_log_snr(low - 1.0, clip=True) == pytest.approx(sde.T, rel=1e-11)
    assert sde.time_at_log_snr(high + 1.0, clip=True) == pytest.approx(sde.t_min, rel=1e-9, abs=1e-14)
    clipped = host(sde.time_at_log_snr(array([low - 1.0, high + 1.0]), clip=True))
    assert np.all(np.abs(clipped - [sde.T, sde.t_min]) <= 256 * eps * np.asarray([sde.T, sde.t_min + eps]))


def test_the_inverse_is_precise_at_high_snr():
    """Small t is where details are made: the relative error of t stays that of log_snr itself."""
    for sde in (VP(t_min=1e-6), SubVP(t_min=1e-6), RectifiedFlow(1e-6), EDM()):
        for t in (sde.t_min, 3 * sde.t_min, 100 * sde.t_min):
            assert sde.time_at_log_snr(sde.log_snr(t)) == pytest.approx(t, rel=1e-13)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: VE(50.0, 0.01), "VE needs 0 < sigma_min < sigma_max, got 50.0 and 0.01"),
        (lambda: VE(0.0, 50.0), "VE needs 0 < sigma_min < sigma_max, got 0.0 and 50.0"),
        (lambda: VE(0.01, math.inf), "VE needs 0 < sigma_min < sigma_max"),
        (lambda: VE(math.nan), "VE needs 0 < sigma_min < sigma_max"),
        (lambda: VE(t_min=1.0, T=1.0), "t_min must lie below T, got t_min = 1.0, T = 1.0"),
        (lambda: VE(T=math.nan), "t_min must lie below T, got t_min = 0.0, T = nan"),
        (lambda: EDM(-1.0, 80.0), "EDM needs 0 < sigma_min < sigma_max, got -1.0 and 80.0"),
        (lambda: VP(20.0, 0.1), "VP needs 0 < beta_min < beta_max, got 20.0 and 0.1"),
        (lambda: SubVP(0.0, 20.0), "SubVP needs 0 < beta_min < beta_max, got 0.0 and 20.0"),
        (lambda: VP(t_min=0.0), "t_min must be positive (sigma is 0 at t = 0), got 0.0"),
        (lambda: RectifiedFlow(0.0), "RectifiedFlow needs 0 < t_min < T < 1, got t_min = 0.0"),
        (lambda: RectifiedFlow(T=1.0), "RectifiedFlow needs 0 < t_min < T < 1, got t_min = 0.001, T = 1.0"),
        (lambda: VE().grid(0), "a grid needs at least one step, got 0"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_repr_names_the_parameters():
    assert repr(VE()) == "VE(t_min=0, T=1, sigma_min=0.01, sigma_max=50)"
    assert json.dumps(vars(EDM())) == '{"t_min": 0.002, "T": 80.0, "sigma_min": 0.002, "sigma_max": 80.0}'
