"""Levels, jumps and eqs. 4-6 against closed forms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from subspace_sde import VE, VP, NestedSubspaces, RectifiedFlow, SubspaceSDE
from subspace_sde.arrays import device
from tests.process.gaussians import NESTED, check, each_nested, each_sde, make, matrices, mixed_times


@settings(max_examples=30)
@given(times=st.lists(st.floats(0.01, 0.99), min_size=2, max_size=2, unique=True).map(sorted))
def test_the_level_changes_just_above_each_time(like, array, host, times):
    kind = np.float32 if "32" in str(like.dtype) else np.float64
    nested = NESTED[1]
    process = SubspaceSDE(VE(), nested, times, (0.1, 0.1))
    for k, t in enumerate(process.times, start=1):
        assert process.level(t) == k - 1
        assert process.level(math.nextafter(t, 0)) <= k - 1
        assert process.level(math.nextafter(t, 1)) >= k
        at = np.asarray(t).astype(kind)
        found = process.level(array([at, np.nextafter(at, kind(2))]))
        assert "int32" in str(found.dtype)
        # two t_k can be one float32 number: then both jumps are made just above it
        rounded = [kind(s) for s in process.times]
        assert host(found).tolist() == [sum(s < at for s in rounded), sum(s <= at for s in rounded)]


def test_levels_at_the_ends_and_between():
    process = make(VE(), NESTED[2])
    assert [process.level(t) for t in (0, 0.0, *process.times, 1.0, 1)] == [0, 0, 0, 1, 2, 3, 3]
    grid = np.linspace(0, 1, 101).reshape(1, 101)
    np.testing.assert_array_equal(process.level(grid), [[process.level(float(t)) for t in grid[0]]])
    assert [process.ends(k) for k in range(4)] == list(zip((0.0, *process.times), (*process.times, 1.0)))
    assert [process.shape(k) for k in range(4)] == [(2, 3, 4), (1, 3, 2), (1, 2, 1), (1, 1, 1)]


def test_jumps_are_the_dirac_terms_of_eq_6():
    process = make(VP(), NESTED[2])
    assert [t for t, _ in process.jumps] == list(process.times)
    x = np.random.default_rng(0).standard_normal((3, 2, 3, 4))
    for (_, u), p in zip(process.jumps, matrices(process.subspaces)[1][1:]):
        np.testing.assert_allclose(u.project(x).reshape(3, -1), x.reshape(3, -1) @ p, atol=1e-14)


@each_sde
@each_nested
def test_drift_and_diffusion_are_the_derivatives_of_the_kernel(nested, sde, like, xp, array, host, eps):
    # f = (log α)' and g² = (σ²)' − 2fσ², by central differences; G = g U_k U_kᵀ by matrices
    process, (_, p) = make(sde, nested), matrices(nested)
    batch = (2, 7)
    x = np.random.default_rng(4).standard_normal((*batch, *nested.ambient_shape))
    t = mixed_times(process, 14).clip(sde.t_min + 0.01, sde.T - 0.01).reshape(batch)
    h = 1e-6 * (1 - t if isinstance(sde, RectifiedFlow) else 1)
    f = (np.log(sde.alpha(t + h)) - np.log(sde.alpha(t - h))) / (2 * h)
    g = np.sqrt((sde.sigma(t + h) ** 2 - sde.sigma(t - h) ** 2) / (2 * h) - 2 * f * sde.sigma(t) ** 2)
    shape = (*batch, *(1,) * len(nested.ambient_shape))
    drift, x_like = process.drift(array(x), array(t)), array(x)
    tolerance = max(1e-6, 1000 * eps)
    assert drift.dtype == like.dtype
    np.testing.assert_allclose(host(drift), f.reshape(shape) * x, rtol=tolerance, atol=1e-6)
    projected = np.stack([p[process.level(s)] @ y.ravel() for s, y in zip(t.ravel(), x.reshape(14, -1))])
    diffusion = process.diffusion(x_like, xp.asarray(t, dtype=xp.float64, device=device(like)))
    assert diffusion.dtype == like.dtype
    expected = g.reshape(shape) * projected.reshape(x.shape)
    np.testing.assert_allclose(host(diffusion), expected, rtol=tolerance, atol=tolerance * np.max(g))
    # one t for all is the same as that t for each
    one = float(t[0, 0])
    check(process.drift(x_like, one)[0, 0], host(drift[0, 0]), like)
    check(process.diffusion(x_like, one)[0, 0], host(diffusion[0, 0]), like)


def test_k_0_is_the_plain_process():
    nested = NestedSubspaces([], ambient_shape=(3,))
    process = SubspaceSDE(VP(), nested, [], [])
    x = np.random.default_rng(14).standard_normal((4, 3))
    assert process.K == 0 and process.level(1.0) == 0 and process.jumps == () and process.ends(0) == (1e-3, 1.0)
    np.testing.assert_array_equal(process.diffusion(x, 0.3), VP().g(0.3) * x)
    full = process.full_score([lambda y, t: np.sin(y) * t])
    np.testing.assert_array_equal(full(x, 0.3), np.sin(x) * 0.3)
    with pytest.raises(ValueError, match="needs 0 <= base < k <= 0"):
        process.complement_variance(1, 0.5)
