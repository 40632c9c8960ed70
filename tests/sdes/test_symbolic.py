"""SDEs from sympy expressions: equal to those written by hand, on every library, and what is refused."""

import copy
import json
import pickle
import re

import numpy as np
import pytest
import sympy

from subspace_sde import EDM, VE, VP, Downsampling, NestedSubspaces, RectifiedFlow, SubspaceSDE, SubVP, sample
from subspace_sde.sdes import Symbolic
from subspace_sde.sdes.base import checked_time
from subspace_sde.sdes.expressions import formula, function
from subspace_sde.sdes.symbolic import derive
from subspace_sde.specification import build, specify
from subspace_sde.testing import check_sde
from tests.sdes.test_identities import Cosine

t = sympy.Symbol("t")
B = t / 10 + (20 - sympy.Rational(1, 10)) * t**2 / 2
BETA = sympy.diff(B, t)
exp, sqrt, cos, sin, tan, pi = sympy.exp, sympy.sqrt, sympy.cos, sympy.sin, sympy.tan, sympy.pi

CURVES = {  # α and σ as in the papers, and the same by hand
    "VE": (dict(alpha=1, sigma=sympy.Rational(1, 100) * 5000**t, t_min=0.0), VE()),
    "VP": (dict(alpha=exp(-B / 2), sigma=sqrt(1 - exp(-B))), VP()),
    "SubVP": (dict(alpha=exp(-B / 2), sigma=1 - exp(-B)), SubVP()),
    "EDM": (dict(alpha=1, sigma=t, t_min=0.002, T=80.0), EDM()),
    "flow": (dict(alpha=1 - t, sigma=t, T=0.999), RectifiedFlow()),
    "cosine": (dict(alpha=cos(pi * t / 2), sigma=sin(pi * t / 2), t_min=0.05, T=0.9), Cosine()),
}
COEFFICIENTS = {  # f and g, for those that start from the data at t = 0
    "VP": dict(f=-BETA / 2, g=sqrt(BETA)),
    "SubVP": dict(f=-BETA / 2, g=sqrt(BETA * (1 - exp(-2 * B)))),
    "EDM": dict(f=0, g=sqrt(2 * t), t_min=0.002, T=80.0),
    "flow": dict(f=-1 / (1 - t), g=sqrt(2 * t / (1 - t)), T=0.999),
    "cosine": dict(f=-pi / 2 * tan(pi * t / 2), g=sqrt(pi * tan(pi * t / 2)), t_min=0.05, T=0.9),
}
BOTH = [(name, arguments) for name, (arguments, _) in CURVES.items()] + list(COEFFICIENTS.items())
IDS = [f"{name} by {', '.join(list(arguments)[:2])}" for name, arguments in BOTH]
by_both = pytest.mark.parametrize(("name", "sde"), [(name, Symbolic(**given)) for name, given in BOTH], ids=IDS)


@pytest.mark.also_on("strict", "jax")
@by_both
def test_equal_to_those_by_hand(name, sde, like, array, host, eps):
    """Curve by curve, float by float and array by array, the log-SNR down to t_min too."""
    hand = CURVES[name][1]
    times = sde.t_min + (sde.T - sde.t_min) * np.asarray([1e-4, 1e-2, 0.1, 0.31, 0.5, 0.77, 0.99]).reshape(7, 1)
    given = array(times)
    for curve in ("alpha", "sigma", "f", "g", "log_snr", "grid_parameter")[: 6 if name != "EDM" else 5]:
        found, expected = getattr(sde, curve)(given), getattr(hand, curve)(given)
        assert type(found) is type(expected) and found.dtype == like.dtype and found.shape == (7, 1)
        np.testing.assert_allclose(host(found), host(expected), rtol=200 * eps, atol=20 * eps, err_msg=curve)
        one = getattr(sde, curve)(float(times[3, 0]))
        assert isinstance(one, float) and one == pytest.approx(
            float(getattr(hand, curve)(float(times[3, 0]))), rel=1e-13
        )
    v = hand.log_snr(given)
    scale = np.max(host(given))  # the bisection ends within a rounding of T
    np.testing.assert_allclose(host(sde.time_at_log_snr(v)), host(hand.time_at_log_snr(v)), atol=200 * eps * scale)
    assert set(sde.methods.values()) == {"closed form", "bisection"}


@pytest.mark.also_on("strict", "jax")
@by_both
def test_laws(name, sde, like):
    check_sde(sde, like)


