"""Times that are one but for rounding, and the precision of what is drawn."""

import numpy as np
import pytest
import torch

from subspace_sde import VE, NestedSubspaces, SubspaceSDE, sample
from subspace_sde.oracles import Gaussian
from subspace_sde.sampling import Start
from subspace_sde.solvers import DPMSolver, EulerMaruyama, Heun, Langevin, PredictorCorrector
from tests.sampling.standard_normal import NESTED, PROCESS, SCORES, SDE, normal


def test_own_times_that_differ_by_rounding():
    union = sorted({*np.linspace(1, 0, 11).tolist(), 0.3}, reverse=True)
    assert len(union) == 12
    with pytest.raises(
        ValueError, match=r"two times of the grid differ by rounding alone, 0.3.* leave one of them out"
    ):
        sample(PROCESS, SCORES, 2, DPMSolver(3), union)
    law, near = Gaussian(np.zeros(5), 0.3 * np.eye(5)), [*np.linspace(1, 0.3, 8), 0.3 - 1e-9, *np.linspace(0.2, 0, 3)]
    process = SubspaceSDE(SDE, NestedSubspaces([], ambient_shape=(5,)), [], [])
    for order in (2, 3):  # close together, but meant: float32 must not feel it
        a, b = (
            sample(process, [law.score(SDE)], 4, DPMSolver(order), near, rng=1, like=np.zeros((), dtype=d)).x
            for d in (np.float32, np.float64)
        )
        # float32 draws other noise: the map itself, by the ratio of each sample to where it started
        first = [
            sample(
                process, [law.score(SDE)], 4, DPMSolver(order), near, rng=1, like=np.zeros((), dtype=d), trajectory=True
            ).trajectory[0][2]
            for d in (np.float32, np.float64)
        ]
        np.testing.assert_allclose(a / first[0], b / first[1], rtol=1e-4)


def test_churn_stays_within_its_stage():
    seen = []

    def watched(k):
        def score(x, t):
            seen.append((k, t))
            return normal(x, t)

        return score

    sample(PROCESS, [watched(k) for k in range(3)], 2, Heun(churn=0.4), 12)
    for k, t in seen:
        assert PROCESS.ends(k)[0] <= t <= PROCESS.ends(k)[1]
    assert any(t not in np.linspace(1, 0, 13) for _, t in seen)


def test_langevin_moves_in_half_precision_too():
    x = torch.full((2, 3, 32, 32), 0.01, dtype=torch.float16)
    z = torch.randn((2, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.float16)
    moved = Langevin(3, 0.16).move(x, 0.0, lambda y, t: -y / 0.01**2, lambda: z)
    assert moved.dtype == torch.float16 and bool((moved != x).any(dim=-1).all())


def test_a_user_written_with_numpy_keeps_float32():
    class Own(VE):
        def alpha(self, t):
            return np.exp(0.0 * t)

        def sigma(self, t):
            return np.float64(0.01) * np.exp(np.log(5000.0) * t)

    process = SubspaceSDE(Own(), NESTED, [0.4, 0.6], [0.4, 0.7], mean=np.ones((3, 4, 6)))
    like = np.zeros((), dtype=np.float32)
    scores = [lambda x, t: -x / (1 + float(Own().sigma(t)) ** 2)] * 3
    for solver in (Heun(), DPMSolver(3), EulerMaruyama(), PredictorCorrector()):
        assert sample(process, scores, 2, solver, 8, like=like).x.dtype == np.float32
    start = Start(np.ones((3, 4, 6), dtype=np.float32), t=0.3)
    assert sample(process, scores, 2, Heun(), 8, like=like, start=start).x.dtype == np.float32
