"""Runs that begin at samples of a time."""

import math

import numpy as np
import pytest

from subspace_sde import NestedSubspaces, SubspaceSDE, sample
from subspace_sde.oracles import Gaussian
from subspace_sde.sampling import Start
from subspace_sde.solvers import DormandPrince, DPMSolver, Heun
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
