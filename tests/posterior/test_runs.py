"""How a run of `sample_posterior` is carried out: seeds, chunks, starts, what is counted and told."""

import math

import numpy as np
import pytest

from subspace_sde import VE, VP, sample
from subspace_sde.arrays import device
from subspace_sde.measurements import Mask
from subspace_sde.posterior import DPS, Observation, PiGDM, RePaint, Replacement, sample_posterior
from subspace_sde.sampling import Start, stage_times
from subspace_sde.solvers import DPMSolver, Heun
from tests.posterior.gaussians import NESTED, SEEN, SHAPE, make, observed, staged_and_full, uneven


def test_the_result_says_which_stage_ran_how():
    y = Mask([1, 1, 0, 0, 0, 0, 0, 0], SHAPE)
    for name, expected in (("means", [Replacement] * 2 + [PiGDM]), ("low-pass", [Replacement] + [PiGDM] * 2)):
        process, law, scores = uneven(NESTED[name], VP())
        observation = observed(y, law, 0.0)
        found = sample_posterior(process, scores, observation, 2, Replacement(PiGDM(0.5)), steps=30)
        assert [type(m) for m in found.methods] == expected and not found.full
        whole = sample_posterior(process, scores, observation, 2, Replacement(PiGDM(0.5)), steps=30, full=True)
        assert [type(m) for m in whole.methods] == [Replacement] * 3 and whole.full
        np.testing.assert_allclose(found.x[:, :2], whole.x[:, :2], atol=0.1)
        strict = sample_posterior(process, scores, observation, 2, Replacement(PiGDM(0.5), least=1.0), steps=30)
        assert all(type(m) in (Replacement, PiGDM) for m in strict.methods)


@staged_and_full
@pytest.mark.parametrize("method", [PiGDM(0.5), RePaint(2, 2)])
def test_sample_i_has_its_own_noise_and_its_own_y(method, full, like, array, host, eps):
    process, law, scores = uneven(NESTED["means"], VE())
    mask = SEEN["mask"]
    y = array(mask.apply(law.sample(5, rng=1)))
    every = sample_posterior(process, scores, Observation(mask, y), 5, method, steps=20, rng=3, full=full)
    chunks = sample_posterior(process, scores, Observation(mask, y), 5, method, steps=20, rng=3, full=full, chunk=2)
    one = sample_posterior(
        process, scores, Observation(mask, y[3]), 1, method, steps=20, rng=[every.seeds[3]], full=full
    )
    assert every.x.dtype == like.dtype and device(every.x) == device(like)
    np.testing.assert_allclose(host(chunks.x), host(every.x), atol=3e4 * eps)
    np.testing.assert_allclose(host(one.x)[0], host(every.x)[3], atol=3e4 * eps)
    rest = host(every.x) - host(every.x).mean(0)
    assert np.all(rest.std(0)[5:] > 0.05)  # no two alike
    assert every.seeds == chunks.seeds and len(every.seconds) == 3 and min(every.seconds) > 0


def test_the_measured_part_is_noised_from_T_on():
    process, _, scores = uneven(NESTED["means"], VE())
    mask = Mask([1, 1, 1, 1, 0, 0, 0, 0], SHAPE)
    y = 100 * np.ones(4)
    found = sample_posterior(process, scores, Observation(mask, y), 400, Replacement(), steps=30, trajectory=True)
    for t, k, x in found.trajectory[1:]:
        block = process.subspaces[k].restrict(np.concatenate([y, 0 * y]))
        seen = x[:, block == block.max()]
        sigma = process.sde.sigma(t)
        assert np.all(abs(seen.mean(0) - block.max()) < 5 * sigma / 20 + 1e-9)
        if t not in process.times:  # there the injection comes before the replacement
            np.testing.assert_allclose(seen.std(0), sigma, rtol=0.2)


def test_evaluations_count_the_injection():
    process, law, scores = uneven(NESTED["means"], VP())
    counts = [len(t) - 1 for t in stage_times(process, 20)]
    observation = observed(SEEN["mask"], law, 0.3)
    for full, once in ((False, 1), (True, 0)):
        found = sample_posterior(process, scores, observation, 2, DPS(), steps=20, full=full)
        assert found.evaluations == (counts[0], counts[1] + once, counts[2] + once)


@staged_and_full
def test_a_posterior_from_a_start(full):
    process, law, scores = uneven(NESTED["means"], VP())
    observation = observed(SEEN["mask"], law, 0.3)
    start = Start(law.sample(1, rng=9)[0], t=0.3)
    found = sample_posterior(process, scores, observation, 3, solver=Heun(), steps=40, start=start, full=full)
    assert found.methods[2] is None or process.level(0.3) == 2
    small = Start(process.subspaces[2].restrict(start.x), level=2)
    climbed = sample_posterior(process, scores, observation, 3, steps=40, start=small, full=full)
    assert climbed.x.shape == (3, 8) and climbed.evaluations[2] == (0 if full else 1)


def test_a_start_is_noised_and_gone_on_from():
    # data N(0, I): the flow from t to t_min scales x by √(var(t_min)/var(t)) on every level alike
    sde, nested = VE(), NESTED["means"]
    process, _, scores = make(nested, sde, (1.0, 1.0), np.eye(2))
    x0 = np.random.default_rng(0).standard_normal((500, 8))

    def scale(s, t):
        return math.sqrt((1 + sde.sigma(s) ** 2) / (1 + sde.sigma(t) ** 2))

    t = 0.9 * process.times[0]
    edited = sample(process, scores, 500, Heun(), 600, rng=1, start=Start(x0, t=t))
    shrunk = scale(sde.t_min, t)
    rest = edited.x - shrunk * x0
    assert abs(rest.std() / (shrunk * sde.sigma(t)) - 1) < 0.03 and abs(rest.mean()) < 0.02
    assert edited.evaluations[1:] == (0, 0)
    # from level 2, at t_2: what the small image said is kept on level 2, and the complement is drawn
    t = process.times[1]
    climbed = sample(process, scores, 500, Heun(), 600, rng=1, start=Start(nested[2].restrict(x0), level=2))
    rest = nested[2].restrict(climbed.x) - scale(sde.t_min, t) * nested[2].restrict(x0)
    assert abs(rest.std() / (scale(sde.t_min, t) * sde.sigma(t)) - 1) < 0.05
    assert abs(nested.steps[0].reject(climbed.x).std() / math.sqrt(0.5) - 1) < 0.05
    assert climbed.evaluations[2] == 0 and climbed.evaluations[1] > 0
    # one for all, at a time in the stage above
    later = sample(process, scores, 4, DPMSolver(), 60, start=Start(nested[1].restrict(x0[0]), level=1, t=0.95))
    assert later.x.shape == (4, 8) and later.evaluations[2] > 0
    with pytest.raises(ValueError, match=r"a start on level 1 has shape \(4,\), or \(3, 4\) with one for each sample"):
        sample(process, scores, 3, start=Start(x0[0], level=1))
    for at in (0.0, 0.1 * process.times[0], 1.1):
        with pytest.raises(ValueError, match="a start on level 1 is noised to a time above t_min and from"):
            sample(process, scores, 3, start=Start(np.ones(4), level=1, t=at))
    with pytest.raises(ValueError, match="a start lies on one of the levels 0 to 2, got 3"):
        sample(process, scores, 3, start=Start(np.ones(2), level=3))
    with pytest.raises(ValueError, match="of one library, device and dtype"):
        sample(process, scores, 3, start=Start(np.ones(4, dtype=np.float32), level=1))