@by_both
def test_derivation(name, sde):
    found, expected = derive(sde), derive(CURVES[name][1])
    assert sympy.simplify(found.f - derive(Symbolic(**CURVES[name][0])).f) == 0
    for u in (0.1, 0.6):
        at = {found.t: sympy.Float(sde.t_min + u * (sde.T - sde.t_min), 30)}
        for one, other in zip(found[1:], expected[1:]):
            assert abs(one.evalf(30, subs=at) - other.evalf(30, subs=at)) < 1e-14 * (1 + abs(other.evalf(subs=at)))


@pytest.mark.parametrize(("name", "arguments"), COEFFICIENTS.items(), ids=COEFFICIENTS)
def test_f_and_g_give_back_alpha_and_sigma_symbol_for_symbol(name, arguments):
    by_f_and_g, given = Symbolic(**arguments), Symbolic(**CURVES[name][0])
    s = derive(given).t
    assert sympy.simplify(by_f_and_g.alpha(s) - given.alpha(s)) == 0
    assert sympy.simplify(sympy.expand(by_f_and_g.sigma(s) ** 2 - given.sigma(s) ** 2)) == 0


def test_range_checks_do_not_stop_symbols():
    s = sympy.Symbol("t", positive=True)
    for sde in (VE(), VP(), SubVP(), EDM(), RectifiedFlow(), Symbolic(cos(t), sin(t))):
        expression = sde.log_snr(s)
        middle = (sde.t_min + sde.T) / 2
        assert float(expression.subs(s, middle)) == pytest.approx(sde.log_snr(middle), rel=1e-12)
        assert checked_time(s, sde) is s
    v = sympy.Symbol("v", real=True)
    for sde in (VE(), EDM(), RectifiedFlow(), Symbolic(1 - t, t, T=0.999, closed_form=True)):
        assert sympy.simplify(sde.log_snr(sde.time_at_log_snr(v)) - v).evalf(20, subs={v: 0.7}) == pytest.approx(
            0, abs=1e-12
        )


@pytest.mark.parametrize("name", ["VE", "EDM", "flow", "cosine"])
def test_the_inverse_in_closed_form(name, array, host, eps):
    sde, hand = Symbolic(**CURVES[name][0], closed_form=True), CURVES[name][1]
    assert sde.methods["time_at_log_snr"] == "closed form"
    v = array(np.linspace(hand.log_snr(hand.T) + 0.1, hand.log_snr(hand.t_min) - 0.1, 9))
    np.testing.assert_allclose(
        host(sde.time_at_log_snr(v)), host(hand.time_at_log_snr(v)), rtol=1e3 * eps, atol=20 * eps
    )


# -- where there is no closed form

SINE = dict(f=-exp(sin(t)), g=sqrt(2 * exp(sin(t))))  # g² = −2f: the variance is preserved


def test_quadrature(like, array, host, eps):
    """α² + σ² = 1 where g² = −2f, and α against scipy's integral; the symbols hold the integrals."""
    from scipy.integrate import quad

    sde = Symbolic(**SINE)
    assert [found.split(",")[0] for found in sde.methods.values()] == ["quadrature", "quadrature", "bisection"]
    times = np.asarray([[0.001, 0.02], [0.3, 0.9]])
    alpha, sigma = sde.alpha(array(times)), sde.sigma(array(times))
    assert alpha.dtype == like.dtype
    exact = np.exp([[-quad(lambda s: np.exp(np.sin(s)), 0, end)[0] for end in row] for row in host(array(times))])
    np.testing.assert_allclose(host(alpha), exact, rtol=max(20 * eps, 1e-9))
    np.testing.assert_allclose(host(sigma), np.sqrt(1 - exact**2), rtol=max(100 * eps, 1e-9))
    check_sde(sde, like)
    s = derive(sde).t
    assert derive(sde).f == -exp(sin(s)) and derive(sde).g_squared == 2 * exp(sin(s))
    assert r"\int" in sde.latex()


def test_a_closed_form_of_one_and_quadrature_of_the_other(host):
    sde = Symbolic(f=-t, g=exp(t) * sqrt(1 + t**2))
    assert sde.methods["alpha"] == "closed form" and sde.methods["sigma"].startswith("quadrature")
    check_sde(sde)


