"""What solvers owe, and bad steps named on a device."""

import math

import numpy as np
import pytest

from subspace_sde import NestedSubspaces, SubspaceSDE, sample
from subspace_sde.sampling import Start
from subspace_sde.solvers import SingleStep
from tests.sampling.standard_normal import PROCESS, SCORES, SDE, normal


@pytest.mark.parametrize("bad", [0, 3, 49, 50, 51, 70])
def test_the_guard_of_a_device_names_the_first_bad_step(bad, monkeypatch, like, array):
    # it reads every 50 steps and at the end of a stage, and must name the step at which it went wrong
    monkeypatch.setattr("subspace_sde.sampling.watching.on_host", lambda x: False)
    process, calls = SubspaceSDE(SDE, NestedSubspaces([], ambient_shape=(4,)), [], []), [0]

    class Breaking(SingleStep):
        def step(self, x, t, s, score, sde, noise):
            calls[0] += 1
            spoilt = np.zeros((3, 4))
            spoilt[2, 1] = math.nan if calls[0] >= bad else 0.0
            return x + array(spoilt)

    start = Start(array(np.full((3, 4), np.inf if bad == 0 else 1.0)), t=1.0)
    with pytest.raises(ValueError, match=rf"step {bad} of that level\), sample {0 if bad == 0 else 2}: ") as caught:
        sample(process, [normal], 3, Breaking(), 80, like=like, start=start)
    assert ("what the stage begins with" in str(caught.value)) == (bad == 0)
    assert calls[0] == (49 if bad < 50 else 80)  # so seldom is it read; the state at the beginning is one of the 50


def test_a_solver_that_leaves_its_stage_is_named():
    class Wrong:
        def stage(self, x, times, score, sde, noise):
            yield 0.123, x

    with pytest.raises(ValueError, match=r"Wrong yields x at t = 0\.123, which is no time of its stage"):
        sample(PROCESS, SCORES, 2, Wrong(), 6)
