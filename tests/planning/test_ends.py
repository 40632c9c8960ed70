"""Curves that meet the threshold at an end of time, costs that rise as subspaces shrink, and shares below zero."""

from dataclasses import replace

import pytest

from subspace_sde import EDM, VE, VP, DivergenceCurve, LowPass, plan
from tests.planning.curves import SHAPE, curve_to

LARGE, SMALL = LowPass(SHAPE, 4), LowPass(SHAPE, 2)


@pytest.mark.parametrize("sde", [VE(), VP(), EDM()], ids=repr)
def test_what_is_met_from_the_start_by_a_curve_of_the_ends_alone_leaves_the_full_space_a_step_in_a_hundred(sde):
    curve = DivergenceCurve((sde.t_min, sde.T), (1e-9, 1e-9), sde=sde)
    found = plan([LARGE], [curve], 1e-3)
    assert found.times == (pytest.approx(sde.grid(100)[-2]),)
    assert found.shares == pytest.approx((0.01, 0.99))


def test_a_threshold_met_at_T_is_met_too_late():
    sde = VE()
    late = DivergenceCurve((0.5, 1.0), (1e-2, 1e-3), sde=sde)
    assert plan([SMALL, LARGE], [late, curve_to(sde, 0.4, 1e-3)], 1e-3).times == (pytest.approx(0.4),)
    with pytest.raises(ValueError, match="no subspace meets the threshold"):
        plan([SMALL], [late], 1e-3)


def test_a_larger_subspace_follows_no_smaller_one_though_it_be_cheaper():
    sde = VE()
    curves = [curve_to(sde, 0.6, 1e-3), curve_to(sde, 0.2, 1e-3)]  # of the larger one, of the smaller one
    costs = {LARGE.shape: 0.1, SMALL.shape: 0.5, SHAPE: 1.0}
    found = plan([LARGE, SMALL], curves, 1e-3, cost=lambda u: costs[u.shape])
    # alone they cost 0.6 + 0.4 · 0.1 = 0.64 and 0.2 + 0.8 · 0.5 = 0.6; the one behind the other would be 0.44
    assert found.chosen == (1,) and found.cost == pytest.approx(0.6)


@pytest.mark.parametrize("shares", [(-0.25, 1.25), (1.25, -0.25), (0.5, 0.25)])
def test_shares_are_parts_of_one(shares):
    found = plan([LARGE], [curve_to(VE(), 0.5, 1e-3)], 1e-3)
    with pytest.raises(ValueError, match="shares are not negative and sum to 1"):
        replace(found, shares=shares)
