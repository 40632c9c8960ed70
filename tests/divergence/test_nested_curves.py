"""Curves of nested subspaces give those within each other."""

import numpy as np
import pytest

from subspace_sde import VE, Basis, DivergenceCurve, LowPass, NestedSubspaces, orthogonal_fisher_divergence
from subspace_sde.backend import backend_of
from subspace_sde.oracles import Gaussian
from tests.divergence.closed_forms import SDES, SHAPE, D, closed_form_within, cubature, gaussian


def chain():
    """U_1 ⊃ U_2 ⊃ U_3 of the full space, of 6, 2 and 1 dimensions."""
    return NestedSubspaces([LowPass(SHAPE, (2, 3)), LowPass((2, 3), (1, 2)), Basis([[0.6], [0.8]], (1, 2))])


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("sde", SDES)
def test_nested_curves_give_the_divergence_within_each_other(sde, center, like, eps):
    nested, law = chain(), gaussian()
    x0 = backend_of(like).from_numpy(law.sample(90, np.random.default_rng(4)), like)
    times = [sde.time_at_log_snr(v) for v in (4.0, 1.0, -1.0, -4.0, -6.0)]

    def measure(subspaces, within=None):
        rng = backend_of(like).generator(8, like)
        return orthogonal_fisher_divergence(law.score(sde), x0, sde, subspaces, times, rng, within, center)

    curves = measure(nested[1:])
    for j, k in ((1, 2), (1, 3), (2, 3)):
        derived, direct = curves[k - 1].within(curves[j - 1]), measure([nested[k]], within=nested[j])[0]
        # D is what is left where the score and its Gaussian, about 1/√D times as long, cancel: in the arrays' own
        # precision for each sample, and in float64 the squares of them where the curves are subtracted
        exact = np.asarray(direct.values)
        bound = 40 * eps / np.sqrt(exact) + 500 * np.finfo(np.float64).eps / exact
        assert np.all(np.abs(derived.values / exact - 1) < bound)
        assert derived.times == direct.times and derived.stderr is None and derived.sde is sde
        assert derived.parts.lost == direct.parts.lost == nested[j].dim - nested[k].dim
        np.testing.assert_allclose(derived.parts.energy, direct.parts.energy, rtol=100 * eps)
        np.testing.assert_allclose(derived.parts.squares, direct.parts.squares, rtol=100 * eps)
    # and curves that are themselves relative to U_1 go on: U_{3|1} and U_{2|1} give U_{3|2}
    inner, outer = (curves[k].within(curves[0]) for k in (2, 1))
    np.testing.assert_allclose(inner.within(outer).values, curves[2].within(curves[1]).values, rtol=1e-9)


@pytest.mark.parametrize("center", [False, True])
def test_a_derived_curve_is_the_closed_form(center):
    nested, law = chain(), gaussian()
    x0, table = cubature(law)
    times = [0.1, 0.3, 0.5, 0.9]
    curves = orthogonal_fisher_divergence(law.score(VE()), [x0], VE(), nested[1:], times, table, center=center)
    for j, k in ((1, 2), (1, 3), (2, 3)):
        expected = [closed_form_within(law, VE(), nested[j], nested[k], t, center) for t in times]
        np.testing.assert_allclose(curves[k - 1].within(curves[j - 1]).values, expected, rtol=1e-8)


def test_a_derived_curve_is_never_negative():
    # the score of the complement's own Gaussian: every divergence is rounding alone
    nested, sde = chain(), VE()
    law = Gaussian(np.zeros(SHAPE), np.eye(D))
    x0, table = cubature(law)
    curves = orthogonal_fisher_divergence(law.score(sde), [x0], sde, nested[1:], [0.1, 0.5, 0.9], table)
    derived = curves[2].within(curves[0])
    assert 0 <= min(derived.values) and max(derived.values) < 1e-13


def test_curves_that_do_not_nest_are_refused():
    nested, law = chain(), gaussian()
    x0 = law.sample(50, np.random.default_rng(5))

    def measure(times=(0.3, 0.6), scale=1):
        return orthogonal_fisher_divergence(law.score(VE()), scale * x0, VE(), nested[1:], times)

    curves = measure()
    for outer in (curves[2], curves[1]):
        with pytest.raises(ValueError, match=r"the outer subspace loses 1[01] dimensions, the inner one 10: call"):
            curves[1].within(outer)
    with pytest.raises(ValueError, match="different times: measure both subspaces in one call"):
        curves[1].within(measure(times=(0.3, 0.7))[0])
    bare = DivergenceCurve(curves[0].times, curves[0].values, sde=VE())
    for inner, outer in ((curves[1], bare), (bare, curves[0])):
        with pytest.raises(ValueError, match="holds no parts: `within` needs curves from"):
            inner.within(outer)
    with pytest.raises(ValueError, match="a divergence below 0: the subspaces are not nested, or the samples not"):
        curves[1].within(measure(scale=10)[0])
