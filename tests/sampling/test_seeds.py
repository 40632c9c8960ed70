"""Sample i is decided by its own seed, in any batch."""

import numpy as np
import pytest
import torch

from subspace_sde import VE, VP, Downsampling, NestedSubspaces, sample
from subspace_sde.backend import backend_of, streams
from subspace_sde.solvers import Heun, Langevin, PredictorCorrector
from tests.sampling.processes import NESTED, make, normal_score


@pytest.mark.parametrize(
    "solver, langevin",
    [(None, None), (Heun(), Langevin(2)), (PredictorCorrector(), Langevin(1, complement_only=False))],
    ids=["Euler-Maruyama", "Heun", "predictor-corrector"],
)
def test_sample_i_is_bitwise_the_same_in_any_batch(solver, langevin, like, host):
    nested = NestedSubspaces([Downsampling((3, 4, 6), 2), Downsampling((3, 2, 3), 3, axes=(-1,))])
    process = make(VE(), nested)
    scores = [lambda x, t: -x / (1 + VE().sigma(t) ** 2)] * 3

    def draw(num, rng):
        return host(sample(process, scores, num, solver, 10, rng, like, langevin).x)

    whole = draw(7, 8)
    for start, stop in ((0, 7), (0, 1), (2, 5), (3, 4), (4, 7)):
        np.testing.assert_array_equal(draw(stop - start, streams(8, start, stop)), whole[start:stop])
    np.testing.assert_array_equal(draw(3, 8), whole[:3])
    mixed = [streams(8, i, i + 1)[0] for i in (5, 0, 6)]
    np.testing.assert_array_equal(draw(3, mixed), whole[[5, 0, 6]])
    assert not np.array_equal(draw(3, 9), whole[:3]) and len(np.unique(whole)) == whole.size


def test_a_generator_is_taken_as_it_is(like, host):
    process = make(VP(), NESTED[1])
    first, second, again = (
        host(sample(process, [normal_score(VP())] * 2, 3, steps=4, rng=g, like=like).x)
        for g in (lambda g: [g, g, backend_of(like).generator(1, like)])(backend_of(like).generator(1, like))
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)  # it goes on


def test_torch_samples_carry_no_graph(torch_like):
    process = make(VE(), NESTED[1])
    weight = torch.ones((), dtype=torch_like.dtype, device=torch_like.device, requires_grad=True)

    def score(x, t):
        return -weight * x / (1 + VE().sigma(t) ** 2)

    found = sample(process, [score] * 2, 2, steps=4, like=torch_like, langevin=Langevin(), trajectory=True)
    assert not found.x.requires_grad and found.x.grad_fn is None
    assert not any(x.requires_grad for _, _, x in found.trajectory)
    assert torch.is_grad_enabled()