def test_digits_are_kept_at_small_times():
    """1 − exp(−B) is written with expm1, log(1 + u) with log1p, and a square from f and g is not multiplied out."""
    for arguments in (CURVES["VP"][0], COEFFICIENTS["VP"], CURVES["SubVP"][0], COEFFICIENTS["SubVP"]):
        sde = Symbolic(**{**arguments, "t_min": 1e-9})
        hand = (VP if "sqrt" in repr(sde.sigma(sympy.Symbol("t"))) else SubVP)(t_min=1e-9)
        assert sde.sigma(1e-9) == pytest.approx(hand.sigma(1e-9), rel=1e-14)
    assert function(sympy.log(1 + t))(1e-20) == 1e-20
    assert function(3 * exp(t) - 3 + t)(1e-20) == pytest.approx(4e-20, rel=1e-14)
    assert function(0.30000000000000004 * t)(1.0) == 0.30000000000000004  # what is printed has 15 digits
    assert function(sympy.Integer(10) ** 30 * t)(np.float32(2) * np.ones(1, np.float32))[0] == np.float32(2e30)


# -- how they are shown, and kept


def test_latex():
    found = Symbolic(alpha=1, sigma=t, t_min=0.002, T=80.0)
    assert found.latex() == (
        r"\begin{aligned} \alpha &= 1 \\ \sigma &= t \\ f &= 0 \\ g^2 &= 2 t \\ "
        r"\log(\alpha^2/\sigma^2) &= 2 \log{\left(\frac{1}{t} \right)} \end{aligned}"
    )
    assert found._repr_latex_() == f"$${found.latex()}$$"
    assert derive(VE()).latex().startswith(r"\begin{aligned} \alpha &= 1")


@by_both
def test_specification(name, sde):
    again = build(json.loads(json.dumps(specify(sde))))
    assert again == sde and hash(again) == hash(sde) and again.methods == sde.methods
    assert again.sigma(0.3) == sde.sigma(0.3) and repr(again) == repr(sde)
    for other in (copy.deepcopy(sde), pickle.loads(pickle.dumps(sde))):
        assert other == sde and other.sigma(0.3) == sde.sigma(0.3)
    assert sde != Symbolic(alpha=1, sigma=t + 1)


def test_a_specification_holds_no_text_to_be_evaluated():
    assert specify(Symbolic(alpha=exp(-t / 2), sigma=t * 0.1 + pi)) == {
        "kind": "Symbolic",
        "alpha": ["exp", ["mul", ["rational", -1, 2], ["t"]]],
        "sigma": ["add", ["pi"], ["mul", 0.1, ["t"]]],
        "t_min": 0.001,
        "T": 1.0,
        "closed_form": False,
    }


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (["system", ["t"]], "there is no 'system' of 1 operands"),
        (["exp", "__import__('os')"], "it holds \"__import__('os')\""),
        (["exp", ["t"], ["t"]], "there is no 'exp' of 2 operands"),
        (["exp"], "there is no 'exp' of 0 operands"),
        (["rational", 1, 0], "there is no 'rational' of 2 operands"),
        (["rational", ["t"], 2], "there is no 'rational' of 2 operands"),
        (["add", True, ["t"]], "it holds True"),
        (["add", None], "it holds None"),
        ([], "it holds []"),
        (["log", 0], "log of [0.0] is no finite real number"),
        (["pow", -1, 0.5], "pow of [-1.0, 0.5] is no finite real number"),
        # numbers that would take for ever to work out
        (["pow", 10, ["pow", 10, 10]], "the exponent 1e+10 is larger than 1000"),
        (["exp", ["exp", ["exp", 100]]], "exp of [2.6881171418161356e+43] is no finite real number"),
        (["pow", ["pow", ["rational", 10**17 + 1, 10**17], 1000], 1000], "a number in it has more than 4096 bits"),
        (["add", *[["t"]] * 3000], "it has more than 2,000 parts"),
    ],
)
def test_a_tree_that_is_no_formula_is_refused(tree, message):
    with pytest.raises(ValueError, match=re.escape(f"`alpha` is no formula: {message}")):
        build({"kind": "Symbolic", "alpha": tree, "sigma": ["t"]})


def test_a_tree_without_end_is_refused():
    tree = ["t"]
    for _ in range(5000):
        tree = ["exp", tree]
    with pytest.raises(ValueError, match=r"nested too deeply|more than 2,000 parts"):
        build({"kind": "Symbolic", "alpha": tree, "sigma": ["t"]})


