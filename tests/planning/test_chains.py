"""The plan against every chain there is, and what it promises against what a process then does."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subspace_sde import (
    EDM,
    VE,
    VP,
    DivergenceCurve,
    LowPass,
    NestedSubspaces,
    PatchBasis,
    SubspaceSDE,
    gaussian_divergence,
    orthogonal_fisher_divergence,
    pca,
    plan,
    switch_times,
)
from subspace_sde.oracles import DCTGaussian
from subspace_sde.planning import power
from subspace_sde.sampling import stage_times
from subspace_sde.statistics import Covariance
from tests.planning.curves import CANDIDATES, SHAPE, curve_to, spectrum


def nests(outer, inner):
    u, w = outer.matrix(), inner.matrix()
    return inner.dim < outer.dim and np.max(np.abs(w - u @ (u.T @ w))) < 1e-9


NESTS = {(i, j): nests(u, w) for i, u in enumerate(CANDIDATES) for j, w in enumerate(CANDIDATES)}


def exhaustive(times, sde, costs, price, max_levels, steps):
    """The cheapest of all chains, by trying them; costs relative to the full space."""
    best = (1.0, ())
    order = sorted(times, key=times.get)
    for k in range(1, max_levels + 1):
        for chain in combinations(order, k):
            rising = all(steps(times[a]) < steps(times[b]) for a, b in zip(chain, chain[1:]))
            if not rising or not all(NESTS[a, b] for a, b in zip(chain, chain[1:])):
                continue
            ends = [0.0, *(steps(times[i]) for i in chain), 1.0]
            levels = [1.0, *(costs[i] for i in chain)]
            total = sum(c * (b - a) for c, a, b in zip(levels, ends, ends[1:])) + price * k
            best = min(best, (total, chain))
    return best


@given(
    seed=st.integers(0, 10**6),
    sde=st.sampled_from([VE(), VP(), EDM()]),
    price=st.sampled_from([0.0, 0.02, 0.2]),
    max_levels=st.sampled_from([0, 1, 2, 3, 4, None]),
    exponent=st.sampled_from([0.5, 1.0, 2.0]),
    own=st.booleans(),
)
@settings(max_examples=150)
def test_the_optimum_is_that_of_all_chains(seed, sde, price, max_levels, exponent, own):
    rng = np.random.default_rng(seed)
    # times at random, but mostly later for smaller subspaces, so that long chains compete; some candidates never meet
    u = np.clip([rng.normal(0.9 - 0.8 * (c.dim / 64) ** 0.5, 0.15) for c in CANDIDATES], 0.02, 0.98)
    ends = sde.grid_parameter(sde.t_min), sde.grid_parameter(sde.T)
    times = {i: float(sde.from_grid_parameter(ends[0] + v * (ends[1] - ends[0]))) for i, v in enumerate(u)}
    curves = [curve_to(sde, times[i], 1e-3) for i in range(len(CANDIDATES))]
    for i in rng.choice(len(CANDIDATES), 2, replace=False):
        curves[i] = DivergenceCurve((sde.grid(4)[2],), (1.0,), sde=sde)
        del times[int(i)]
    grid = np.sort(rng.uniform(sde.t_min, sde.T, 9))[::-1] if own else None
    grid = None if grid is None else [sde.T, *grid.tolist(), sde.t_min]

    def steps(t):
        """The share of the steps below t, counted on the grid; a step that t cuts counts in part."""
        if grid is None:
            return (sde.grid_parameter(t) - ends[0]) / (ends[1] - ends[0])
        whole = sum(s < t for s in grid) - 1
        a, b = sorted(grid)[whole : whole + 2]
        part = (sde.grid_parameter(t) - sde.grid_parameter(a)) / (sde.grid_parameter(b) - sde.grid_parameter(a))
        return (whole + part) / (len(grid) - 1)

    costs = {i: (c.dim / 64) ** exponent for i, c in enumerate(CANDIDATES)}
    most = len(times) if max_levels is None else max_levels
    total, chain = exhaustive(times, sde, costs, price, most, steps)
    found = plan(CANDIDATES, curves, 1e-3, cost=power(exponent), max_levels=max_levels, price=price, grid=grid)
    assert found.cost + price * len(found.times) == pytest.approx(total, abs=1e-12)
    assert len(found.times) <= most
    # and it is the chain, unless two cost the same
    np.testing.assert_allclose(found.times, [times[i] for i in chain], rtol=1e-9)
    for t, i, level in zip(found.times, chain, found.subspaces[1:]):
        u, w = CANDIDATES[i].matrix(), level.matrix()
        np.testing.assert_allclose(w @ w.T, u @ u.T, atol=1e-10)
        assert steps(t) == pytest.approx(sum(found.shares[: found.times.index(t) + 1]), abs=1e-12)


@pytest.mark.parametrize("sde", [VE(), VP(), EDM()])
def test_what_a_plan_promises(sde):
    gaussian, threshold = spectrum(), 1e-3
    curves = gaussian_divergence(gaussian, sde, CANDIDATES)
    found = plan(CANDIDATES, curves, threshold, max_levels=3)
    assert len(found.times) >= 2
    levels = found.subspaces[1:]
    for i, level in zip(found.chosen, levels, strict=True):
        np.testing.assert_allclose(level.matrix(), CANDIDATES[i].matrix(), atol=1e-12)
    assert sum(found.shares) == pytest.approx(1, abs=1e-12) and len(found.shares) == len(levels) + 1
    assert found.costs == tuple(level.dim / 64 for level in found.subspaces)
    # the divergences at t_k, from the closed form at those very times; they were interpolated between 199 of them
    for k, (t, level) in enumerate(zip(found.times, levels), start=1):
        exact = gaussian_divergence(gaussian, sde, [level], [t])[0].values[0]
        assert found.divergences[k - 1] == pytest.approx(threshold, rel=1e-9)
        assert exact == pytest.approx(threshold, rel=5e-3)
        step = gaussian_divergence(gaussian, sde, [level], [t], within=found.subspaces[k - 1])[0].values[0]
        assert found.injections[k - 1] == pytest.approx(step, rel=1e-2)
    # the shares are those of the steps that `sample` takes
    process = SubspaceSDE.fit(found.sde, found.subspaces, found.times, gaussian.sample(50, rng=0))
    counts = [len(times) - 1 for times in stage_times(process, 1000)]
    np.testing.assert_allclose(np.asarray(counts) / 1000, found.shares, atol=1e-3)


def test_a_smaller_threshold_costs_more_and_limits_cost_more():
    sde = VE()
    curves = gaussian_divergence(spectrum(), sde, CANDIDATES)
    costs = [plan(CANDIDATES, curves, v).cost for v in (1e-4, 1e-3, 1e-2, 1e-1)]
    assert costs == sorted(costs, reverse=True) and costs[0] < 1
    free = [plan(CANDIDATES, curves, 1e-3, max_levels=k).cost for k in range(5)]
    assert free == sorted(free, reverse=True) and free[0] == 1.0
    dear = [len(plan(CANDIDATES, curves, 1e-3, price=p).times) for p in (0.0, 0.02, 0.1, 1.0)]
    assert dear == sorted(dear, reverse=True) and dear[-1] == 0


def test_sizes_that_a_network_can_halve():
    curves = gaussian_divergence(spectrum(), VE(), CANDIDATES)
    found = plan(CANDIDATES, curves, 1e-3, multiple_of=2)
    assert found.times and all(n % 2 == 0 for level in found.subspaces for n in level.shape if len(level.shape) == 2)
    # colours are left alone, and so do not count; patches make channels of what they keep
    colour = LowPass((3, 8, 8), 4)
    flat = DCTGaussian(np.zeros((3, 8, 8)), np.ones((3, 8, 8)))
    assert plan([colour], gaussian_divergence(flat, VE(), [colour]), 1e-3, multiple_of=4).times
    patches = PatchBasis((3, 8, 8), 2, np.linalg.qr(np.random.default_rng(0).standard_normal((12, 3)))[0])
    assert plan([patches], gaussian_divergence(flat, VE(), [patches]), 1e-3, multiple_of=4).times
    with pytest.raises(ValueError, match="no candidate's sizes are multiples of 3"):
        plan([colour], gaussian_divergence(flat, VE(), [colour]), 1e-3, multiple_of=3)


def test_curves_of_a_network_serve_as_well():
    gaussian, sde = spectrum(), VE()
    x0, times = gaussian.sample(2000, rng=0), np.linspace(0.05, 0.95, 40)
    curves = orthogonal_fisher_divergence(gaussian.score(sde), x0, sde, CANDIDATES, times)
    measured = plan(CANDIDATES, curves, 3e-3, max_levels=2)
    exact = plan(CANDIDATES, gaussian_divergence(gaussian, sde, CANDIDATES), 3e-3, max_levels=2)
    assert measured.cost == pytest.approx(exact.cost, abs=0.01)
    assert measured.injections is not None and max(measured.injections) > 0


def test_switch_times_make_a_plan():
    """At the times that were found, which are closer to the truth than those of the curves they come with."""
    gaussian, sde, threshold = spectrum(), VE(), 3e-3
    levels = [LowPass(SHAPE, n) for n in (6, 4, 2)]
    found = switch_times(gaussian.score(sde), gaussian.sample(500, rng=1), sde, levels, threshold, stderr=0.004)
    made = plan(levels, found, threshold)
    assert len(made.times) == 3 and made.times == tuple(switch.t for switch in found)
    assert made.divergences == (threshold,) * 3 and made.injections[0] == threshold
    exact = plan(levels, gaussian_divergence(gaussian, sde, levels), threshold)
    np.testing.assert_allclose(made.times, exact.times, atol=5 * 0.004)
    np.testing.assert_allclose(made.injections, exact.injections, rtol=0.5)
    assert made.cost == pytest.approx(exact.cost, abs=0.01)
    # beside curves of another kind, and not for another threshold
    mixed = plan(levels, [found[0], *gaussian_divergence(gaussian, sde, levels[1:])], threshold)
    assert mixed.times == (found[0].t, *exact.times[1:]) and mixed.injections is None
    with pytest.raises(ValueError, match=r"is the switch time for the threshold 0.003, not for 0.001: call"):
        plan(levels, found, 1e-3)


def test_a_switch_time_at_the_start_of_the_scan_has_the_divergence_of_its_curve():
    gaussian, sde = spectrum(), VE()
    u = LowPass(SHAPE, 4)
    found = switch_times(gaussian.score(sde), gaussian.sample(200, rng=1), sde, [u], 1e-2, times=[0.6, 0.7, 0.9])
    assert found[0].stderr == 0
    made = plan([u], found, 1e-2)
    assert made.times == (0.6,) and made.divergences == (found[0].curve.values[0],) and made.divergences[0] < 5e-3


def test_pca_ranks_mix_with_what_contains_them():
    x = spectrum().sample(500, rng=1)
    moments = Covariance(SHAPE).update(x)
    candidates = [pca(moments, n) for n in (40, 20, 10, 5)]
    found = plan(candidates, gaussian_divergence(moments.gaussian(), VE(), candidates), 3e-3)
    assert len(found.times) >= 2
    with_structure = plan(
        [*candidates, *CANDIDATES], [*gaussian_divergence(moments.gaussian(), VE(), [*candidates, *CANDIDATES])], 3e-3
    )
    assert with_structure.cost <= found.cost


def test_the_price_of_small_networks_changes_the_plan():
    """Seconds hardly fall below some size: then a level that small is not worth having."""
    curves = gaussian_divergence(spectrum(), VE(), CANDIDATES)
    floor = plan(CANDIDATES, curves, 1e-3, cost=lambda u: max(u.dim, 30) / 64)
    assert floor.costs[-1] >= 30 / 64 and floor.cost > plan(CANDIDATES, curves, 1e-3).cost


def test_hundreds_of_candidates_make_a_plan():
    """Every size of a long axis, each smaller one later: one chain of all of them is the cheapest."""
    sizes = range(400, 0, -1)
    candidates = [LowPass((401,), n, axes=(-1,)) for n in sizes]
    curves = [curve_to(VE(), 0.1 + 0.002 * i, 1e-3) for i in range(len(candidates))]
    found = plan(candidates, curves, 1e-3)
    assert len(found.times) == 400
    assert len(plan(candidates, curves, 1e-3, max_levels=2).times) == 2


def test_curves_that_cannot_tell_the_injections():
    gaussian = spectrum()
    inner, outer = LowPass(SHAPE, 2), LowPass(SHAPE, 5)
    curves = [
        gaussian_divergence(gaussian, VE(), [outer])[0],
        gaussian_divergence(gaussian, VE(), [inner], np.linspace(0.05, 0.95, 100))[0],
    ]
    found = plan([outer, inner], curves, 1e-3)
    assert len(found.times) == 2 and found.injections is None


def test_float32_ranks_of_one_covariance_follow_each_other():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.standard_normal((100, 100)))[0]
    x = ((rng.standard_normal((2000, 100)) / np.arange(1, 101)) @ turn).astype(np.float32)
    moments = Covariance((100,)).update(x)
    candidates = [pca(moments, n) for n in (80, 79, 40, 20, 10)]
    NestedSubspaces.from_subspaces(candidates)
    curves = gaussian_divergence(moments.gaussian(), VE(), candidates)
    assert len(plan(candidates, curves, 3e-3).times) > 2


def test_numbers_of_numpy_are_numbers():
    level, curve = LowPass(SHAPE, 4), curve_to(VE(), 0.5, 1e-3)
    assert plan([level], [curve], np.float64(5e-3), price=np.float32(0.0)) == plan([level], [curve], 5e-3)
