"""A time for each element: in any batch, on levels of any number of axes, on any device, and inside [t_min, T]."""

import numpy as np
import pytest
import torch

from subspace_sde import VE, Basis, NestedSubspaces, SubspaceSDE
from tests.process.gaussians import NESTED, check, make, wiggly


def flattened():
    """Coordinates (4,) of arrays (3, 2), and then (2, 1, 1): the number of axes changes from level to level."""
    rng = np.random.default_rng(0)
    inner = Basis.spanning(rng.standard_normal((4, 2)), (4,), (2, 1, 1))
    return make(VE(), NestedSubspaces([Basis.spanning(rng.standard_normal((6, 4)), (3, 2), (4,)), inner]))


@pytest.mark.parametrize("batch", [(9,), (3, 4), ()])
def test_levels_may_have_another_number_of_axes(batch, like, array, host):
    process = flattened()
    x = np.random.default_rng(1).standard_normal((*batch, 3, 2))
    t = np.resize([0.1, 0.5 * sum(process.times), 0.9], batch)  # one in each stage
    full = process.full_score([wiggly(k) for k in range(3)])
    pairs = [(array(y), float(s)) for y, s in zip(x.reshape(-1, 3, 2), host(array(t)).ravel())]
    for function in (full, process.diffusion):
        one_by_one = np.stack([host(function(y, s)) for y, s in pairs])
        check(function(array(x), array(t)), one_by_one.reshape(x.shape), like)


def test_no_elements_have_a_score_of_their_own_shape(array):
    process = make(VE(), NESTED[1])
    full = process.full_score([wiggly(k) for k in range(3)])
    assert full(array(np.zeros((0, 3, 2))), array(np.zeros(0))).shape == (0, 3, 2)
    assert process.perturb(array(np.zeros((0, 3, 2))), array(np.zeros(0)), 0).shape == (0, 3, 2)


@pytest.mark.parametrize("t", [-0.1, 1.1])
@pytest.mark.parametrize("nested", [NESTED[1], NestedSubspaces([], ambient_shape=(3, 2))], ids=["K=2", "K=0"])
def test_a_score_outside_the_times_is_refused(t, nested):
    process, x = make(VE(), nested), np.zeros((2, 3, 2))
    full = process.full_score([wiggly(0)] * len(nested))
    for call in (full, process.drift, process.diffusion, lambda x, t: process.perturb(x, t, 0)):
        for given in (t, np.full(2, t)):
            with pytest.raises(ValueError, match=rf"t must lie .*{t}"):
                call(x, given)


def test_levels_lie_on_the_device_of_their_times():
    # the device "meta" holds no numbers, and is another than the CPU on every machine
    assert make(VE(), NESTED[1]).level(torch.zeros(3, device="meta")).device.type == "meta"


def test_a_process_shows_its_times():
    process = SubspaceSDE(VE(), NESTED[1], [0.25, 0.5], [0.1, 0.1])
    assert repr(process).endswith("t_1 = 0.250, t_2 = 0.500)")