def test_it_samples():
    """As the same SDE by hand does, bit for bit where the formulas are."""

    def run(sde):
        process = SubspaceSDE(sde, NestedSubspaces([Downsampling((4,), 2, axes=(-1,))]), [0.5], [1.0])
        score = lambda x, t: -x / (sde.alpha(t) ** 2 + sde.sigma(t) ** 2)  # noqa: E731
        return sample(process, [score, score], 3, steps=12).x

    np.testing.assert_allclose(run(Symbolic(**CURVES["VP"][0])), run(VP()), rtol=1e-11)


# -- what is refused

b = sympy.Symbol("b")


HALF = sympy.Rational(1, 2)
REFUSED = [
    (
        dict(alpha="exp(-t)", sigma=t),
        "`alpha` takes a sympy expression in t, such as sympy.exp(-t), got 'exp(-t)': a string",
    ),
    (dict(f=-1, g="1"), "`g` takes a sympy expression in t, such as sympy.exp(-t), got '1': a string"),
    (dict(alpha=np.ones(3), sigma=t), "got ndarray"),
    (dict(alpha=True, sigma=t), "got bool"),
    (dict(alpha=exp(-b * t), sigma=t), "`alpha` has other symbols than t: b; put numbers in their place first"),
    (dict(alpha=1, sigma=sympy.Symbol("s")), "`sigma` has other symbols than t: s"),
    (dict(alpha=1 - sympy.erf(t), sigma=t), "`alpha` holds erf(t), which array libraries do not have: there are"),
    (dict(alpha=sympy.I * t, sigma=t), "`alpha` holds I, which array libraries do not have"),
    (dict(alpha=float("nan"), sigma=t), "`alpha` holds nan"),
    (dict(), "is given by alpha and sigma, or by f and g, got neither"),
    (dict(alpha=1, g=t), "is given by alpha and sigma, or by f and g, got alpha, g"),
    (dict(alpha=1, sigma=sqrt(t - HALF)), "sigma² must be positive and finite on [0.001, 1], got -0.499 at t = 0.001"),
    (dict(alpha=1, sigma=sqrt(t * (HALF - t))), "sigma² must be positive and finite on [0.001, 1], got -0.000"),
    (dict(alpha=1, sigma=t, t_min=0.0), "sigma² must be positive and finite on [0, 1], got 0 at t = 0"),
    (dict(alpha=cos(2 * t), sigma=t), "alpha must be positive and finite on [0.001, 1], got -0.00385 at t = 0.78"),
    (dict(alpha=(t - 0.51234) ** 2, sigma=t), "alpha must be positive and finite on [0.001, 1], got 0 at t = 0.51234"),
    (dict(alpha=1 - t, sigma=t), "ends at alpha(T) = 0, zero but for rounding"),
    (dict(alpha=1, sigma=sympy.Integer(10) ** 400 * t), "sigma² must be positive and finite"),
    (
        dict(alpha=1, sigma=2 - t),
        "log(alpha²/sigma²) must fall from t_min to T, as noise is added: it goes up by 0.0039",
    ),
    (dict(alpha=1, sigma=1 + sin(12 * t) ** 2 / 6 + t), "log(alpha²/sigma²) must fall"),
    (dict(f=-1, g=sqrt(t - HALF)), "g must be real on [0.001, 1], got g² = -0.499 at t = 0.001"),
    (dict(f=-1, g=1, t_min=-1.0), "from f and g the process starts at t = 0: t_min must not lie below, got -1.0"),
    (dict(f=1 / (t - HALF), g=t), "the integral of f from 0 to t = 0.5005 does not converge: there is a pole"),
    (dict(f=-1, g=1 / t), "the integral of g²/α² from 0 to t = 0.001 does not converge: there is a pole"),
    (dict(**SINE, closed_form=True), "no closed form of alpha was found for f = -exp(sin(t)) and g = "),
    (dict(f=-t, g=exp(t) * sqrt(1 + t**2), closed_form=True), "no closed form of sigma was found for f = -t"),
    (dict(alpha=1, sigma=t * exp(t), closed_form=True), "no closed form of the inverse of log(alpha²/sigma²)"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_refusals(arguments, message):
    wrong_kind = any(got in message for got in ("a string", "ndarray", "bool"))
    with pytest.raises(TypeError if wrong_kind else ValueError, match=re.escape(message)):
        Symbolic(**arguments)


def test_a_symbol_of_any_assumptions_is_t():
    given = sympy.Symbol("t", integer=True)
    assert formula("alpha", given**2, t) == t**2
