"""Where the steps lie: spacings, the user's own times, and each t_k on the grid exactly once."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subspace_sde import EDM, VE, VP, LowPass, NestedSubspaces, RectifiedFlow, SubspaceSDE, SubVP, sample
from subspace_sde.sampling import AlongTimes, Rho, UniformLogSNR, UniformTime, grid, stage_times

SDES = [VE(), VP(), SubVP(), EDM(), RectifiedFlow()]
SPACINGS = [None, UniformTime(), UniformLogSNR(), Rho(), Rho(1.0)]
each_sde = pytest.mark.parametrize("sde", SDES)


def process_of(sde, times):
    sizes = [8, 7, 5, 4, 2][: len(times) + 1]
    nested = NestedSubspaces([LowPass((a,), b, axes=(-1,)) for a, b in zip(sizes, sizes[1:])], (8,))
    return SubspaceSDE(sde, nested, times, [0.1] * len(times))


@each_sde
def test_each_spacing_is_even_in_what_it_says(sde):
    n = 9
    times = {name: grid(sde, n, s) for name, s in zip(("own", "t", "log_snr", "rho", "noise"), SPACINGS)}
    for t in times.values():
        assert t.shape == (n + 1,) and (t[0], t[-1]) == (sde.T, sde.t_min) and np.all(np.diff(t) < 0)
    noise = {k: np.asarray([sde.sigma(float(t)) / sde.alpha(float(t)) for t in v]) for k, v in times.items()}
    np.testing.assert_array_equal(times["own"], sde.grid(n))
    for values in (times["t"], np.log(noise["log_snr"]), noise["rho"] ** (1 / 7), noise["noise"]):
        np.testing.assert_allclose(np.diff(values), (values[-1] - values[0]) / n, rtol=1e-8)


def test_rho_is_the_grid_of_karras_et_al():
    i, low, high = np.arange(19), 0.002 ** (1 / 7), 80 ** (1 / 7)
    np.testing.assert_allclose(grid(EDM(), 18, Rho()), (high + i / 18 * (low - high)) ** 7, rtol=1e-9)
    np.testing.assert_allclose(grid(EDM(), 18, Rho()), EDM().grid(18), rtol=1e-9)


@given(
    steps=st.integers(5, 200),
    parts=st.lists(st.floats(0.01, 0.99), min_size=0, max_size=4, unique=True).map(sorted),
    sde=st.sampled_from(SDES),
    spacing=st.sampled_from(SPACINGS),
)
def test_every_step_is_used_once_and_stages_end_exactly(steps, parts, sde, spacing):
    v = sde.log_snr(sde.t_min), sde.log_snr(sde.T)
    times = [float(sde.time_at_log_snr(v[0] + p * (v[1] - v[0]))) for p in parts]
    if any(b - a < 1e-9 for a, b in zip(times, times[1:])):
        return
    process = process_of(sde, times)
    grids = stage_times(process, steps, spacing)
    ends = [sde.t_min, *times, sde.T]
    assert sum(len(g) - 1 for g in grids) == steps and min(map(len, grids)) >= 2
    for g, low, high in zip(grids, ends, ends[1:]):
        assert (g[0], g[-1]) == (high, low) and np.all(np.diff(g) < 0)
    visited = np.concatenate([grids[-1], *(g[1:] for g in reversed(grids[:-1]))])
    assert len(set(visited.tolist())) == steps + 1


@each_sde
def test_the_users_own_times_are_kept(sde):
    own = np.asarray([sde.T, *np.sort(np.random.default_rng(0).uniform(sde.t_min, sde.T, 11))[::-1], sde.t_min])
    whole = process_of(sde, [])
    np.testing.assert_array_equal(stage_times(whole, own)[0], own)
    np.testing.assert_array_equal(stage_times(whole, own.tolist())[0], own)
    among = process_of(sde, [float(own[8]), float(own[3])])  # t_k are two of them: nothing moves
    for found, expected in zip(stage_times(among, own), (own[8:], own[3:9], own[:4])):
        np.testing.assert_array_equal(found, expected)
    between = process_of(sde, [float(own[8] * 0.4 + own[7] * 0.6)])  # not among them: as many steps, none far away
    low, high = stage_times(between, own)
    assert len(low) + len(high) - 2 == 12 and low[0] == high[-1] == between.times[0]
    moved = np.concatenate([high, low[1:]])
    gaps = -np.diff(own)
    assert np.all(np.abs(moved - own) <= np.max(gaps))


def test_the_number_of_steps_may_be_given_by_times_of_any_kind():
    process = process_of(VE(), [0.5])
    found = sample(process, [lambda x, t: -x] * 2, 1, steps=[1.0, 0.7, 0.5, 0.2, 0.1, 0.0], trajectory=True)
    assert [t for t, _, _ in found.trajectory] == [1.0, 0.7, 0.5, 0.5, 0.2, 0.1, 0.0]
    assert found.evaluations == (3, 2)


@pytest.mark.parametrize(
    "times",
    [
        [0.9, 0.5, 0.0],  # misses T
        [1.0, 0.5, 0.1],  # misses t_min
        [1.0, 0.5, 0.6, 0.0],
        [1.0, 0.5, 0.5, 0.0],
        [0.0, 0.5, 1.0],
        [1.0],
        [],
        [1.0, math.nan, 0.0],
        [0.9999, 0.5, 0.0],
    ],
)
def test_a_grid_that_misses_the_ends_or_does_not_decrease_is_refused(times):
    for call in (
        lambda: stage_times(process_of(VE(), []), times),
        lambda: sample(process_of(VE(), []), [lambda x, t: -x], 1, steps=times),
        lambda: AlongTimes(times, VE()),
    ):
        with pytest.raises(ValueError, match="a grid decreases strictly from T = 1 to t_min = 0, got"):
            call()


def test_other_refusals():
    process = process_of(VE(), [0.3, 0.6])
    with pytest.raises(ValueError, match="3 levels need at least as many steps, got 2"):
        stage_times(process, [1.0, 0.5, 0.0])
    with pytest.raises(ValueError, match="either your own times as `steps`, or a number of steps and a spacing"):
        stage_times(process, [1.0, 0.5, 0.3, 0.0], Rho())
    with pytest.raises(ValueError, match="a grid needs at least one step, got 0"):
        grid(VE(), 0)


def test_a_formula_for_the_grid_may_miss_its_ends_by_rounding():
    i, low, high = np.arange(19), 0.002 ** (1 / 7), 80 ** (1 / 7)
    own = (high + i / 18 * (low - high)) ** 7
    assert (own[0], own[-1]) != (80.0, 0.002)
    (found,) = stage_times(process_of(EDM(), []), own)
    assert (found[0], found[-1]) == (80.0, 0.002) and np.array_equal(found[1:-1], own[1:-1])
    single = np.linspace(1, 1e-3, 11, dtype=np.float32)
    assert stage_times(process_of(VP(), []), single)[0][-1] == 1e-3


@each_sde
def test_two_times_are_one_step(sde):
    assert AlongTimes([sde.T, sde.t_min], sde).times == (sde.T, sde.t_min)
    (times,) = stage_times(process_of(sde, []), [sde.T, sde.t_min])
    assert times.tolist() == [sde.T, sde.t_min]
