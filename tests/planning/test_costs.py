"""Costs by the clock and by counting."""

import pytest

from subspace_sde import Downsampling, LowPass
from subspace_sde.planning import flops, pixels, power, seconds
from tests.planning.curves import SHAPE


def test_costs_by_the_clock_and_by_counting(torch_like):
    import torch

    calls = []

    def score_of(level):
        network = torch.nn.Conv2d(1, 1, 3, padding=1, bias=False).to(torch_like)

        def score(x, t):
            calls.append(level.shape)
            return network(x[:, None])[:, 0]

        return score

    count = flops(score_of, torch_like, 0.5)
    half, whole = LowPass(SHAPE, 4), LowPass(SHAPE, 8)
    assert (count(half), count(whole)) == (2 * 9 * 16, 2 * 9 * 64)
    assert count(Downsampling(SHAPE, 2)) == count(half) and len(calls) == 2  # remembered by shape
    clock = seconds(score_of, 2, torch_like, 0.5, repeats=3)
    assert clock(half) > 0 and clock(half) == clock(LowPass(SHAPE, 4)) and len(calls) == 2 + 4
    assert power(2)(half) == pixels(half) ** 2 == 256
    with pytest.raises(ValueError, match="torch counted no operations"):
        flops(lambda level: lambda x, t: -x, torch_like, 0.5)(half)
