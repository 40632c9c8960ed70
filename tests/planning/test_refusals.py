"""What makes no plan is refused with one clear sentence."""

import pytest

from subspace_sde import EDM, VE, VP, DivergenceCurve, LowPass, SubspaceSDE, plan
from tests.planning.curves import SHAPE, curve_to


def test_refusals():
    sde, u = VE(), LowPass(SHAPE, 4)
    curve = curve_to(sde, 0.5, 1e-3)
    with pytest.raises(ValueError, match="one curve for each subspace"):
        plan([u], [], 1e-3)
    with pytest.raises(ValueError, match="one curve for each subspace"):
        plan([], [], 1e-3)
    for threshold in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"threshold must be positive, got .*: give a finite number"):
            plan([u], [curve], threshold)
    with pytest.raises(
        ValueError,
        match=r"no subspace meets the threshold 1e-05: the smallest D_F reached is 0.0001, by .* at the last t = ",
    ):
        plan([u], [curve], 1e-5)
    dipping = DivergenceCurve((0.1, 0.5, 0.9), (1.0, 1e-4, 1e-2), sde=sde)
    with pytest.raises(
        ValueError, match=r"smallest D_F reached is 0\.0001, by LowPass\(.*\) before 0\.01 at the last t = 0\.9$"
    ):
        plan([u], [dipping], 1e-3)
    with pytest.raises(ValueError, match="max_levels must not be negative"):
        plan([u], [curve], 1e-3, max_levels=-1)
    with pytest.raises(ValueError, match="multiple_of must"):
        plan([u], [curve], 1e-3, multiple_of=0)
    with pytest.raises(ValueError, match="price must"):
        plan([u], [curve], 1e-3, price=-0.1)
    with pytest.raises(ValueError, match="the same SDE"):
        plan([u, u], [curve, curve_to(VP(), 0.5, 1e-3)], 1e-3)
    with pytest.raises(ValueError, match="the same SDE"):
        plan([u], [DivergenceCurve((0.1, 0.2), (1.0, 1e-4))], 1e-3)
    with pytest.raises(ValueError, match="cost of an evaluation must be positive"):
        plan([u], [curve], 1e-3, cost=lambda _: 0.0)
    for dear in (u.shape, SHAPE):
        with pytest.raises(ValueError, match=r"positive and finite on every level, got inf for (LowPass|Identity)\("):
            plan([u], [curve], 1e-3, cost=lambda v, dear=dear: float("inf") if v.shape == dear else 1.0)
    for grid in ([1.0, 0.5], [0.5, 0.0], [1.0, 0.5, 0.5, 0.0], [0.0, 1.0], [1.0]):
        with pytest.raises(ValueError, match="a grid decreases strictly from T = 1 to t_min = 0"):
            plan([u], [curve], 1e-3, grid=grid)
    with pytest.raises(ValueError, match="different spaces"):
        plan([LowPass(SHAPE, 4), LowPass((9, 9), 3)], [curve, curve_to(sde, 0.6, 1e-3)], 1e-3)


def test_a_subspace_that_is_met_from_the_start_still_leaves_the_full_space_a_stage():
    sde = EDM()
    times = tuple(sde.grid(10)[::-1])
    curve = DivergenceCurve(times, (1e-9,) * 11, sde=sde)
    found = plan([LowPass(SHAPE, 4)], [curve], 1e-3)
    assert found.times == (pytest.approx(times[1]),)
    SubspaceSDE(sde, found.subspaces, found.times, [0.0])
