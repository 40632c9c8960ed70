"""Langevin steps after an injection: which score they see, and what they move."""

import numpy as np
import pytest

from subspace_sde import VE, sample
from subspace_sde.sampling import stage_times
from subspace_sde.solvers import Heun, Langevin
from tests.sampling.processes import NESTED, Recorder, make, normal_score


def test_langevin_after_an_injection_is_handed_the_score_at_x_k_minus_1_and_t_k(like, host):
    process, handed = make(VE(), NESTED[2]), []

    def network(k):
        return lambda x, t: -(k + 2.0) * x / (1 + t)

    class Handed(Langevin):
        def move(self, x, t, score, noise, injected=None):
            handed.append((tuple(x.shape), t, injected))
            k = len(process.subspaces) - 1 - len(handed)
            np.testing.assert_array_equal(host(score(x, t)), host(network(k)(x, t)))
            z = noise()
            assert z.shape == x.shape and z.dtype == x.dtype
            return x + 1

    found = sample(
        process,
        [network(k) for k in range(3)],
        3,
        Recorder(),
        6,
        like=like,
        langevin=Handed(),
        trajectory=True,
    )
    nested = process.subspaces
    assert handed == [((3, 1, 3), process.times[1], nested.steps[1]), ((3, 2, 3), process.times[0], nested.steps[0])]
    counts = [len(t) - 1 for t in stage_times(process, 6)]
    assert found.evaluations == (counts[0] + 1, counts[1] + 1, counts[2])  # that one is counted too


@pytest.mark.parametrize("only", [True, False])
def test_the_steps_after_an_injection_move_the_complement_alone(only, like, host, eps):
    process = make(VE(), NESTED[1])
    found = sample(
        process,
        [normal_score(VE())] * 2,
        5,
        Heun(),
        steps=40,
        rng=6,
        like=like,
        langevin=Langevin(4, 0.3, only),
        trajectory=True,
    )
    (_, _, low), (_, _, high) = next(p for p in zip(found.trajectory, found.trajectory[1:]) if p[0][1] != p[1][1])
    gap = np.abs(host(process.subspaces.steps[0].restrict(high)) - host(low))
    assert np.max(gap) < 100 * eps * float(abs(low).max()) if only else np.min(np.max(gap, axis=1)) > 0.05
