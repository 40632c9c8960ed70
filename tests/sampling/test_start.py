"""Runs that begin at samples of a time."""

import math

import numpy as np
import pytest

from subspace_sde import EDM, VP, NestedSubspaces, RectifiedFlow, SubspaceSDE, sample
from subspace_sde.oracles import Gaussian
from subspace_sde.sampling import Start
from subspace_sde.solvers import DormandPrince, DPMSolver, Heun
from tests.sampling.processes import NESTED, make, normal_score
from tests.sampling.standard_normal import SDE


@pytest.mark.parametrize("t", [0.1, 0.2, 0.3, 0.4, 0.2 + 1e-12, 0.55])
@pytest.mark.parametrize(
    "solver", [Heun(), DPMSolver(2), DPMSolver(3), DPMSolver(2, eta=1e-12)], ids=["Heun", "2M", "3M", "2M with noise"]
)
def test_a_start_on_a_time_of_the_grid_is_as_good_as_any(solver, t, like, array, host, eps):
    law = Gaussian(np.linspace(-1, 1, 5), 0.3 * np.eye(5))
    process = SubspaceSDE(SDE, NestedSubspaces([], ambient_shape=(5,)), [], [])
    start = Start(array(np.linspace(1, 2, 5)), t=t)
    found, exact = (
        sample(process, [law.score(SDE)], 6, s, 100, rng=3, like=like, start=start)
        for s in (solver, DormandPrince(1e-6, 1e-6))
    )
    assert found.evaluations[0] <= (2 if isinstance(solver, Heun) else 1) * math.ceil(100 * t + 1e-9) + 1
    assert np.max(np.abs(host(found.x) - host(exact.x))) < 2e-3


@pytest.mark.parametrize("sde", [VP(), RectifiedFlow(), EDM()], ids=repr)
@pytest.mark.parametrize(("level", "at"), [(0, 0.0), (0, 0.5), (1, 0.0), (1, 0.6), (2, 0.3)])
def test_a_start_is_the_forward_marginal_of_what_is_known(level, at, sde, like, array, host, eps):
    # x_j(t) = α(t) U_{j|k}ᵀ z + σ(t) ε with the same ε for every z, so that differences are α(t) U_{j|k}ᵀ (z − z')
    process = make(sde, NESTED[2])
    low = process.ends(level)[0]
    t = low + at * (sde.T - low) if level or at else 0.5 * (sde.t_min + process.times[0])
    reached = max(process.level(t), level)
    z = np.random.default_rng(0).standard_normal((2, 400, *process.shape(level)))
    zero = np.zeros_like(z[0])
    x = []
    for known in (*z, zero):
        found = sample(process, [normal_score(sde)] * 3, 400, steps=30, rng=1, like=like, trajectory=True,
                       start=Start(array(known), level, t))  # fmt: skip
        begun, k, state = found.trajectory[0]
        assert (begun, k) == (t, reached)
        x.append(host(state))
    u = process.subspaces.between(level, reached)
    expected = sde.alpha(t) * u.restrict(z[0] - z[1])
    np.testing.assert_allclose(x[0] - x[1], expected, rtol=0, atol=100 * eps * max(1, sde.sigma(t)))
    noise = x[2] / sde.sigma(t)
    assert abs(np.mean(noise**2) - 1) < 4.5 * math.sqrt(2 / noise.size)
    assert abs(np.mean(noise)) < 4.5 / math.sqrt(noise.size)


@pytest.mark.parametrize(("beyond", "first"), [(0.0, 0.49), (1e-12, 0.49), (1e-7, 0.5), (0.004, 0.5)])
def test_a_first_step_is_left_out_where_it_is_but_rounding(beyond, first):
    # a step is 0.01: what is below a millionth of it is rounding
    process = SubspaceSDE(SDE, NestedSubspaces([], ambient_shape=(3,)), [], [])
    start = Start(np.ones(3), t=0.5 + beyond)
    found = sample(process, [normal_score(SDE)], 2, steps=100, start=start, trajectory=True)
    assert [t for t, _, _ in found.trajectory[:2]] == [0.5 + beyond, pytest.approx(first, abs=1e-12)]


def test_a_masked_start_is_refused():
    with pytest.raises(TypeError, match="a masked array cannot be used"):
        Start(np.ma.masked_greater(np.linspace(1, 2, 5), 1.5), t=0.3)
